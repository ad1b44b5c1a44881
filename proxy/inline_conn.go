package proxy

import (
	"cmp"
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

// An inlineConn is a connection that answers plain requests by itself: at first all
// that come, and from when an http.Server has it, those that come when the server
// reads the next request. All but Close is called by one goroutine at a time, as
// net/http does; over HTTP/2 see http2Conn.
type inlineConn struct {
	net.Conn
	in     *Inline
	from   *inlineListener
	raw    rawConn
	secure *secured // nil: it is plain
	peer   string   // the client's address, once somebody wanted to know

	phase    phase
	answered bool      // something was answered inline
	preface  uint8     // how much of HTTP/2's preface was given, where there must be none; see give
	rest     []byte    // what was read and is for net/http
	held     *scratch  // what rest is in
	deadline time.Time // of the next read, as it was set last
	last     time.Time // the end of the last inline answer since net/http set the deadline

	state atomic.Uint32

	http2   atomic.Pointer[http2Conn] // nil where it speaks HTTP/1.1
	serving atomic.Pointer[serving]   // nil: the handler was never needed
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
	if h := c.http2.Load(); h != nil {
		return h.window.setReadDeadline(t)
	}
	switch c.phase {
	case phaseDone:
		c.phase = phaseIdle
		c.deadline = t
	case phaseIdle:
		c.phase = phaseGiven
	}
	return c.Conn.SetReadDeadline(t)
}

// Read implements net.Conn. Where net/http waits for the next request, and has
// nothing left of what it was given, hits are answered; it is given all else.
//
// That it has nothing left is told by three things: the deadline was set once
// since it was done with the last request, it reads for the first time since,
// and offers all of its buffer. offeredWhenIdle checks that this is how it works.
func (c *inlineConn) Read(p []byte) (int, error) {
	if h := c.http2.Load(); h != nil {
		return h.read(p)
	}
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

// scheme is how a URL over this connection begins.
func (c *inlineConn) scheme() string {
	if c.secure != nil {
		return "https"
	}
	return "http"
}

// Write implements net.Conn.
func (c *inlineConn) Write(p []byte) (int, error) {
	if h := c.http2.Load(); h != nil {
		return h.write(p)
	}
	return c.Conn.Write(p) // who has taken the connection over may write from several goroutines
}

// write is what our side writes to the client with, by one goroutine at a time.
func (c *inlineConn) write(p []byte) (int, error) {
	if c.secure != nil {
		return c.Conn.Write(p)
	}
	return c.raw.write(c.Conn, p)
}

// begun answers a new connection until there is something for net/http.
func (c *inlineConn) begun() error {
	if err := c.postpone(after(c.in.headerTimeout())); err != nil {
		return err
	}
	if err := c.answerAll(); err != nil {
		return err
	}
	// Who leaves within the first four bytes of a later request is not told that
	// it is a bad one. net/http sees to that when it knows that it is a later one.
	for c.answered && len(c.rest) < 4 {
		if err := c.readMore(); err != nil {
			c.letGo()
			return err
		}
	}
	switch n := min(len(c.rest), len(http2Preface)); {
	case c.secure != nil: // net/http has HTTP/2 by ALPN alone
	case string(c.rest[:n]) != http2Preface[:n]:
	case c.answered:
		c.preface = 1
	default:
		c.phase = phaseNever
		c.speakHTTP2()
	}
	return nil
}

// readMore reads behind rest, which is not all of what is looked for.
func (c *inlineConn) readMore() error {
	n := copy(c.held.in[:], c.rest)
	m, err := c.Conn.Read(c.held.in[n:])
	if m == 0 {
		return cmp.Or(err, io.EOF)
	}
	c.rest = c.held.in[:n+m]
	return nil
}

// letGo drops rest, and what it is in.
func (c *inlineConn) letGo() {
	if c.held != nil {
		c.held.free()
	}
	c.held, c.rest = nil, nil
}

// answerAll answers what comes until something comes that it cannot answer,
// which is in rest then. When it returns an error the connection is closed, or
// nothing more can be read.
func (c *inlineConn) answerAll() error {
	if !c.moves(stateOpen, stateLooking) {
		return net.ErrClosed
	}
	err := c.answerUntil()
	if err != nil {
		c.letGo()
	}
	if !c.moves(stateLooking, stateOpen) && err == nil {
		err = net.ErrClosed
	}
	return err
}

func (c *inlineConn) answerUntil() error {
	for {
		var now time.Time
		if len(c.rest) > 0 {
			now = time.Now()
		}
		for len(c.rest) > 0 {
			n, err := c.answer(c.rest, c.held, &now)
			switch {
			case err != nil:
				c.phase = phaseNever
				return err
			case n > 0:
				c.rest = c.rest[n:]
				if s := c.serving.Load(); s != nil && s.isAhead && len(c.rest) > 0 {
					c.rest = append(c.rest, s.take()) // there is room, or nobody had watched
				}
				continue
			case !c.last.IsZero():
				// The deadline that is set is that of an earlier request.
				c.last = time.Time{}
				return c.postpone(after(c.in.headerTimeout()))
			}
			return nil
		}
		c.letGo()
		var err error
		if c.held, c.rest, err = c.wait(); err != nil {
			return err
		}
	}
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
			c.letGo()
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
		sc, n, err := c.read()
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

// read waits for bytes and reads them into a scratch. At the end it returns none,
// and no error.
func (c *inlineConn) read() (*scratch, int, error) {
	if s := c.serving.Load(); s != nil && s.isAhead {
		return s.behind()
	}
	if c.secure != nil {
		return c.secure.read()
	}
	return c.raw.read(c.Conn)
}

// postpone sets the deadline, unless Close has.
func (c *inlineConn) postpone(t time.Time) error {
	c.deadline = t
	if err := c.Conn.SetReadDeadline(t); err != nil {
		return err
	}
	if c.state.Load() >= stateClosing {
		return net.ErrClosed
	}
	return nil
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
	out []byte        // an answer, or its head; of HTTP/2, several
	ask []byte        // a request of HTTP/2, as HTTP/1.1 would have it
	key []byte
	hit inlineHit

	names []string // of a response's fields, to be sorted

	// lane is where its answers are counted. The pool gives each core the scratch
	// that it had before, so no other core is likely to count there.
	lane uint32
}

var scratches = sync.Pool{New: func() any { return &scratch{out: make([]byte, 0, 4<<10), lane: lanes.Add(1)} }}

var lanes atomic.Uint32

func newScratch() *scratch { return scratches.Get().(*scratch) }

func (sc *scratch) free() { scratches.Put(sc) }
