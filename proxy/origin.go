package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"surrogate/proxy/http1"
)

// An origin is where a site is served from: one or more servers, asked in turn.
// One that cannot be connected to is left out for a while.
type origin struct {
	servers []*server
	next    atomic.Uint32
	rt      http.RoundTripper // HTTPS, with HTTP/2 where that is offered; a test's origin
	tunnels http.RoundTripper // what may become another protocol, over plain HTTP
	retries int
	bounded bool // each try ends by itself where there is no answer in time
}

// A server is one of a site's origins.
type server struct {
	url    *url.URL
	direct *http1.Client // nil: it is asked by the origin's rt
	down   *atomic.Int64 // until when it is left out, Unix nanoseconds
}

// downFor is how long a server that could not be connected to is left out while
// there are others.
const downFor = 3 * time.Second

func (p *Proxy) newOrigin(s *site) *origin {
	var servers []*server
	for _, u := range s.Origins {
		servers = append(servers, &server{url: u, down: new(atomic.Int64)})
	}
	return p.connect(s, servers, s.Fill.MaxConns)
}

// apart is the same origin by other connections, of which there may be any number.
func (p *Proxy) apart(s *site, o *origin) *origin { return p.connect(s, o.servers, 0) }

// connect makes an origin of servers with connections of its own, at most so many
// to each; 0 is no limit.
func (p *Proxy) connect(s *site, servers []*server, maxConns int) *origin {
	o := &origin{retries: max(s.Fill.Retries, 0), bounded: true}
	if p.transport != nil {
		o.rt = p.transport(&s.Site)
	}
	surplus := p.surplusOf(s)
	for _, of := range servers {
		x := &server{url: of.url, down: of.down}
		if o.rt == nil && x.url.Scheme == "http" {
			x.direct = newDirect(&s.Fill, addrOf(x.url), maxConns, surplus)
		}
		o.bounded = o.bounded && x.direct != nil
		o.servers = append(o.servers, x)
	}
	if o.rt == nil {
		secure := newTransport(&s.Fill, maxConns)
		frame(secure, newDialer(&s.Fill), surplus)
		o.rt = secure
		plain := newTransport(&s.Fill, 0) // the servers' clients count its connections
		plain.DisableKeepAlives = true
		plain.DialContext = o.dialTunnel
		o.tunnels = plain
	}
	return o
}

