package proxy

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"surrogate/store"
)

// An Inline answers fresh hits on the plain HTTP/1.1 connections of one
// http.Server, before that server reads the request. See the package comment.
type Inline struct {
	proxy  *Proxy
	peeker store.Peeker
	server *http.Server
	lanes  atomic.Uint32
	idle   int // what net/http offers to read into when it has nothing left; 0: never known

	draining atomic.Bool
	mu       sync.Mutex               // guards what follows
	early    map[*inlineConn]struct{} // those that net/http has not been given anything of
	closing  map[*inlineConn]struct{} // those that are to be closed once they have answered
}

// Inline makes s answer hits inline on the connections of every listener that
// is passed through Listener. Its handler has to be p, or to pass GET and HEAD on
// to p as they are. Call it before s serves; s is to be configured by then.
func (p *Proxy) Inline(s *http.Server) *Inline {
	in := &Inline{proxy: p, server: s, idle: offeredWhenIdle(), early: make(map[*inlineConn]struct{}), closing: make(map[*inlineConn]struct{})}
	in.peeker, _ = p.store.(store.Peeker)
	then := s.ConnState
	s.ConnState = func(c net.Conn, state http.ConnState) {
		if c, ok := c.(*inlineConn); ok {
			c.became(state)
		}
		if then != nil {
			then(c, state)
		}
	}
	s.RegisterOnShutdown(in.startDrain)
	return in
}

// Listener returns l with connections that answer hits. It returns l itself
// where there is nothing to answer them from.
func (in *Inline) Listener(l net.Listener) net.Listener {
	if in.peeker == nil {
		return l
	}
	return &inlineListener{l, in}
}

type inlineListener struct {
	net.Listener
	in *Inline
}

// Accept implements net.Listener.
func (l *inlineListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.in.conn(nc), nil
}

func (in *Inline) conn(nc net.Conn) net.Conn {
	c := &inlineConn{Conn: nc, in: in, lane: in.lanes.Add(1)}
	c.raw.open(nc)
	in.mu.Lock()
	in.early[c] = struct{}{}
	in.mu.Unlock()
	return c
}

// given takes a connection off the list of those that net/http knows nothing of.
func (in *Inline) given(c *inlineConn) {
	in.mu.Lock()
	delete(in.early, c)
	in.mu.Unlock()
}

// startDrain closes the connections that were answered inline only: net/http
// takes them for new ones, and would wait for their first request.
func (in *Inline) startDrain() {
	in.draining.Store(true)
	in.mu.Lock()
	var idle []*inlineConn
	for c := range in.early {
		if c.used.Load() {
			idle = append(idle, c)
		}
	}
	in.mu.Unlock()
	for _, c := range idle {
		c.Close()
	}
}

// Drain waits, once the server was shut down, for the answers that are being
// written. It returns ctx's error if that ended first.
func (in *Inline) Drain(ctx context.Context) error {
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for {
		in.mu.Lock()
		n := len(in.closing)
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
// closed meanwhile. Close the server first.
func (in *Inline) Cut() {
	in.mu.Lock()
	defer in.mu.Unlock()
	for c := range in.closing {
		c.Conn.Close()
	}
}
