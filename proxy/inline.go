package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"surrogate/store"
)

// An Inline answers plain requests on the connections of one http.Server, before that
// server reads them. See the package comment.
type Inline struct {
	proxy  *Proxy
	peeker store.Peeker
	server *http.Server
	idle   int // what net/http offers to read into when it has nothing left; 0: never known

	mu      sync.Mutex               // guards what follows
	early   map[*inlineConn]struct{} // those that net/http has not been given
	closing map[*inlineConn]struct{} // those that are to be closed once they have answered
}

// Inline makes s answer plain requests inline on the connections of every listener that
// is passed through Listener or SecureListener: hits by itself, others by calling the
// handler. That has to be p, or to pass GET and HEAD on to p as they are. s is asked for
// the contexts of connections once more than by net/http, and its ConnState hears nothing
// of what is answered inline. Call it before s serves; s is to be configured by then.
func (p *Proxy) Inline(s *http.Server) *Inline {
	in := &Inline{proxy: p, server: s, idle: offeredWhenIdle(), early: make(map[*inlineConn]struct{}), closing: make(map[*inlineConn]struct{})}
	in.peeker, _ = p.store.(store.Peeker)
	then := s.ConnState
	s.ConnState = func(c net.Conn, state http.ConnState) {
		if c, ok := c.(interface{ became(http.ConnState) }); ok { // one of ours
			c.became(state)
		}
		if then != nil {
			then(c, state)
		}
	}
	next, with := s.Handler, s.ConnContext
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil {
			r.TLS, _ = r.Context().Value(tlsKey{}).(*tls.ConnectionState)
		}
		next.ServeHTTP(w, r)
	})
	s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if with != nil {
			ctx = with(ctx, c)
		}
		return withTLS(ctx, c)
	}
	return in
}

// tlsKey is where a request over HTTP/2 has what it came over: net/http takes it to be
// plain.
type tlsKey struct{}

func withTLS(ctx context.Context, c net.Conn) context.Context {
	if c, ok := c.(*inlineConn); ok && c.secure != nil {
		return context.WithValue(ctx, tlsKey{}, c.tlsState())
	}
	return ctx
}

// Listener returns l with connections that answer plain requests. It returns l itself
// where there is nothing to answer hits from.
func (in *Inline) Listener(l net.Listener) net.Listener {
	if in.peeker == nil {
		return l
	}
	return in.listener(l, nil)
}

func (in *Inline) listener(l net.Listener, config *tls.Config) *inlineListener {
	return &inlineListener{Listener: l, in: in, config: config, ready: make(chan accepted), done: make(chan struct{})}
}

// An inlineListener gives net/http those connections that ask for something
// that is not answered inline, once they do. Until then they cost next to
// nothing: no buffers, and a goroutine that hardly needs its stack.
type inlineListener struct {
	net.Listener
	in     *Inline
	config *tls.Config // nil: it is plain
	first  sync.Once
	ready  chan accepted
	ending sync.Once
	done   chan struct{} // closed with the listener
	closed atomic.Bool   // when that is
	once   sync.Once
	ctx    context.Context // once that was
}

type accepted struct {
	conn net.Conn
	err  error
}

// Accept implements net.Listener.
func (l *inlineListener) Accept() (net.Conn, error) {
	l.first.Do(func() { go l.accept() })
	select {
	case a := <-l.ready:
		return a.conn, a.err
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *inlineListener) accept() {
	for {
		nc, err := l.Listener.Accept()
		if err == nil {
			c := l.wrap(nc)
			l.in.mu.Lock()
			l.in.early[c] = struct{}{}
			l.in.mu.Unlock()
			if l.closed.Load() {
				c.Close() // Close may have come too early to see it
			}
			if c.secure != nil {
				go c.secure.welcome()
			} else {
				go l.welcome(c, c)
			}
			continue
		}
		// net/http says whether to go on after it.
		if !l.give(accepted{err: err}) || errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

func (l *inlineListener) wrap(nc net.Conn) *inlineConn {
	if l.config != nil {
		return newSecured(nc, l)
	}
	c := &inlineConn{Conn: nc, in: l.in, from: l}
	c.raw.open(nc)
	return c
}

// give hands something to net/http; false: it takes nothing any more.
func (l *inlineListener) give(a accepted) bool {
	select {
	case l.ready <- a:
		return true
	case <-l.done:
		return false
	}
}

// welcome answers a connection until it asks for something that is not plain. net/http
// has it then, as what it is to that.
func (l *inlineListener) welcome(c *inlineConn, as net.Conn) {
	err := errAborted // what it stays if a handler ends the goroutine
	defer func() { l.hand(c, as, err) }()
	err = c.begun()
}

// hand gives a new connection to net/http, unless there was an error.
func (l *inlineListener) hand(c *inlineConn, as net.Conn, err error) {
	if err != nil || l.closed.Load() || !l.give(accepted{conn: as}) {
		c.Close()
	}
	l.in.mu.Lock()
	delete(l.in.early, c)
	l.in.mu.Unlock()
}

// Close implements net.Listener. Connections that have asked for nothing, or
// nothing but hits, end with it: net/http, which closes the others when it is
// shut down, does not know of them.
func (l *inlineListener) Close() error {
	err := l.Listener.Close()
	l.ending.Do(func() {
		l.closed.Store(true)
		close(l.done)
		l.in.mu.Lock()
		var early []*inlineConn
		for c := range l.in.early {
			if c.from == l {
				early = append(early, c)
			}
		}
		l.in.mu.Unlock()
		for _, c := range early {
			c.Close()
		}
	})
	return err
}

// Drain waits, once the server was shut down, for the answers that are being
// written. It returns ctx's error if that ended first.
func (in *Inline) Drain(ctx context.Context) error {
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for {
		in.mu.Lock()
		n := len(in.closing) + len(in.early)
		in.mu.Unlock()
		if n == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		}
	}
}

// Cut breaks off the answers that are being written on connections which were
// closed meanwhile, and ends the contexts of their requests. Close the server first.
func (in *Inline) Cut() {
	in.mu.Lock()
	defer in.mu.Unlock()
	for c := range in.closing {
		c.socket().Close()
		c.ended()
	}
}
