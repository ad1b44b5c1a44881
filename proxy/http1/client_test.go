package http1

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// An origin answers requests with bytes of the test's choice.
type origin struct {
	net.Listener
	conns, open, most atomic.Int64 // connections there were, are, and were at once
}

// start starts an origin; false from answer ends the connection.
func start(t testing.TB, answer func(c net.Conn, r *http.Request) bool) *origin {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &origin{Listener: l}
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); all.Wait() })
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			o.conns.Add(1)
			if n := o.open.Add(1); n > o.most.Load() {
				o.most.Store(n)
			}
			all.Go(func() {
				defer o.open.Add(-1)
				defer c.Close()
				br := bufio.NewReader(c)
				for {
					r, err := http.ReadRequest(br)
					if err != nil || !answer(c, r) {
						return
					}
				}
			})
		}
	})
	return o
}

func ok(c net.Conn, body string) bool {
	_, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	return err == nil
}

// client asks o.
func (o *origin) client(t testing.TB, edit func(*Options)) *Client {
	opt := Options{Addr: o.Addr().String(), Dialer: &net.Dialer{}, MaxIdle: 8, ResponseTimeout: time.Minute}
	if edit != nil {
		edit(&opt)
	}
	c := New(opt)
	t.Cleanup(c.Close)
	return c
}

func request(ctx context.Context, method, content string, again bool) *http.Request {
	r, err := http.NewRequestWithContext(ctx, method, "http://shop.example/", nil)
	if err != nil {
		panic(err)
	}
	if content != "" {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(content)), int64(len(content))
		if again {
			r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
		}
	}
	return r
}

// read sends r and returns the content that comes back.
func read(c *Client, r *http.Request) (string, error) {
	resp, err := c.RoundTrip(r, "/", nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

// TestRequestOnTheWire: what a request is written as.
func TestRequestOnTheWire(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*http.Request)
		want string // "": it is refused
	}{
		{"plain", func(*http.Request) {}, "GET /a%2F?b HTTP/1.1\r\nHost: shop.example\r\n\r\n"},
		{"fields by name", func(r *http.Request) {
			r.Header = http.Header{"B": {"2", "3"}, "A": {"1"}, "C": {""}, "User-Agent": {"x"}}
		}, "GET /a%2F?b HTTP/1.1\r\nHost: shop.example\r\nA: 1\r\nB: 2\r\nB: 3\r\nC: \r\nUser-Agent: x\r\n\r\n"},
		{"no agent", func(r *http.Request) { r.Header["User-Agent"] = []string{""} }, "GET /a%2F?b HTTP/1.1\r\nHost: shop.example\r\n\r\n"},
		{"framing is ours", func(r *http.Request) {
			r.Header = http.Header{"Content-Length": {"9"}, "Transfer-Encoding": {"x"}, "Trailer": {"A"}, "Host": {"other"}}
		}, "GET /a%2F?b HTTP/1.1\r\nHost: shop.example\r\n\r\n"},
		{"POST of nothing", func(r *http.Request) { r.Method = "POST" }, "POST /a%2F?b HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 0\r\n\r\n"},
		{"it is to close", func(r *http.Request) { r.Close = true }, "GET /a%2F?b HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"},
		{"a zone", func(r *http.Request) { r.Host = "[fe80::1%25eth0]:80" }, "GET /a%2F?b HTTP/1.1\r\nHost: [fe80::1]:80\r\n\r\n"},
		{"a line in a value", func(r *http.Request) { r.Header["A"] = []string{"b\r\nC: d"} }, ""},
		{"a line in a name", func(r *http.Request) { r.Header["A\r\nB"] = []string{"c"} }, ""},
		{"a line in the host", func(r *http.Request) { r.Host = "a\r\nB: c" }, ""},
		{"a method that is none", func(r *http.Request) { r.Method = "GET /x HTTP/1.1\r\n" }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := request(t.Context(), "GET", "", false)
			c.edit(r)
			b, err := new(room).appendRequest(nil, r, "/a%2F?b")
			if err == nil && string(b) != c.want || (err == nil) != (c.want != "") {
				t.Errorf("%q, %v; want %q", b, err, c.want)
			}
		})
	}
	if b, err := new(room).appendRequest(nil, request(t.Context(), "GET", "", false), "/a b"); err == nil {
		t.Errorf("a blank in the target: %q", b)
	}
}

