package proxy

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"surrogate/proxy/socket"
)

// A gate is a socket of which can be known that nothing has come in. Its reader
// takes bytes from the system with mu held, so whoever holds mu and finds it
// drained and empty knows that there is nothing on its way to those who read.
// With a net.Conn's own Read that cannot be known: bytes may have left the
// system and not have come out yet.
//
// It has one reader at a time, like every connection of net/http's.
type gate struct {
	net.Conn
	raw syscall.RawConn // nil: not a socket, and nothing can be known

	// These are the reader's, for the Read it is in.
	into    []byte
	n       int
	err     error
	nowait  bool               // to say os.ErrDeadlineExceeded instead of waiting
	taking  func(uintptr) bool // g.take, made once
	looking func(uintptr)      // g.look, made once

	mu      sync.Mutex // guards what follows, and more that its owner says
	changed sync.Cond  // waiting, or what the owner guards, has changed
	waiting bool       // the reader has found nothing and waits
	between bool       // it has found something; its owner clears this when it has it
	pending bool       // what look saw

	// TLS above reads ahead of what it hands out. Where one record ends is
	// known from its header: type, version, length.
	records bool
	header  [5]byte
	has     int // bytes of header
	left    int // bytes of the record
}

func newGate(c net.Conn, records bool) *gate {
	g := &gate{Conn: c, records: records}
	g.changed.L = &g.mu
	if s, ok := c.(syscall.Conn); ok && socket.Can {
		if raw, err := s.SyscallConn(); err == nil {
			g.raw, g.taking, g.looking = raw, g.take, g.look
		}
	}
	return g
}

func (g *gate) Read(b []byte) (int, error) {
	if g.raw == nil || len(b) == 0 {
		return g.Conn.Read(b)
	}
	g.into = b
	err := g.raw.Read(g.taking)
	g.into = nil
	if err == nil {
		return g.n, g.err
	}
	g.mu.Lock()
	g.waiting = false
	g.mu.Unlock()
	if op, ok := errors.AsType[*net.OpError](err); ok {
		op.Op = "read"
	}
	return 0, err
}

// take reads what the system has, and reports whether Read is over.
func (g *gate) take(fd uintptr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, err := socket.Read(fd, g.into)
	if err == syscall.EAGAIN {
		if g.nowait {
			g.n, g.err = 0, os.ErrDeadlineExceeded
			return true
		}
		g.waiting = true
		g.changed.Broadcast()
		return false
	}
	g.waiting, g.between = false, true
	g.n, g.err = n, nil
	switch {
	case err != nil:
		g.err = &net.OpError{Op: "read", Net: "tcp", Source: g.LocalAddr(), Addr: g.RemoteAddr(), Err: os.NewSyscallError("read", err)}
	case n == 0:
		g.err = io.EOF
	case g.records:
		g.follow(g.into[:n])
	}
	return true
}

// follow keeps count of where in a TLS record the reader is.
func (g *gate) follow(b []byte) {
	for len(b) > 0 {
		if g.left > 0 {
			n := min(g.left, len(b))
			g.left, b = g.left-n, b[n:]
			continue
		}
		n := copy(g.header[g.has:], b)
		g.has, b = g.has+n, b[n:]
		if g.has == len(g.header) {
			g.has, g.left = 0, int(g.header[3])<<8|int(g.header[4])
		}
	}
}

// amid reports whether a part of a TLS record has been read and the rest has
// not come. mu must be held.
func (g *gate) amid() bool { return g.has+g.left > 0 }

// drained reports whether all that has left the system has come to the owner, or
// else was nothing to it. mu must be held.
func (g *gate) drained() bool { return g.waiting || !g.between }

// empty reports whether the system has nothing to read, the end included. mu
// must be held.
func (g *gate) empty() bool {
	g.pending = true
	return g.raw.Control(g.looking) == nil && !g.pending
}

func (g *gate) look(fd uintptr) { g.pending = socket.Peek(fd) != syscall.EAGAIN }

// CloseWrite is what ends one direction of a tunnel.
func (g *gate) CloseWrite() error { return closeWrite(g.Conn) }

func closeWrite(c net.Conn) error {
	if c, ok := c.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}
