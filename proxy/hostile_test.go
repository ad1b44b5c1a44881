package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"surrogate/store/memstore"
)

// Real sockets, for what a bubble cannot hold: origins that do to a connection
// what they please.

// A trial is one way in which an origin is hostile.
type trial struct {
	name   string
	does   func(c net.Conn, r *http.Request) // with the connection, after a request; it is closed then
	status int                               // what the client is answered; 0: nothing, the connection breaks
	broken bool                              // the client can tell that the body is not whole
	body   string
	stored bool // answered from the store the second time
}

// says sends bytes.
func says(s string) func(net.Conn, *http.Request) {
	return func(c net.Conn, _ *http.Request) { io.WriteString(c, s) }
}

// resets sends bytes, and then a reset instead of an end.
func resets(s string) func(net.Conn, *http.Request) {
	return func(c net.Conn, _ *http.Request) {
		io.WriteString(c, s)
		c.(*net.TCPConn).SetLinger(0)
	}
}

// stalls sends bytes, and then nothing more until the proxy gives up.
func stalls(s string) func(net.Conn, *http.Request) {
	return func(c net.Conn, _ *http.Request) {
		io.WriteString(c, s)
		io.Copy(io.Discard, c)
	}
}

const fresh = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"

var trials = []trial{
	{name: "well-behaved", does: says(fresh + "Content-Length: 5\r\n\r\nhello"), status: 200, body: "hello", stored: true},
	{name: "body shorter than its length", does: says(fresh + "Content-Length: 50\r\n\r\nhello"), status: 200, body: "hello", broken: true},
	{name: "body longer than its length", does: says(fresh + "Content-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\nsmuggled"), status: 200, body: "hello", stored: true},
	{name: "chunks break off", does: says(fresh + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), status: 200, body: "hello", broken: true},
	{name: "chunk size is none", does: says(fresh + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n"), status: 200, body: "hello", broken: true},
	{name: "chunk larger than anything", does: says(fresh + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nfffffffffffffffff\r\n"), status: 200, body: "hello", broken: true},
	{name: "body ends with the connection", does: says(fresh + "\r\nhello"), status: 200, body: "hello", stored: true},
	{name: "reset before the head", does: resets(""), status: 502},
	{name: "reset within the head", does: resets(fresh), status: 502},
	{name: "closed before the head", does: says(""), status: 502},
	{name: "closed within the head", does: says(fresh + "X-Half"), status: 502},
	{name: "never answers", does: stalls(""), status: 504},
	{name: "never ends its head", does: stalls(fresh), status: 504},
	{name: "stops within the body", does: stalls(fresh + "Content-Length: 50\r\n\r\nhello"), status: 200, body: "hello", broken: true},
	{name: "garbage", does: says("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 garbage\r\n\r\n"), status: 502},
	{name: "another protocol", does: says("220 mail.example ESMTP\r\n"), status: 502},
	{name: "status is none", does: says("HTTP/1.1 abc OK\r\n\r\n"), status: 502},
	{name: "status below 100", does: says("HTTP/1.1 007 Bond\r\nCache-Control: max-age=60\r\nContent-Length: 0\r\n\r\n"), status: 502},
	{name: "status above 599", does: says("HTTP/1.1 999 Odd\r\nContent-Length: 5\r\n\r\nhello"), status: 999, body: "hello"},
	{name: "field without a colon", does: says(fresh + "no colon here\r\nContent-Length: 5\r\n\r\nhello"), status: 502},
	{name: "field name with a blank", does: says(fresh + "X Y: 1\r\nContent-Length: 5\r\n\r\nhello"), status: 200, body: "hello", stored: true},
	{name: "two lengths", does: says(fresh + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"), status: 502},
	{name: "length below 0", does: says(fresh + "Content-Length: -5\r\n\r\nhello"), status: 502},
	{name: "unknown coding", does: says(fresh + "Transfer-Encoding: gzip\r\n\r\nhello"), status: 502},
	{name: "200 KB of tags", does: func(c net.Conn, _ *http.Request) {
		fmt.Fprintf(c, "%sSurrogate-Key: %s\r\nContent-Length: 5\r\n\r\nhello", fresh, strings.Repeat("tag-and-another ", 13000))
	}, status: 200, body: "hello", stored: true},
	{name: "a head over the limit", does: func(c net.Conn, _ *http.Request) {
		for range 3 << 10 {
			if _, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nX-Large: %s\r\n", strings.Repeat("x", 1<<10)); err != nil {
				return
			}
		}
	}, status: 502},
	{name: "no end of interim responses", does: func(c net.Conn, _ *http.Request) {
		for {
			if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"); err != nil {
				return
			}
		}
	}, status: 502},
	{name: "an upgrade nobody asked for", does: says("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: odd\r\n\r\nodd"), status: 502},
	{name: "a 304 nobody asked for", does: says("HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\n\r\n"), status: 502},
	{name: "a 206 nobody asked for", does: says("HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=60\r\nContent-Range: bytes 0-4/10\r\nContent-Length: 5\r\n\r\nhello"), status: 206, body: "hello"},
	{name: "a 206 of nothing", does: says("HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=60\r\nContent-Range: bytes 9-4/x\r\nContent-Length: 5\r\n\r\nhello"), status: 206, body: "hello"},
}

// A rogue is an origin on a real socket.
type rogue struct {
	l  net.Listener
	wg sync.WaitGroup
}

// newRogue serves each connection one request with does.
func newRogue(t *testing.T, does func(net.Conn, *http.Request)) *rogue {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &rogue{l: l}
	o.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			o.wg.Go(func() {
				defer c.Close()
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				does(c, r)
			})
		}
	})
	return o
}

func (o *rogue) close() { o.l.Close(); o.wg.Wait() }

// besieged opens a house on real sockets before an origin, with little
// patience.
func besieged(t *testing.T, does func(net.Conn, *http.Request)) (*house, *httptest.Server) {
	o := newRogue(t, does)
	site := shopSite()
	site.Origins = []*url.URL{{Scheme: "http", Host: o.l.Addr().String()}}
	site.Fill.ResponseTimeout = 300 * time.Millisecond
	site.Fill.IdleTimeout = 300 * time.Millisecond
	h := openHouse(t, slog.New(slog.DiscardHandler), site, memstore.Options{}, nil)
	server := httptest.NewServer(h.public)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	t.Cleanup(func() {
		server.Close()
		h.close()
		o.close()
	})
	return h, server
}

func TestHostileOrigins(t *testing.T) {
	for _, c := range trials {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h, server := besieged(t, c.does)
			for round := range 2 {
				status, body, fields, err := fetch(t, server, "GET", "/a", nil)
				if status != c.status {
					t.Fatalf("round %d: status %d, body %q, error %v; want %d", round, status, body, err, c.status)
				}
				if c.status < 500 && string(body) != c.body {
					t.Errorf("round %d: body %q, want %q", round, body, c.body)
				}
				if (err != nil) != c.broken {
					t.Errorf("round %d: reading the body: %v; want an error: %v", round, err, c.broken)
				}
				if hit := strings.Contains(fields.Get("Cache-Status"), "; hit"); hit != (c.stored && round > 0) {
					t.Errorf("round %d: Cache-Status is %q", round, fields["Cache-Status"])
				}
				settle(h)
			}
			st, err := h.store.Stats(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if c.broken && st.Entries != 0 {
				t.Errorf("%d entries are left of what was not whole", st.Entries)
			}
			if st.Entries > 1 {
				t.Errorf("%d entries of one response", st.Entries)
			}
		})
	}
}

