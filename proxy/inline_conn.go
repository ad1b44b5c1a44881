package proxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// An inlineConn is a connection that answers hits by itself: at first all that
// come, and from when an http.Server has it, those that come when the server
// reads the next request. All but Close is called by one goroutine at a time, as
// net/http does.
type inlineConn struct {
	net.Conn
	in   *Inline
	from *inlineListener
	raw  rawConn
	lane uint32 // spreads what is counted
	peer string // the client's address, once somebody wanted to know

	phase    phase
	answered bool      // something was answered inline
	preface  uint8     // how much of HTTP/2's preface was given, where there must be none; see give
	rest     []byte    // what was read and is for net/http
	held     *scratch  // what rest is in
	deadline time.Time // of the next read, as it was set last
	last     time.Time // the end of the last inline answer since net/http set the deadline

	state atomic.Uint32
}

// A phase is where net/http is in its round: whether what it reads next begins a
// request.
type phase uint8

const (
	phaseGiven phase = iota // it has been given something, and has not said that it is done with it
	phaseDone               // it has answered a request, and is about to set the deadline for the next
	phaseIdle               // it has set that, and will now wait for the next request
	phaseNever              // it speaks something else on this connection
)

// The states of a connection. Close may come at any time.
const (
	stateOpen      uint32 = iota
	stateAnswering        // an answer is being written
	stateClosing          // and the connection is to be closed after it
	stateClosed
)

// became takes note of what net/http says of the connection.
func (c *inlineConn) became(state http.ConnState) {
	switch {
	case c.phase == phaseNever:
	case state == http.StateHijacked:
		c.phase = phaseNever
	case state == http.StateIdle && c.in.idle > 0:
		c.phase = phaseDone
	case state != http.StateNew:
		c.phase = phaseGiven
	}
}

// SetReadDeadline implements net.Conn. net/http sets the deadline once between
// the end of a request and waiting for the next, and again when that has begun.
func (c *inlineConn) SetReadDeadline(t time.Time) error {
	switch c.phase {
	case phaseDone:
		c.phase = phaseIdle
		c.deadline = t
	case phaseIdle:
		c.phase = phaseGiven
	}
	return c.Conn.SetReadDeadline(t)
}