// TestConnectionsAreUsedAgain: one exchange after another on one connection,
// whatever they are.
func TestConnectionsAreUsedAgain(t *testing.T) {
	large := strings.Repeat("x", 100<<10)
	o := start(t, func(c net.Conn, r *http.Request) bool {
		b, err := io.ReadAll(r.Body)
		switch {
		case err != nil:
			t.Error(err)
		case r.Method == "POST":
			return ok(c, fmt.Sprintf("%d %d %v %v", len(b), r.ContentLength, r.TransferEncoding, r.Trailer))
		case r.Header.Get("X-Kind") == "head":
			_, err = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nX: %s\r\nContent-Length: 2\r\n\r\nok", large)
		case r.Header.Get("X-Kind") == "chunks":
			_, err = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n%x\r\n%s\r\n0\r\nT: v\r\n\r\n", len(large), large)
		case r.Header.Get("X-Kind") == "hints":
			_, err = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
		default:
			return ok(c, large)
		}
		return err == nil
	})
	c := o.client(t, nil)
	ask := func(name, want string, r *http.Request) {
		t.Helper()
		if got, err := read(c, r); got != want || err != nil {
			t.Errorf("%s: %.40q, %v; want %.40q", name, got, err, want)
		}
	}
	for range 3 {
		r := request(t.Context(), "GET", "", false)
		ask("a body", large, r)
		for kind, want := range map[string]string{"head": "ok", "chunks": "abc" + large, "hints": ""} {
			r := request(t.Context(), "GET", "", false)
			r.Header.Set("X-Kind", kind)
			ask(kind, want, r)
		}
		ask("content that is here", "3 3 [] map[]", request(t.Context(), "POST", "a=1", true))
		ask("content as it comes", fmt.Sprint(len(large), " ", len(large), " [] map[]"), request(t.Context(), "POST", large, false))
		r = request(t.Context(), "POST", large, false)
		r.ContentLength, r.Trailer = -1, http.Header{"Sum": {"1"}}
		ask("in chunks", fmt.Sprint(len(large), " -1 [chunked] map[Sum:[1]]"), r)
		// More than a socket takes at once, and content behind it.
		r = request(t.Context(), "POST", "a=1", true)
		r.Header.Set("X-Large", strings.Repeat("y", 8<<20))
		ask("a large request", "3 3 [] map[]", r)
	}
	if n := o.conns.Load(); n != 1 {
		t.Errorf("%d connections were made, want one", n)
	}
}

// TestKeptConnectionHasEnded: nothing of the request was written, so it goes out
// on another connection, whatever it is.
func TestKeptConnectionHasEnded(t *testing.T) {
	ended := make(chan bool)
	o := start(t, func(c net.Conn, r *http.Request) bool {
		io.Copy(io.Discard, r.Body)
		ok(c, "x")
		c.Close()
		ended <- true
		return false
	})
	c := o.client(t, nil)
	for _, again := range []bool{true, false} {
		for range 20 {
			if got, err := read(c, request(t.Context(), "POST", "once", again)); got != "x" || err != nil {
				t.Fatalf("%q, %v", got, err)
			}
			<-ended
		}
	}
}

