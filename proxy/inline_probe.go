package proxy

import (
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// offeredWhenIdle returns how many bytes net/http offers to read into when it
// waits for the next request of a connection and has nothing left of what it was
// given. It finds out by serving a connection of its own, and returns 0 where
// net/http does not do what inlineConn.Read goes by; then hits are answered
// inline until net/http was given something, and not again on that connection.
var offeredWhenIdle = sync.OnceValue(func() int {
	const one = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	clean, ok := probe(one)
	if !ok || clean < 1<<10 {
		return 0
	}
	// With a piece of the next request in hand it offers less, and with a whole
	// line of it it sets the deadline again before it reads.
	if n, ok := probe(one + "GE"); !ok || n != clean-2 {
		return 0
	}
	if _, ok := probe(one + "GET / HTTP/1.1\r\n"); ok {
		return 0
	}
	return clean
})

// probe serves a connection that sends input at once, and returns how many bytes
// are offered by a read that comes after the deadline was set once since the end
// of the first request. ok is false where none does.
func probe(input string) (offered int, ok bool) {
	c := &probeConn{input: input}
	l := &probeListener{conns: make(chan net.Conn, 1)}
	l.conns <- c
	s := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil }),
		// As short as it may be for a probe; nothing waits for it.
		ReadHeaderTimeout: time.Minute, IdleTimeout: time.Minute,
		ErrorLog: log.New(io.Discard, "", 0),
	}
	s.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateIdle:
			c.idle, c.deadlines = true, 0
		case http.StateClosed:
			close(l.conns)
		}
	}
	_ = s.Serve(l)
	return c.offered, c.found
}

// A probeConn is a client that sends its input and leaves.
type probeConn struct {
	input     string
	idle      bool
	deadlines int
	offered   int
	found     bool
}

func (c *probeConn) Read(p []byte) (int, error) {
	if c.input != "" {
		n := copy(p, c.input)
		c.input = c.input[n:]
		return n, nil
	}
	if c.idle && c.deadlines == 1 && !c.found {
		c.offered, c.found = len(p), true
	}
	return 0, io.EOF
}

func (c *probeConn) SetReadDeadline(time.Time) error {
	c.deadlines++
	return nil
}

func (c *probeConn) Write(p []byte) (int, error)      { return len(p), nil }
func (c *probeConn) Close() error                     { return nil }
func (c *probeConn) LocalAddr() net.Addr              { return probeAddr{} }
func (c *probeConn) RemoteAddr() net.Addr             { return probeAddr{} }
func (c *probeConn) SetDeadline(time.Time) error      { return nil }
func (c *probeConn) SetWriteDeadline(time.Time) error { return nil }

type probeAddr struct{}

func (probeAddr) Network() string { return "probe" }
func (probeAddr) String() string  { return "probe" }

// A probeListener has one connection.
type probeListener struct{ conns chan net.Conn }

func (l *probeListener) Accept() (net.Conn, error) {
	if c, ok := <-l.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l *probeListener) Close() error   { return nil }
func (l *probeListener) Addr() net.Addr { return probeAddr{} }