// addrOf is where a server listens.
func addrOf(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func newDialer(f *Fill) *net.Dialer {
	return &net.Dialer{Timeout: f.ConnectTimeout, KeepAlive: 30 * time.Second}
}

// newDirect makes what asks a server over plain HTTP/1.1.
func newDirect(f *Fill, addr string, maxConns int, surplus func(addr string, bytes int)) *http1.Client {
	return http1.New(http1.Options{
		Addr: addr, Dialer: newDialer(f), ResponseTimeout: f.ResponseTimeout, IdleTimeout: idleConnTimeout,
		MaxIdle: f.IdleConns, MaxConns: maxConns, HeadBytes: f.HeaderBytes,
		Surplus: func(n int) { surplus(addr, n) },
	})
}

// idleConnTimeout is how long a connection that is not used is kept.
const idleConnTimeout = 90 * time.Second

// newTransport is net/http's with our bounds.
func newTransport(f *Fill, maxConns int) *http.Transport {
	return &http.Transport{
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // what the client asked for is what is fetched and stored
		MaxIdleConns:           0,
		MaxIdleConnsPerHost:    f.IdleConns,
		MaxConnsPerHost:        maxConns,
		IdleConnTimeout:        idleConnTimeout,
		TLSHandshakeTimeout:    f.ConnectTimeout,
		ResponseHeaderTimeout:  f.ResponseTimeout,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: f.HeaderBytes,
		WriteBufferSize:        16 << 10,
		ReadBufferSize:         16 << 10,
	}
}

// dialTunnel connects to one of the servers, among whose connections it counts.
func (o *origin) dialTunnel(ctx context.Context, _, addr string) (net.Conn, error) {
	for _, s := range o.servers {
		if s.direct != nil && s.direct.Addr() == addr {
			return s.direct.Dial(ctx)
		}
	}
	return nil, fmt.Errorf("%s is no server of this origin", addr)
}

// surplusOf counts what a site's origins send beyond their responses, and tells
// of it once in a while: a page that is made so may be asked for often.
func (p *Proxy) surplusOf(s *site) func(addr string, bytes int) {
	var told atomic.Int64 // when, Unix nanoseconds
	return func(addr string, bytes int) {
		s.counts.surplus.Inc()
		last, now := told.Load(), time.Now().UnixNano()
		if now-last < int64(time.Minute) || !told.CompareAndSwap(last, now) {
			return
		}
		p.log.Warn("an origin sent more than its response; the rest was dropped and the connection closed", "site", s.Name, "origin", addr, "bytes", bytes)
	}
}

// RoundTrip implements http.RoundTripper, for the standard library.
func (o *origin) RoundTrip(r *http.Request) (*http.Response, error) { return o.send(r, nil) }

// send sends r, whose URL holds nothing but the target, to one of the servers,
// and passes interim responses to interim, if that is not nil. A server that
// cannot be connected to has seen nothing of the request, so another try is safe
// whatever the method.
func (o *origin) send(r *http.Request, interim func(status int, h http.Header) error) (*http.Response, error) {
	target := r.URL.Opaque
	keepHost := r.Host
	if body := r.Body; body != nil && body != http.NoBody {
		// It is closed when nobody could be connected to either, and there may be
		// another server for it.
		r.Body = io.NopCloser(body)
	}
	for try := 0; ; try++ {
		s := o.pick()
		if keepHost == "" {
			r.Host = s.url.Host
		}
		var resp *http.Response
		var err error
		if s.direct != nil && r.Header["Upgrade"] == nil {
			resp, err = s.direct.RoundTrip(r, prefixOf(s.url)+target, interim)
		} else {
			resp, err = o.transport(r, s, target, interim)
		}
		if err == nil && !isAnswer(resp, r) {
			resp.Body.Close()
			return nil, fmt.Errorf("the origin answered with the status %d, which is no answer", resp.StatusCode)
		}
		var dial *net.OpError
		if err == nil || !errors.As(err, &dial) || dial.Op != "dial" {
			return resp, err
		}
		if r.Context().Err() != nil {
			return nil, err // it is not the server that could not
		}
		s.down.Store(time.Now().Add(downFor).UnixNano())
		if try >= max(o.retries, len(o.servers)-1) {
			return nil, err
		}
	}
}

// transport sends r to a server by net/http.
func (o *origin) transport(r *http.Request, s *server, target string, interim func(status int, h http.Header) error) (*http.Response, error) {
	rt := o.rt
	if s.direct != nil {
		rt = o.tunnels
	}
	ctx := r.Context()
	if needsHTTP1(r) {
		ctx = context.WithValue(ctx, http1Only{}, true)
	}
	if interim != nil {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			Got1xxResponse: func(status int, h textproto.MIMEHeader) error { return interim(status, http.Header(h)) },
		})
	}
	var used use
	if isUnsafe(r.Method) {
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: used.got})
	}
	if ctx != r.Context() {
		r = r.WithContext(ctx)
	}
	setTarget(r.URL, s.url, target)
	resp, err := rt.RoundTrip(r)
	for err != nil && used.unbegun() && rewind(r) {
		resp, err = rt.RoundTrip(r)
	}
	return resp, err
}

// A use is what a request was given for a connection.
type use struct {
	conn  *framed // nil: not a kept one
	begun int
}

func (u *use) got(i httptrace.GotConnInfo) {
	if u.conn, _ = i.Conn.(*framed); !i.Reused {
		u.conn = nil
	}
	if u.conn != nil {
		u.begun = u.conn.requests()
	}
}

