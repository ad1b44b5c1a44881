package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"surrogate/proxy"
)

// A socketed house is served over sockets, hits answered inline.
type socketed struct {
	secure bool
	server *http.Server
	inline *proxy.Inline
	addr   string
	long   atomic.Int64
}

func newSocketed(t testing.TB, h *house, secure bool) *socketed {
	return newSocketedFor(t, h, secure, h.public.ServeHTTP)
}

// newSocketedFor has a handler in place of the house's own for what is no hit.
func newSocketedFor(t testing.TB, h *house, secure bool, handler http.HandlerFunc) *socketed {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &socketed{secure: secure, addr: l.Addr().String()}
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	p.SetHTTP2(secure)
	s.server = &http.Server{
		Handler:   http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.long.Add(1); handler(w, r) }),
		Protocols: &p, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 75 * time.Second,
	}
	s.inline = h.proxy.Inline(s.server)
	if secure {
		l = s.inline.SecureListener(l, serverTLS())
	} else {
		l = s.inline.Listener(l)
	}
	go s.server.Serve(l)
	t.Cleanup(func() { s.server.Close() })
	return s
}

// A halfCloser is what a client has of a connection, plain or over TLS.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

func (s *socketed) dial(t testing.TB) halfCloser { return s.dialFor(t, "http/1.1") }

