package http1

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Options say whom a Client asks, and within what bounds.
type Options struct {
	Addr            string        // host and port
	Dialer          *net.Dialer   // makes the connections
	ResponseTimeout time.Duration // from the request's end to the head of the response, and for a connection to become free; 0: no limit
	IdleTimeout     time.Duration // how long a connection that is not used is kept; 0: 90 s
	MaxIdle         int           // connections that are kept
	MaxConns        int           // connections at once; 0: no limit
	HeadBytes       int64         // of the largest head, interim ones included; 0: 1 MiB

	// Surplus is told how much came that belongs to no response. May be nil.
	Surplus func(bytes int)
}

// A Client asks one origin. Its methods may be called from any goroutine.
type Client struct {
	o     Options
	slots chan struct{} // one for each connection that is in use; nil: no limit

	mu     sync.Mutex // guards what follows
	idle   []*link    // the one that was used last is the last
	reaper *time.Timer
	closed bool
}

const (
	defaultIdle = 90 * time.Second
	defaultHead = 1 << 20
	// reapEvery is how often kept connections are looked at: those that the origin
	// has closed meanwhile need not be held until somebody wants them.
	reapEvery = 5 * time.Second
)

// New returns a Client. It starts nothing.
func New(o Options) *Client {
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = defaultIdle
	}
	if o.HeadBytes <= 0 {
		o.HeadBytes = defaultHead
	}
	c := &Client{o: o}
	if o.MaxConns > 0 {
		c.slots = make(chan struct{}, o.MaxConns)
	}
	return c
}

// Addr is the address that is asked.
func (c *Client) Addr() string { return c.o.Addr }

// errStale is a kept connection that turned out to have ended, or on which
// something had come, before anything was written.
var errStale = errors.New("http1: the kept connection cannot be used")

// RoundTrip sends r for target, byte for byte, whatever r.URL says, and returns
// the response, whose Body has to be read to its end or closed. interim, if not
// nil, is called with each interim response before RoundTrip returns; its error
// ends the exchange. r.Body is closed, by RoundTrip or, if it is still being
// sent then, later.
//
// A request that a kept connection has not taken is sent again on another: if
// nothing of it was written, or nothing came back and it is one that may be sent
// twice (RFC 9110, section 9.2.2). An error of connecting is a *net.OpError whose
// Op is "dial".
func (c *Client) RoundTrip(r *http.Request, target string, interim func(status int, h http.Header) error) (*http.Response, error) {
	ctx := r.Context()
	for {
		m, l, err := c.begin(r, target)
		if err != nil {
			closeBody(r)
			return nil, err
		}
		kept := l.used
		resp, err := l.exchange(r, m, interim)
		switch {
		case err == nil:
			return resp, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case !kept:
		case errors.Is(err, errStale) && (r.GetBody == nil || rewind(r)):
			continue // content that can be read once only was not touched
		case !l.heard && isLost(err) && repeatable(r) && rewind(r):
			continue
		}
		return nil, err
	}
}

// begin writes the request's head into a room, and takes a connection for it. What
// cannot be sent costs no connection.
func (c *Client) begin(r *http.Request, target string) (m *room, l *link, err error) {
	ctx := r.Context()
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	m = rooms.Get().(*room)
	if m.out, err = m.appendRequest(m.out[:0], r, target); err == nil {
		l, err = c.take(ctx)
	}
	if err != nil {
		m.free()
		if ctx.Err() != nil {
			err = context.Cause(ctx) // and not that of connecting
		}
	}
	return m, l, err
}

