package proxy

import (
	"errors"
	"net"
	"os"
	"syscall"

	"surrogate/proxy/socket"
)

// A rawConn reads from a connection without holding a buffer while it waits, and
// writes to it without waiting where that will do. Somebody may read and somebody
// else write at the same time.
type rawConn struct {
	raw syscall.RawConn // nil: the connection has none
	try func(fd uintptr) bool
	put func(fd uintptr)

	sc  *scratch
	n   int
	err error

	out []byte // to be written
	w   int    // how much of it was
}

func (r *rawConn) open(nc net.Conn) {
	c, ok := nc.(syscall.Conn)
	if !ok || !socket.Can {
		return
	}
	if raw, err := c.SyscallConn(); err == nil {
		r.raw, r.try, r.put = raw, r.attempt, r.putNow
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
	n, err := socket.Read(fd, sc.in[:])
	if err == syscall.EAGAIN {
		sc.free()
		return false
	}
	r.sc, r.n, r.err = sc, n, err
	return true
}

// maxAtOnce is how much is written without telling the runtime that it may take long.
const maxAtOnce = 64 << 10

// write writes to nc, which the rawConn is of, as its Write does.
func (r *rawConn) write(nc net.Conn, p []byte) (int, error) {
	if r.raw == nil || len(p) > maxAtOnce {
		return nc.Write(p)
	}
	r.out, r.w = p, 0
	_ = r.raw.Control(r.put)
	n := r.w
	r.out = nil
	if n == len(p) {
		return n, nil
	}
	more, err := nc.Write(p[n:]) // it waits, or knows what is wrong
	return n + more, err
}

func (r *rawConn) putNow(fd uintptr) { r.w, _ = socket.Write(fd, r.out) }

// readOn reads what has come by now.
func (r *rawConn) readOn(p []byte) (n int) {
	if r.raw != nil {
		_ = r.raw.Control(func(fd uintptr) { n, _ = socket.Read(fd, p) })
	}
	return n
}

// unread reports whether something has come in that was not read, and reads some
// of it. It does so where nobody can tell.
func (r *rawConn) unread() bool {
	sc := newScratch()
	defer sc.free()
	return !socket.Can || r.readOn(sc.in[:]) > 0
}
