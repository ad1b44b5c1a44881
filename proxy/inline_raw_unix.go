//go:build unix

package proxy

import (
	"errors"
	"net"
	"os"
	"syscall"
)

// A rawConn reads from a connection without holding a buffer while it waits.
type rawConn struct {
	raw syscall.RawConn // nil: the connection has none
	try func(fd uintptr) bool

	sc  *scratch
	n   int
	err error
}

func (r *rawConn) open(nc net.Conn) {
	c, ok := nc.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := c.SyscallConn(); err == nil {
		r.raw, r.try = raw, r.attempt
	}
}

// read waits for bytes and reads them into a scratch. At the end it returns
// none, and no error.
func (r *rawConn) read(nc net.Conn) (*scratch, int, error) {
	if r.raw == nil {
		return readBuffered(nc)
	}
	err := r.raw.Read(r.try)
	sc, n := r.sc, r.n
	if err == nil && r.err != nil {
		err = &net.OpError{Op: "read", Net: "tcp", Addr: nc.RemoteAddr(), Err: os.NewSyscallError("read", r.err)}
	} else if e, ok := errors.AsType[*net.OpError](err); ok {
		e.Op = "read" // net/http goes by that
	}
	r.sc, r.err = nil, nil
	if err != nil || n == 0 {
		if sc != nil {
			sc.free()
		}
		return nil, 0, err
	}
	return sc, n, nil
}

func (r *rawConn) attempt(fd uintptr) bool {
	sc := newScratch()
	n, err := readNow(fd, sc.in[:])
	if err == syscall.EAGAIN {
		sc.free()
		return false
	}
	r.sc, r.n, r.err = sc, max(n, 0), err
	return true
}

// readOn reads what has come by now.
func (r *rawConn) readOn(p []byte) (n int) {
	if r.raw != nil {
		_ = r.raw.Control(func(fd uintptr) { n, _ = readNow(fd, p) })
	}
	return max(n, 0)
}

// unread reports whether something has come in that was not read, and reads some
// of it.
func (r *rawConn) unread() bool {
	sc := newScratch()
	defer sc.free()
	return r.readOn(sc.in[:]) > 0
}