// CloseWrite is for net/http, which ends some connections in two steps.
func (c *inlineConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// Close implements net.Conn. While an answer is being written, the connection
// is closed at its end, unless Inline.Cut comes before it.
func (c *inlineConn) Close() error {
	for {
		switch s := c.state.Load(); s {
		case stateAnswering:
			if c.closeLater() {
				return nil
			}
		case stateClosing:
			return nil
		case stateOpen:
			if c.state.CompareAndSwap(s, stateClosed) {
				return c.Conn.Close()
			}
		default:
			return c.Conn.Close()
		}
	}
}

// closeLater has the connection closed at the end of the answer; false: that has
// come.
func (c *inlineConn) closeLater() bool {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if !c.state.CompareAndSwap(stateAnswering, stateClosing) {
		return false
	}
	c.in.closing[c] = struct{}{}
	return true
}

// begin says that an answer is going to be written; false: the connection was
// closed.
func (c *inlineConn) begin() bool { return c.state.CompareAndSwap(stateOpen, stateAnswering) }

// end says that it was; false: the connection is closed.
func (c *inlineConn) end() bool {
	if c.from.closed.Load() {
		c.closeLater() // nobody else does so, if net/http was not given it
	}
	if c.state.CompareAndSwap(stateAnswering, stateOpen) {
		return true
	}
	c.linger()
	c.state.Store(stateClosed)
	c.Conn.Close()
	c.in.mu.Lock()
	delete(c.in.closing, c)
	c.in.mu.Unlock()
	return false
}

// linger lets the client have the end of the answer: closing a socket in which
// something is left to be read resets the connection, and with it goes what the
// client has not read yet. net/http waits as long.
func (c *inlineConn) linger() {
	if c.CloseWrite() != nil || c.Conn.SetReadDeadline(time.Now().Add(500*time.Millisecond)) != nil {
		return
	}
	_, _ = io.Copy(io.Discard, onlyReader{c.Conn})
}

type onlyReader struct{ io.Reader }

// Read implements net.Conn. Where net/http waits for the next request, and has
// nothing left of what it was given, hits are answered; it is given all else.
//
// That it has nothing left is told by three things: the deadline was set once
// since it was done with the last request, it reads for the first time since,
// and offers all of its buffer. offeredWhenIdle checks that this is how it works.
func (c *inlineConn) Read(p []byte) (int, error) {
	if c.phase == phaseIdle {
		c.phase = phaseGiven
		if len(p) == c.in.idle {
			if err := c.answerAll(); err != nil {
				return 0, err
			}
		}
	}
	return c.give(p)
}

// begun answers a new connection until there is something for net/http.
func (c *inlineConn) begun() error {
	if err := c.postpone(after(c.in.headerTimeout())); err != nil {
		return err
	}
	if err := c.answerAll(); err != nil {
		return err
	}
	switch n := min(len(c.rest), len(http2Preface)); {
	case string(c.rest[:n]) != http2Preface[:n]:
	case c.answered:
		c.preface = 1
	default:
		c.phase = phaseNever
	}
	return nil
}

// answerAll answers what comes until something comes that it cannot answer,
// which is in rest then. When it returns an error it has closed the connection,
// or nothing more can be read.
func (c *inlineConn) answerAll() error {
	sc, b := c.held, c.rest
	c.held, c.rest = nil, nil
	for {
		if len(b) > 0 {
			now := time.Now()
			for len(b) > 0 {
				n, err := c.answer(b, sc, &now)
				if err != nil {
					c.phase = phaseNever
					sc.free()
					return err
				}
				if n == 0 {
					break
				}
				b = b[n:]
			}
		}
		if len(b) > 0 {
			break
		}
		if sc != nil {
			sc.free()
		}
		var err error
		if sc, b, err = c.wait(); err != nil {
			return err
		}
	}
	c.held, c.rest = sc, b
	if !c.last.IsZero() {
		// The deadline that is set is that of an earlier request.
		c.last = time.Time{}
		return c.Conn.SetReadDeadline(after(c.in.headerTimeout()))
	}
	return nil
}

// http2Preface is what net/http tells HTTP/2 by, at the beginning of what it is
// given.
const http2Preface = "PRI * HTTP/2.0"

// give hands over to net/http what was read for it, or what is there, as much as
// it takes at once. After an HTTP/1.1 request there is no HTTP/2: whoever got that
// far into its preface is not let in.
func (c *inlineConn) give(p []byte) (n int, err error) {
	if c.rest == nil {
		n, err = c.Conn.Read(p)
	} else {
		n = copy(p, c.rest)
		if c.rest = c.rest[n:]; len(c.rest) == 0 {
			c.held.free()
			c.held, c.rest = nil, nil
		}
	}
	if c.preface == 0 {
		return n, err
	}
	matched := int(c.preface) - 1
	common := min(n, len(http2Preface)-matched)
	switch {
	case string(p[:common]) != http2Preface[matched:matched+common]:
		c.preface = 0
	case matched+common == len(http2Preface):
		return 0, io.EOF // a bad request, to net/http
	default:
		c.preface += uint8(common)
	}
	return n, err
}

// wait reads what comes next. The deadline is that for an idle connection,
// counted from the last answer; because it is seldom reached, it is only set
// anew where it would end too early or has.
func (c *inlineConn) wait() (*scratch, []byte, error) {
	if idle := c.in.idleTimeout(); !c.last.IsZero() && idle > 0 && (c.deadline.IsZero() || c.last.Add(idle).Before(c.deadline)) {
		if err := c.postpone(c.last.Add(idle)); err != nil {
			return nil, nil, err
		}
	}
	for {
		sc, n, err := c.raw.read(c.Conn)
		switch {
		case err == nil && n > 0:
			return sc, sc.in[:n], nil
		case err == nil:
			return nil, nil, io.EOF
		case c.last.IsZero() || !errors.Is(err, os.ErrDeadlineExceeded):
			return nil, nil, err
		}
		idle := c.in.idleTimeout()
		if until := c.last.Add(idle); idle <= 0 {
			err = c.postpone(time.Time{})
		} else if until.After(time.Now()) {
			err = c.postpone(until)
		}
		if err != nil {
			return nil, nil, err
		}
	}
}

func (c *inlineConn) postpone(t time.Time) error {
	c.deadline = t
	return c.Conn.SetReadDeadline(t)
}

func after(d time.Duration) time.Time {
	if d <= 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}

// idleTimeout and headerTimeout are the server's, as net/http takes them.
func (in *Inline) idleTimeout() time.Duration {
	if in.server.IdleTimeout != 0 {
		return in.server.IdleTimeout
	}
	return in.server.ReadTimeout
}

func (in *Inline) headerTimeout() time.Duration {
	if in.server.ReadHeaderTimeout != 0 {
		return in.server.ReadHeaderTimeout
	}
	return in.server.ReadTimeout
}

// client is the peer's address without its port.
func (c *inlineConn) client() string {
	if c.peer == "" {
		addr := c.Conn.RemoteAddr().String()
		if host, _, err := net.SplitHostPort(addr); err == nil {
			addr = host
		}
		c.peer = strings.Clone(addr)
	}
	return c.peer
}

// readBuffered reads from a connection that needs the buffer while it waits.
func readBuffered(nc net.Conn) (*scratch, int, error) {
	sc := newScratch()
	n, err := nc.Read(sc.in[:])
	if n > 0 {
		return sc, n, nil // the error, if any, comes again
	}
	sc.free()
	if err == io.EOF {
		err = nil
	}
	return nil, 0, err
}

// A scratch is what one read and its answers need. Nothing outlives them in it:
// what others may still read, bodies and heads, is never in a scratch.
type scratch struct {
	in  [8 << 10]byte // what was read
	out []byte        // an answer, or its head
	key []byte
	hit inlineHit
}

var scratches = sync.Pool{New: func() any { return &scratch{out: make([]byte, 0, 4<<10)} }}

func newScratch() *scratch { return scratches.Get().(*scratch) }

func (sc *scratch) free() { scratches.Put(sc) }