// TestLostRequests: the origin takes a request on a kept connection and ends
// without an answer. What may be sent twice is.
func TestLostRequests(t *testing.T) {
	for _, x := range []struct {
		method, content string
		again, key      bool
		times           int
	}{{"GET", "", false, false, 2}, {"HEAD", "", false, false, 2}, {"DELETE", "", false, false, 1}, {"DELETE", "", false, true, 2},
		{"POST", "a", true, false, 1}, {"POST", "a", true, true, 2}, {"POST", "a", false, true, 1}} {
		t.Run(fmt.Sprintf("%s/%q/again=%v/key=%v", x.method, x.content, x.again, x.key), func(t *testing.T) {
			var times atomic.Int64
			o := start(t, func(c net.Conn, r *http.Request) bool {
				io.Copy(io.Discard, r.Body)
				if r.Header.Get("X-Lost") != "" && times.Add(1) == 1 {
					return false
				}
				return ok(c, "")
			})
			c := o.client(t, nil)
			if _, err := read(c, request(t.Context(), "GET", "", false)); err != nil {
				t.Fatal(err)
			}
			r := request(t.Context(), x.method, x.content, x.again)
			r.Header.Set("X-Lost", "1")
			if x.key {
				r.Header.Set("Idempotency-Key", "1")
			}
			_, err := read(c, r)
			if n := times.Load(); n != int64(x.times) || (err == nil) != (x.times == 2) {
				t.Errorf("it was sent %d times, want %d: %v", n, x.times, err)
			}
		})
	}
}

// TestMaxConns: there are never more connections than there may be, and whoever
// waits for one gets it.
func TestMaxConns(t *testing.T) {
	o := start(t, func(c net.Conn, r *http.Request) bool { return ok(c, "x") && r.Header.Get("X-End") == "" })
	c := o.client(t, func(o *Options) { o.MaxConns, o.MaxIdle = 3, 2 })
	var all sync.WaitGroup
	for w := range 16 {
		all.Go(func() {
			for i := range 50 {
				r := request(t.Context(), "GET", "", false)
				if (w+i)%5 == 0 {
					r.Header.Set("X-End", "1")
				}
				if got, err := read(c, r); got != "x" || err != nil {
					t.Errorf("%q, %v", got, err)
					return
				}
			}
		})
	}
	all.Wait()
	// What is closed here the origin may see later, so its count says less.
	if n := len(c.slots); n != 0 {
		t.Errorf("%d connections are still counted", n)
	}
	var held []io.Closer
	for range 3 {
		nc, err := c.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, nc)
	}
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() { _, err := read(c, request(ctx, "GET", "", false)); failed <- err }()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("a fourth: %v", err)
	}
	c.o.ResponseTimeout = time.Millisecond
	if _, err := read(c, request(t.Context(), "GET", "", false)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a fourth, without end: %v", err)
	}
	c.o.ResponseTimeout = time.Minute
	for _, nc := range held {
		nc.Close()
		nc.Close()
	}
	if got, err := read(c, request(t.Context(), "GET", "", false)); got != "x" || err != nil {
		t.Errorf("after them: %q, %v", got, err)
	}
}

// TestReap: connections that the origin has closed, or that nobody has used for
// long, are not held until somebody wants one.
func TestReap(t *testing.T) {
	ended := make(chan bool, 1)
	o := start(t, func(c net.Conn, r *http.Request) bool {
		if r.Header.Get("X-End") != "" {
			ok(c, "x")
			c.(*net.TCPConn).CloseWrite()
			ended <- true
			return true
		}
		return ok(c, "x")
	})
	var surplus atomic.Int64
	c := o.client(t, func(o *Options) { o.Surplus = func(n int) { surplus.Add(int64(n)) } })
	idle := func() int { c.mu.Lock(); defer c.mu.Unlock(); return len(c.idle) }
	r := request(t.Context(), "GET", "", false)
	if _, err := read(c, r); err != nil || idle() != 1 {
		t.Fatalf("%d are kept, %v", idle(), err)
	}
	if c.reap(); idle() != 1 {
		t.Errorf("one that is well was closed")
	}
	r.Header.Set("X-End", "1")
	if _, err := read(c, r); err != nil {
		t.Fatal(err)
	}
	<-ended
	if c.reap(); idle() != 0 {
		t.Errorf("one that has ended is kept")
	}
	r.Header.Del("X-End")
	if _, err := read(c, r); err != nil || idle() != 1 {
		t.Fatalf("%d are kept, %v", idle(), err)
	}
	c.o.IdleTimeout = 0
	if c.reap(); idle() != 0 || surplus.Load() != 0 {
		t.Errorf("one that is old is kept; a surplus of %d", surplus.Load())
	}
	c.Close()
	if _, err := read(c, r); err != nil || idle() != 0 {
		t.Errorf("after Close %d are kept, %v", idle(), err)
	}
}