// isLost reports whether err says that the connection has ended. Nothing else is
// a reason to send a request again: an origin that is slow has got it.
func isLost(err error) bool {
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// repeatable reports whether r may reach the origin twice.
func repeatable(r *http.Request) bool {
	if hasContent(r) && r.GetBody == nil {
		return false
	}
	switch r.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	// As net/http has it: the client says itself that twice is once.
	_, key := r.Header["Idempotency-Key"]
	_, xkey := r.Header["X-Idempotency-Key"]
	return key || xkey
}

// rewind makes r's content readable from its start again, if it can be.
func rewind(r *http.Request) bool {
	if !hasContent(r) {
		return true
	}
	b, err := r.GetBody()
	if err == nil {
		r.Body = b
	}
	return err == nil
}

func hasContent(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}

// Dial makes a connection that counts among those of the Client until it is
// closed, for what is to be no HTTP/1 on it.
func (c *Client) Dial(ctx context.Context) (net.Conn, error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	nc, err := c.o.Dialer.DialContext(ctx, "tcp", c.o.Addr)
	if err != nil {
		c.leave()
		return nil, err
	}
	return &counted{Conn: nc, left: sync.OnceFunc(c.leave)}, nil
}

// A counted connection has a slot of its Client's until it is closed.
type counted struct {
	net.Conn
	left func()
}

func (c *counted) Close() error {
	defer c.left()
	return c.Conn.Close()
}

// CloseWrite is what ends one direction of a tunnel.
func (c *counted) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// enter waits for a slot, no longer than for a response. Connections are made
// only where none is kept, so with as many slots as there may be connections there
// are never more.
func (c *Client) enter(ctx context.Context) error {
	if c.slots == nil {
		return nil
	}
	select {
	case c.slots <- struct{}{}:
		return nil
	default:
	}
	var late <-chan time.Time
	if c.o.ResponseTimeout > 0 {
		wait := time.NewTimer(c.o.ResponseTimeout)
		defer wait.Stop()
		late = wait.C
	}
	select {
	case c.slots <- struct{}{}:
		return nil
	case <-late:
		return fmt.Errorf("http1: no connection became free: %w", os.ErrDeadlineExceeded)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *Client) leave() {
	if c.slots != nil {
		<-c.slots
	}
}

// take returns a connection for one exchange, a kept one if there is one.
func (c *Client) take(ctx context.Context) (*link, error) {
	if err := c.enter(ctx); err != nil {
		return nil, err
	}
	if l := c.pop(); l != nil {
		return l, nil
	}
	nc, err := c.o.Dialer.DialContext(ctx, "tcp", c.o.Addr)
	if err != nil {
		c.leave()
		return nil, err
	}
	return newLink(c, nc), nil
}

func (c *Client) pop() *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.idle)
	if n == 0 {
		return nil
	}
	l := c.idle[n-1]
	c.idle[n-1] = nil
	c.idle = c.idle[:n-1]
	return l
}

// give takes a connection back after an exchange, to be used again if fit.
func (c *Client) give(l *link, fit bool) {
	if !fit || !c.keep(l) {
		l.conn.Close()
	}
	c.leave()
}

func (c *Client) keep(l *link) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.idle) >= c.o.MaxIdle {
		return false
	}
	l.since = time.Now()
	c.idle = append(c.idle, l)
	if c.reaper == nil {
		c.reaper = time.AfterFunc(reapEvery, c.reap)
	}
	return true
}

// reap closes the connections that were kept for too long, or have ended. It
// looks with the lock held: nobody may use one meanwhile, or make another for want
// of it, and a look waits for nothing.
func (c *Client) reap() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	now := time.Now()
	c.idle = slices.DeleteFunc(c.idle, func(l *link) bool {
		gone := now.Sub(l.since) >= c.o.IdleTimeout || !l.silent()
		if gone {
			l.conn.Close()
		}
		return gone
	})
	if len(c.idle) == 0 {
		c.reaper = nil
		return
	}
	c.reaper.Reset(reapEvery)
}

// Close closes the connections that are kept. Those in use are closed when
// their exchange is over.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	idle := c.idle
	c.idle = nil
	if c.reaper != nil {
		c.reaper.Stop()
	}
	c.mu.Unlock()
	for _, l := range idle {
		l.conn.Close()
	}
}

func (c *Client) surplus(b []byte) {
	if len(b) > 0 && c.o.Surplus != nil && !is408(b) {
		c.o.Surplus(len(b))
	}
}

// is408 reports whether b says, unasked, that the origin has waited for a
// request long enough. That is the end of the connection and nothing wrong.
func is408(b []byte) bool {
	return len(b) >= 12 && string(b[:7]) == "HTTP/1." && string(b[8:12]) == " 408"
}