// settle waits until what was answered is stored, which is after the client has
// all of it; for a little while only, since most of what is sent here must not
// be stored.
func settle(h *house) {
	for end := time.Now().Add(100 * time.Millisecond); h.proxy.Stats()[0].Stored == 0 && time.Now().Before(end); {
		runtime.Gosched()
	}
}

// fetch asks over a connection of its own.
func fetch(t *testing.T, server *httptest.Server, method, path string, content io.Reader) (status int, body []byte, fields http.Header, err error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, content)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{DisableKeepAlives: true}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(r)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, resp.Header, err
}

// TestNobodyListens: an origin that is not there is a 502, and one of two is
// enough.
func TestNobodyListens(t *testing.T) {
	o := newRogue(t, says(fresh+"Content-Length: 5\r\n\r\nhello"))
	defer o.close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	site := shopSite()
	site.Origins = []*url.URL{{Scheme: "http", Host: gone.Addr().String()}}
	h := openHouse(t, slog.New(slog.DiscardHandler), site, memstore.Options{}, nil)
	defer h.close()
	server := httptest.NewServer(h.public)
	defer server.Close()
	if status, body, _, err := fetch(t, server, "GET", "/a", nil); status != 502 {
		t.Errorf("without an origin: %d, %q, %v", status, body, err)
	}
	site.Origins = append(site.Origins, &url.URL{Scheme: "http", Host: o.l.Addr().String()})
	h.site = site
	if err := h.change("keep", "1h"); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if status, body, _, err := fetch(t, server, "GET", fmt.Sprintf("/%d", i), nil); status != 200 {
			t.Errorf("with one of two: %d, %q, %v", status, body, err)
		}
	}
}

