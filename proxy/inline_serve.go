package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"time"
)

// A serving is what a connection needs to have requests answered by the server's
// handler in net/http's place. It has one from the first such request on.
type serving struct {
	c      *inlineConn
	ctx    context.Context // the connection's, as net/http has it
	cancel context.CancelFunc
	remote string      // the client's address, with its port
	look   *time.Timer // begins watch

	mu    sync.Mutex         // guards what follows
	leave context.CancelFunc // ends the request that is served; nil: there is none
	over  chan struct{}      // closed when watch has read; nil: it does not

	ahead   [1]byte // what watch has read of the next request
	isAhead bool    // it has
}

// lookAfter is how long a request is served before anyone looks whether its client
// is still there. Most are answered by then, and a look costs as much as a hit.
const lookAfter = 10 * time.Millisecond

var (
	errAborted = errors.New("proxy: the handler has given up its response")
	errGiven   = errors.New("proxy: the handler has returned, and its response was given")
	errEnds    = errors.New("proxy: the connection ends with this response")
)

// serve has the handler answer the request that b is, and returns its length; 0
// where it is left to net/http. The request is one of those that parsePlain takes,
// and no hit. now is when b was there, and is moved to when the response was written.
func (c *inlineConn) serve(b []byte, sc *scratch, now *time.Time) (int, error) {
	if most := c.in.server.MaxHeaderBytes; most > 0 && len(b) > most {
		return 0, nil
	}
	s := c.serving.Load()
	if s == nil {
		s = newServing(c)
		c.serving.Store(s)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	r := c.request(ctx, b, &sc.hit.ask)
	if r == nil {
		return 0, nil
	}
	r.RemoteAddr = s.remote
	if !c.moves(stateLooking, stateAnswering) {
		return 0, net.ErrClosed
	}
	defer sc.hit.forget()
	err := c.deadlineToWrite()
	if err == nil {
		err = s.handle(newInlineResponse(c, sc, r, cancel), r)
	}
	c.answered = true
	*now = now.Add(time.Since(*now))
	c.last = *now
	if !c.moves(stateAnswering, stateLooking) {
		return 0, net.ErrClosed
	}
	return len(b), err
}

func newServing(c *inlineConn) *serving {
	s := &serving{c: c, remote: c.Conn.RemoteAddr().String()}
	as := net.Conn(c)
	if c.secure != nil {
		as = c.secure
	}
	ctx := c.in.server.ConnContext(c.from.context(), as) // Inline has set one
	ctx = context.WithValue(ctx, http.LocalAddrContextKey, c.Conn.LocalAddr())
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.look = time.AfterFunc(time.Hour, s.watch)
	s.look.Stop()
	return s
}

// context is what net/http would derive the contexts of connections from.
func (l *inlineListener) context() context.Context {
	l.once.Do(func() {
		l.ctx = context.Background()
		if base := l.in.server.BaseContext; base != nil {
			l.ctx = base(l)
		}
		l.ctx = context.WithValue(l.ctx, http.ServerContextKey, l.in.server)
	})
	return l.ctx
}

// handle calls the handler. After an error the connection is to end.
func (s *serving) handle(w *inlineResponse, r *http.Request) (err error) {
	returned := false
	s.begin(w.cancel)
	defer func() {
		p := recover()
		if p != nil && p != http.ErrAbortHandler {
			s.c.in.logf("proxy: panic serving %s: %v\n%s", s.remote, p, debug.Stack())
		}
		if !returned {
			w.breakOff()
			err = errAborted
		}
		w.forget()
		s.end()
		if !returned && p == nil { // runtime.Goexit: who called us ends, and closes the connection
			s.c.moves(stateAnswering, stateOpen)
		}
	}()
	s.c.in.server.Handler.ServeHTTP(w, r)
	w.cancel()
	err = w.finish()
	returned = true
	return err
}

// request is what net/http would make of the bytes of one that parsePlain took, nil
// where it is to say itself what it makes of them. It holds nothing of b, and lacks its
// RemoteAddr.
func (c *inlineConn) request(ctx context.Context, b []byte, a *plainAsk) *http.Request {
	all := string(b)
	method := http.MethodGet
	if a.head {
		method = http.MethodHead
	}
	target := all[len(method)+1:][:len(a.target)]
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil
	}
	fields := all[len(all)-len(a.fields)-2 : len(all)-2]
	n := strings.Count(fields, "\n")
	header, values := make(http.Header, n), make([]string, n)
	host := ""
	for fields != "" {
		var line string
		line, fields, _ = strings.Cut(fields, "\r\n")
		name, value, _ := strings.Cut(line, ":")
		switch name, value = textproto.CanonicalMIMEHeaderKey(name), trim(value); {
		case name == "Host":
			host = value
		case header[name] != nil:
			header[name] = append(header[name], value)
		default:
			values[0] = value
			header[name] = values[:1:1]
			values = values[1:]
		}
	}
	var blank http.Request
	r := blank.WithContext(ctx)
	r.Method, r.URL, r.Host, r.RequestURI = method, u, host, target
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	r.Header, r.Body = header, http.NoBody
	r.TLS = c.tlsState()
	return r
}

// begin is told that a request is served, and what to call should its client leave.
func (s *serving) begin(leave context.CancelFunc) {
	if rest := s.c.rest; len(rest) == cap(rest) {
		return // so much has come behind it that there is no room for what watch reads
	}
	s.mu.Lock()
	s.leave = leave
	s.mu.Unlock()
	s.look.Reset(lookAfter)
}

// end is told that it was. Nobody reads from the connection then.
func (s *serving) end() {
	s.look.Stop()
	s.mu.Lock()
	s.leave = nil
	over := s.over
	s.over = nil
	if over != nil {
		s.c.deadline = time.Unix(1, 0) // wait sets it anew
		_ = s.c.Conn.SetReadDeadline(s.c.deadline)
	}
	s.mu.Unlock()
	if over != nil {
		<-over
	}
}

// watch reads for the client's leaving. A byte that comes in place of that is the
// next request's, behind what has been read of that; who sends it is there.
func (s *serving) watch() {
	s.mu.Lock()
	leave := s.leave
	if leave == nil || s.over != nil { // the timer was late
		s.mu.Unlock()
		return
	}
	over := make(chan struct{})
	s.over = over
	_ = s.c.Conn.SetReadDeadline(time.Time{})
	s.mu.Unlock()
	defer close(over)
	switch n, err := s.c.Conn.Read(s.ahead[:]); {
	case n > 0:
		s.isAhead = true
	case err != nil: // end's deadline, too, with which the request is over
		leave()
	}
}

// take returns what watch has read.
func (s *serving) take() byte {
	s.isAhead = false
	return s.ahead[0]
}

// behind puts that in front of what else has come.
func (s *serving) behind() (*scratch, int, error) {
	sc, c := newScratch(), s.c
	sc.in[0] = s.take()
	if c.secure != nil {
		return sc, 1 + c.secure.readOn(sc.in[1:]), nil
	}
	return sc, 1 + c.raw.readOn(sc.in[1:]), nil
}

// deadlineToWrite sets the server's.
func (c *inlineConn) deadlineToWrite() error {
	if d := c.in.server.WriteTimeout; d > 0 {
		return c.Conn.SetWriteDeadline(time.Now().Add(d))
	}
	return nil
}