// dialFor is for one protocol, which plain connections need not be told.
func (s *socketed) dialFor(t testing.TB, protocol string) halfCloser {
	var c net.Conn
	var err error
	if s.secure {
		c, err = tls.Dial("tcp", s.addr, clientTLS(protocol))
	} else {
		c, err = net.Dial("tcp", s.addr)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(halfCloser)
}

func say(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// hear reads one response and returns its body.
func hear(t testing.TB, r *bufio.Reader, method string) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// Answers come in the order of their requests, whoever gives them, and a miss
// does not take the connection away from the hits that follow.
func TestInlineTakesTurns(t *testing.T) { bothWays(t, inlineTakesTurns) }

func inlineTakesTurns(t *testing.T, secure bool) {
	h, _ := newInlineHouse(t)
	defer h.close()
	s := newSocketed(t, h, secure)
	c := s.dial(t)
	r := bufio.NewReader(c)
	for range 3 { // one after the other
		for _, q := range []struct{ method, path, status string }{
			{"GET", "/page", "hit"}, {"HEAD", "/medium", "hit"}, {"GET", "/none", "fwd=uri-miss"}, {"GET", "/page", "hit"}, {"POST", "/none", "fwd=method"}, {"GET", "/big", "hit"},
		} {
			if q.method == "POST" {
				say(t, c, ask("POST", q.path, "Content-Length: 5")+"12345")
			} else {
				say(t, c, ask(q.method, q.path))
			}
			resp, _ := hear(t, r, q.method)
			if got := resp.Header.Values("Cache-Status"); !strings.Contains(got[len(got)-1], q.status) {
				t.Errorf("%s %s is answered with %q", q.method, q.path, got)
			}
		}
	}
	// A POST is answered before net/http has stopped watching whether its client
	// leaves: the next request may be its, too. Then it lets go.
	if n := s.long.Load(); n < 6 || n > 12 {
		t.Errorf("%d requests went the long way, 6 had to", n)
	}
	for range 20 {
		say(t, c, ask("GET", "/page"))
		hear(t, r, "GET")
	}
	if n := s.long.Load(); n > 13 {
		t.Errorf("%d requests went the long way after all", n)
	}
	// All at once.
	say(t, c, ask("GET", "/gone")+ask("GET", "/none?1")+ask("GET", "/big")+ask("GET", "/page"))
	for _, want := range []int{404, 200, 200, 200} {
		if resp, _ := hear(t, r, "GET"); resp.StatusCode != want {
			t.Errorf("status %d, want %d", resp.StatusCode, want)
		}
	}
}

// However a request is cut, it is answered.
func TestInlineSplitRequests(t *testing.T) { bothWays(t, inlineSplitRequests) }

func inlineSplitRequests(t *testing.T, secure bool) {
	h, _ := newInlineHouse(t)
	defer h.close()
	s := newSocketed(t, h, secure)
	text := ask("GET", "/page", "Accept: */*") + ask("GET", "/gone")
	c := s.dial(t)
	r := bufio.NewReader(c)
	for cut := 1; cut < len(text); cut++ {
		say(t, c, text[:cut])
		if cut%3 == 0 {
			runtime.Gosched()
		}
		say(t, c, text[cut:])
		for _, want := range []int{200, 404} {
			if resp, _ := hear(t, r, "GET"); resp.StatusCode != want {
				t.Fatalf("cut at %d: status %d, want %d", cut, resp.StatusCode, want)
			}
		}
	}
}

// A client that has said all it will is answered, and then the connection ends.
func TestInlineHalfClosed(t *testing.T) { bothWays(t, inlineHalfClosed) }

func inlineHalfClosed(t *testing.T, secure bool) {
	h, _ := newInlineHouse(t)
	defer h.close()
	s := newSocketed(t, h, secure)
	for _, text := range []string{ask("GET", "/page"), ask("GET", "/big") + ask("GET", "/page"), ""} {
		c := s.dial(t)
		say(t, c, text)
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		out, err := io.ReadAll(c)
		if err != nil || bytes.Count(out, []byte("HTTP/1.1 200 OK")) != strings.Count(text, "GET ") {
			t.Errorf("%q is answered %.100q, %v", text, out, err)
		}
	}
}

// Shutting down ends idle connections at once, and cuts no answer that a client
// still reads.
func TestInlineDrain(t *testing.T) { bothWays(t, inlineDrain) }

func inlineDrain(t *testing.T, secure bool) {
	h, _ := newInlineHouse(t)
	defer h.close()
	s := newSocketed(t, h, secure)

	fresh, used := s.dial(t), s.dial(t) // one that net/http knows nothing of, and one it does
	served := s.dial(t)                 // and one whose misses it knows nothing of
	for c, text := range map[halfCloser]string{fresh: ask("GET", "/page"), served: ask("GET", "/none"), used: ask("POST", "/none", "Content-Length: 0")} {
		say(t, c, text)
		hear(t, bufio.NewReader(c), "GET")
	}
	// A client that does not read: the answers fill its window, and then wait.
	slow := s.dial(t)
	const n = 200
	go io.WriteString(slow, strings.Repeat(ask("GET", "/big"), n))
	in := bufio.NewReader(slow)
	if _, err := in.Peek(100); err != nil {
		t.Fatal(err)
	}

	shut := make(chan error)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		err := s.server.Shutdown(ctx)
		if err == nil {
			err = s.inline.Drain(ctx)
		}
		shut <- err
	}()
	for _, c := range []halfCloser{fresh, served, used} {
		c.SetReadDeadline(time.Now().Add(4 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("an idle connection does not end: %v", err)
		}
	}
	select {
	case err := <-shut:
		t.Fatalf("it was drained, %v, while an answer was being written", err)
	default:
	}
	whole := 0
	for {
		resp, err := http.ReadResponse(in, &http.Request{Method: "GET"})
		if err != nil {
			if err != io.ErrUnexpectedEOF && err != io.EOF && !strings.Contains(err.Error(), syscall.ECONNRESET.Error()) {
				t.Error(err)
			}
			break
		}
		if body, err := io.ReadAll(resp.Body); err != nil || len(body) != 200<<10 {
			t.Fatalf("answer %d is cut after %d: %v", whole, len(body), err)
		}
		whole++
	}
	if whole == 0 || whole == n {
		t.Errorf("%d answers came, of %d", whole, n)
	}
	if err := <-shut; err != nil {
		t.Errorf("draining: %v", err)
	}
}

// Whoever does not read holds up nobody but himself, and when time is up he is
// cut off.
func TestInlineCut(t *testing.T) { bothWays(t, inlineCut) }

func inlineCut(t *testing.T, secure bool) {
	h, _ := newInlineHouse(t)
	defer h.close()
	s := newSocketed(t, h, secure)
	slow := s.dial(t)
	go io.WriteString(slow, strings.Repeat(ask("GET", "/big"), 200))
	in := bufio.NewReader(slow)
	if _, err := in.Peek(100); err != nil {
		t.Fatal(err)
	}
	other := s.dial(t)
	say(t, other, ask("GET", "/page"))
	hear(t, bufio.NewReader(other), "GET")

	s.cutOff(t, 50*time.Millisecond)
}

// cutOff shuts down, which does not come to its end in time, and cuts off what is left.
func (s *socketed) cutOff(t *testing.T, after time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), after)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if err == nil {
		err = s.inline.Drain(ctx)
	}
	if err == nil {
		t.Error("nothing was left to cut")
	}
	s.server.Close()
	s.inline.Cut()
	if err := s.inline.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

// What 10,000 connections cost that wait for their next request, a goroutine of
// net/http's with its buffers each included.
func TestInlineIdleMemory(t *testing.T) {
	for _, c := range []struct {
		name   string
		secure bool
		n      int
		opens  []byte
		begins string // of the answer
		most   float64
	}{
		{"plain", false, 10_000, []byte(ask("GET", "/page")), "HTTP/1.1 200", 10_000},
		{"misses", false, 10_000, []byte(ask("GET", "/none")), "HTTP/1.1 200", 10_000},
		{"tls", true, 2500, []byte(ask("GET", "/page")), "HTTP/1.1 200", 25_000},                     // by net/http 39,000
		{"http2", false, 5000, newHTTP2Script().get(1, "/page").Bytes(), "\x00\x00\x1e\x04", 40_000}, // settings; by net/http 33,500
	} {
		t.Run(c.name, func(t *testing.T) {
			if testing.Short() || racing {
				t.Skip("opens 10,000 connections, and counts bytes")
			}
			n := c.n
			var lim syscall.Rlimit
			if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err == nil {
				n = min(n, (int(lim.Cur)-200)/2)
			}
			h, _ := newInlineHouse(t)
			defer h.close()
			s := newSocketed(t, h, c.secure)
			held := func() uint64 {
				runtime.GC()
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return m.HeapInuse + m.StackInuse
			}
			before := held()
			conns := make([]halfCloser, n)
			b := make([]byte, 4<<10)
			for i := range conns {
				conns[i] = s.dial(t)
				say(t, conns[i], string(c.opens))
				if k, err := conns[i].Read(b); err != nil || !bytes.HasPrefix(b[:k], []byte(c.begins)) {
					t.Fatalf("%q %v", b[:k], err)
				}
				for c.name == "http2" && !bytes.Contains(b, []byte("a page at ")) {
					if _, err := conns[i].Read(b); err != nil {
						t.Fatal(err)
					}
				}
				clear(b)
			}
			each := float64(held()-before) / float64(n)
			t.Logf("%d idle connections hold %.1f KB each, their clients' end included", n, each/1000)
			if each > c.most {
				t.Errorf("an idle connection holds %.0f bytes", each)
			}
		})
	}
}