// unbegun reports whether the kept connection that a request was given turned
// out to be closed before any of it was written. Transport tries such a request
// again only if that is what it hears of first; where it hears of the
// connection's end, it takes a POST for one that the origin may have seen.
func (u *use) unbegun() bool {
	c := u.conn
	u.conn = nil
	return c != nil && c.requests() == u.begun
}

// rewind makes r's content readable from its start again, if it can be.
func rewind(r *http.Request) bool {
	if r.Context().Err() != nil {
		return false
	}
	if r.Body == nil || r.Body == http.NoBody {
		return true
	}
	if r.GetBody == nil {
		return false
	}
	var err error
	r.Body, err = r.GetBody()
	return err == nil
}

// isAnswer reports whether a status can answer r: one below 100 is none, and
// protocols are switched for who asks for it only.
func isAnswer(resp *http.Response, r *http.Request) bool {
	return resp.StatusCode >= 100 && (resp.StatusCode != http.StatusSwitchingProtocols || r.Header["Upgrade"] != nil)
}

// pick returns the next server that is up, or the next one if none is.
func (o *origin) pick() *server {
	n := uint32(len(o.servers))
	if n == 1 {
		return o.servers[0]
	}
	first := o.next.Add(1)
	now := time.Now().UnixNano()
	for i := range n {
		if s := o.servers[(first+i)%n]; s.down.Load() <= now {
			return s
		}
	}
	return o.servers[first%n]
}

// CloseIdleConnections closes what connections are kept and not used.
func (o *origin) CloseIdleConnections() {
	if c, ok := o.rt.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
	for _, s := range o.servers {
		if s.direct != nil {
			s.direct.Close()
		}
	}
}

// newFetch returns the request that a fill sends.
func (p *Proxy) newFetch(ctx context.Context, q *request, header http.Header) *http.Request {
	r := (&http.Request{
		Method:     http.MethodGet,
		URL:        &url.URL{Opaque: q.key.Target()},
		Proto:      "HTTP/1.1",
		ProtoMajor: 1,
		ProtoMinor: 1,
		Header:     header,
		Host:       q.originHost(),
	}).WithContext(ctx)
	return r
}

// originHost is the Host that the origin is sent; "" means its own.
func (q *request) originHost() string {
	if q.site.OriginHost {
		return ""
	}
	return q.host
}

// failureOf says what went wrong with the origin: as a status and in words for a
// client, and in one token for Cache-Status.
func failureOf(err error) (status int, detail, text string) {
	var netErr net.Error
	var own errStatus
	var op *net.OpError
	switch {
	case errors.As(err, &own):
		return int(own), "origin-error", own.Error() + " to others who asked, several times"
	case errors.Is(err, errNoWait):
		return http.StatusGatewayTimeout, "origin-timeout", errNoWait.Error()
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		return http.StatusGatewayTimeout, "origin-timeout", "the origin did not answer in time"
	case errors.As(err, &op) && op.Op == "dial":
		return http.StatusBadGateway, "origin-unreachable", "the origin could not be reached"
	case errors.Is(err, http1.ErrHeadTooLarge), strings.Contains(err.Error(), "response headers exceeded"): // net/http has no name for it
		return http.StatusBadGateway, "origin-head-too-large", "the head of the origin's answer is larger than limits.origin_header_bytes"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), op != nil:
		return http.StatusBadGateway, "origin-broke-off", "the origin broke off before it had answered"
	}
	return http.StatusBadGateway, "origin-invalid", "the origin's answer is not valid HTTP"
}

// An errStatus is an answer of the origin's that says it failed, for those whom
// the answer itself was not for.
type errStatus int

func (e errStatus) Error() string { return "the origin answered " + strconv.Itoa(int(e)) }

// errNoWait ends the patience of a client whose fetch others were busy with.
var errNoWait = fmt.Errorf("nobody's fetch of this page was answered in time")