// dial opens a client's connection and sends a request.
func dial(t *testing.T, server *httptest.Server, request string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(c, request)
	return c, bufio.NewReader(c)
}

const getA = "GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n"

// TestResetWithinBody: a client that has half of a page is not told that it has
// all, and nobody is shown the half.
func TestResetWithinBody(t *testing.T) {
	half := make(chan struct{})
	h, server := besieged(t, func(c net.Conn, _ *http.Request) {
		io.WriteString(c, fresh+"Content-Length: 50\r\n\r\nhello")
		<-half
		c.(*net.TCPConn).SetLinger(0)
	})
	_, in := dial(t, server, getA)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != "hello" {
		t.Errorf("first came %q, %v", got, err)
	}
	close(half)
	if rest, err := io.ReadAll(resp.Body); err == nil || len(rest) > 0 {
		t.Errorf("then came %q, %v", rest, err)
	}
	if st, err := h.store.Stats(t.Context()); err != nil || st.Entries != 0 {
		t.Errorf("%d entries, %v", st.Entries, err)
	}
}

// TestEventStream: each event is here before the next is sent.
func TestEventStream(t *testing.T) {
	next := make(chan struct{})
	_, server := besieged(t, func(c net.Conn, _ *http.Request) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n\r\n")
		for i := range 3 {
			fmt.Fprintf(c, "data: %d\n\n", i)
			<-next
		}
	})
	_, in := dial(t, server, getA)
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	body := bufio.NewReader(resp.Body)
	for i := range 3 {
		line, err := body.ReadString('\n')
		if want := fmt.Sprintf("data: %d\n", i); err != nil || line != want {
			t.Fatalf("event %d is %q, %v", i, line, err)
		}
		body.ReadString('\n')
		next <- struct{}{}
	}
	if rest, err := io.ReadAll(body); err != nil || len(rest) > 0 {
		t.Errorf("at the end came %q, %v", rest, err)
	}
}

// TestUpgrade: a connection that both sides switch to another protocol becomes a
// tunnel.
func TestUpgrade(t *testing.T) {
	_, server := besieged(t, func(c net.Conn, r *http.Request) {
		if r.Header.Get("Upgrade") != "echo" {
			return
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		io.Copy(c, c)
	})
	c, in := dial(t, server, "GET /ws HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	resp, err := http.ReadResponse(in, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "echo" {
		t.Fatalf("%v, %v", resp, err)
	}
	for _, word := range []string{"one", "two"} {
		fmt.Fprintln(c, word)
		if got, err := in.ReadString('\n'); err != nil || got != word+"\n" {
			t.Fatalf("echo of %s is %q, %v", word, got, err)
		}
	}
}

// TestClientLeavesDownload: the origin is not read on for nobody.
func TestClientLeavesDownload(t *testing.T) {
	gone := make(chan error, 1)
	_, server := besieged(t, func(c net.Conn, _ *http.Request) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n\r\n")
		for {
			if _, err := io.WriteString(c, strings.Repeat("x", 64<<10)); err != nil {
				gone <- err
				return
			}
		}
	})
	c, in := dial(t, server, getA)
	if _, err := http.ReadResponse(in, nil); err != nil {
		t.Fatal(err)
	}
	c.Close()
	select {
	case <-gone:
	case <-time.After(20 * time.Second):
		t.Error("the origin goes on sending")
	}
}
