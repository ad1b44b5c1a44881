package proxy

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"surrogate/proxy/http1"
	"surrogate/store/memstore"
)

// A wireOrigin answers requests with bytes of the test's choice.
type wireOrigin struct {
	net.Listener
	client   *http.Transport // knows its certificate; nil without TLS
	conns    atomic.Int64    // connections there have been
	requests atomic.Int64
}

// startOrigin starts an origin whose answer to a request is what answer writes;
// false ends the connection.
func startOrigin(t testing.TB, secure bool, answer func(c net.Conn, r *http.Request) bool) *wireOrigin {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = heldListener{l}
	o := &wireOrigin{Listener: l}
	if secure {
		s := httptest.NewTLSServer(nil) // for its certificate
		s.Close()
		o.client = s.Client().Transport.(*http.Transport)
		o.Listener = tls.NewListener(l, &tls.Config{Certificates: s.TLS.Certificates})
	}
	var all sync.WaitGroup
	t.Cleanup(func() { l.Close(); all.Wait() })
	all.Go(func() {
		for {
			c, err := o.Accept()
			if err != nil {
				return
			}
			o.conns.Add(1)
			all.Go(func() {
				defer c.Close()
				br := bufio.NewReader(c)
				for {
					r, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					o.requests.Add(1)
					io.Copy(io.Discard, r.Body)
					if !answer(c, r) {
						return
					}
				}
			})
		}
	})
	return o
}

type heldListener struct{ net.Listener }

func (l heldListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &heldConn{Conn: c}, err
}

// A heldConn keeps what is written, while it is to, and so decides what arrives
// at once.
type heldConn struct {
	net.Conn
	hold bool
	held []byte
}

func (c *heldConn) Write(b []byte) (int, error) {
	if !c.hold {
		return c.Conn.Write(b)
	}
	c.held = append(c.held, b...)
	return len(b), nil
}

// release sends what is held but for its last bytes.
func (c *heldConn) release(but int) {
	n := len(c.held) - but
	c.Conn.Write(c.held[:n])
	c.held = c.held[n:]
}

func (o *wireOrigin) url(path string) string {
	if o.client != nil {
		return "https://" + o.Addr().String() + path
	}
	return "http://" + o.Addr().String() + path
}

// newWireProxy is a Proxy of one site, with its own Transport, in front of o.
func newWireProxy(t testing.TB, o *wireOrigin, logTo io.Writer) *Proxy {
	t.Helper()
	u, err := url.Parse(o.url(""))
	if err != nil {
		t.Fatal(err)
	}
	st := memstore.New(memstore.Options{})
	p, err := New(Options{Store: st, Sites: []Site{{Name: "main", Origins: []*url.URL{u}}}, Log: slog.New(slog.NewTextHandler(logTo, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, s := range p.sites.Load().all {
			s.origin.CloseIdleConnections()
		}
		p.Close()
	})
	return p
}

// TestSurplusNeverAnswers: an origin's surplus is complete responses to be
// stored, and half of what is asked for makes it send that. Nobody sees it.
func TestSurplusNeverAnswers(t *testing.T) {
	const poison = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 6\r\n\r\npoison"
	o := startOrigin(t, false, func(c net.Conn, r *http.Request) bool {
		body, surplus := r.URL.Path, ""
		if strings.HasPrefix(body, "/bad") {
			surplus = poison
		}
		_, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: %d\r\n\r\n%s%s", len(body), body, surplus)
		return err == nil
	})
	stderr := netHTTPSays(t)
	var logged bytes.Buffer
	p := newWireProxy(t, o, &logged)
	const workers, each = 32, 50
	var wrong, failed atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				path := fmt.Sprintf("/good/%d/%d", w, i)
				if w%2 == 0 {
					path = fmt.Sprintf("/bad/%d/%d", w, i)
				}
				rec := httptest.NewRecorder()
				p.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), "GET", "http://shop.example"+path, nil))
				switch {
				case rec.Code != http.StatusOK:
					failed.Add(1)
				case rec.Body.String() != path:
					wrong.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if wrong.Load()+failed.Load() > 0 {
		t.Errorf("of %d answers %d were another's and %d failures", workers*each, wrong.Load(), failed.Load())
	}
	counted := p.counts.site("main").surplus.Get()
	if bad := uint64(workers * each / 2); counted != bad {
		t.Errorf("surplus was counted %d times, want %d", counted, bad)
	}
	if n := strings.Count(logged.String(), "level=WARN"); n != 1 || !strings.Contains(logged.String(), o.Addr().String()) {
		t.Errorf("%d warnings, want one that names the origin: %.300s", n, logged.String())
	}
	if s := stderr(); s != "" {
		t.Errorf("net/http had to say something: %.200s", s)
	}
}

// netHTTPSays returns what is written with package log during the test, as
// net/http does.
func netHTTPSays(t testing.TB) func() string {
	var mu sync.Mutex // guards said
	var said bytes.Buffer
	before := log.Writer()
	log.SetOutput(writerFunc(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return said.Write(b)
	}))
	t.Cleanup(func() { log.SetOutput(before) })
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return said.String()
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// newWire asks an origin as a site does, and counts the surplus: by plain HTTP, or
// by HTTPS where it is given roots.
func newWire(t testing.TB, o *wireOrigin, roots *http.Transport) (http.RoundTripper, *atomic.Int64) {
	surplus := new(atomic.Int64)
	count := func(addr string, bytes int) {
		if bytes <= 0 || addr == "" {
			t.Errorf("a surplus of %d bytes from %q", bytes, addr)
		}
		surplus.Add(1)
	}
	if roots == nil {
		fill := Fill{}.withDefaults()
		c := newDirect(&fill, o.Addr().String(), 0, count)
		t.Cleanup(c.Close)
		return direct{c}, surplus
	}
	tr := &http.Transport{ForceAttemptHTTP2: true, DisableCompression: true, MaxIdleConnsPerHost: 64, TLSHandshakeTimeout: 5 * time.Second, ReadBufferSize: 16 << 10, WriteBufferSize: 16 << 10}
	tr.TLSClientConfig = roots.TLSClientConfig.Clone()
	tr.TLSClientConfig.NextProtos = nil
	frame(tr, &net.Dialer{}, count)
	t.Cleanup(tr.CloseIdleConnections)
	return tr, surplus
}

// direct is an http1.Client as a RoundTripper.
type direct struct{ *http1.Client }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	return d.Client.RoundTrip(r, cmp.Or(r.URL.Opaque, r.URL.RequestURI()), nil)
}

// ask sends a request and returns its status and body.
func ask(t testing.TB, tr http.RoundTripper, method, target string, body io.Reader) (int, string, error) {
	r, err := http.NewRequestWithContext(t.Context(), method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// told waits until surplus was told of n times. A reader tells of it when it gets
// to, which may be after the next request was answered on another connection.
func told(surplus *atomic.Int64, n int64) {
	for end := time.Now().Add(10 * time.Second); surplus.Load() < n && time.Now().Before(end); {
		runtime.Gosched()
	}
}

// TestFramedConnection: what the origin sends decides whether the connection is
// used for the next request. late is sent when the answer has been read.
func TestFramedConnection(t *testing.T) {
	const attack = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	for _, c := range []struct {
		name, method, wire, late string
		want                     string // the body
		reused, surplus, ends    bool
	}{
		{"exact", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "", "abc", true, false, false},
		{"surplus with it", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef", "", "abc", false, true, false},
		{"surplus later", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "d", "abc", false, true, false},
		{"a response with it", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc" + attack, "", "abc", false, true, false},
		{"a response later", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", attack, "abc", false, true, false},
		{"a response behind none", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + attack, "", "", false, true, false},
		{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "", "abc", true, false, false},
		{"chunked and surplus", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + attack, "", "abc", false, true, false},
		{"trailers and surplus", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n" + attack, "", "abc", false, true, false},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "", "", true, false, false},
		{"HEAD with a body", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "", "", false, true, false},
		{"204 with a body", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc", "", "", false, true, false},
		{"304 with a body", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\nabc", "", "", false, true, false},
		{"1xx", "GET", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "", "abc", true, false, false},
		{"odd", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "", "abc", false, false, false},
		{"CONNECT", "CONNECT", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "", "abc", false, false, false},
		{"until the end", "GET", "HTTP/1.1 200 OK\r\n\r\nabc" + attack, "", "abc" + attack, false, false, true},
		{"408 later", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "abc", false, false, false},
		{"the end later", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "", "abc", false, false, true},
		{"a large head", "GET", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 200<<10) + "\r\nContent-Length: 3\r\n\r\nabcdef", "", "abc", false, true, false},
		{"a large body", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + strings.Repeat("a", 300_000) + attack, "", strings.Repeat("a", 300_000), false, true, false},
		{"a body of a buffer's size", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 16384\r\n\r\n" + strings.Repeat("a", 16384) + attack, "", strings.Repeat("a", 16384), false, true, false},
	} {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/tls=%v", c.name, secure), func(t *testing.T) {
				stderr := netHTTPSays(t)
				read, heard := make(chan bool), make(chan bool) // the answer was; what is late was sent
				o := startOrigin(t, secure, func(w net.Conn, r *http.Request) bool {
					if r.URL.Path == "/next" {
						io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext")
						return true
					}
					defer close(heard)
					io.WriteString(w, c.wire)
					if c.late != "" {
						<-read
						io.WriteString(w, c.late)
					}
					return !c.ends
				})
				tr, surplus := newWire(t, o, o.client)
				if _, got, err := ask(t, tr, c.method, o.url("/"), nil); got != c.want || err != nil {
					t.Errorf("body %.40q, %v", got, err)
				}
				close(read)
				<-heard
				method, body := "GET", io.Reader(nil)
				if c.late == "" && !c.ends {
					// Had the connection been put back, this would fail.
					method, body = "POST", io.MultiReader(strings.NewReader("once"))
				}
				if _, got, err := ask(t, tr, method, o.url("/next"), body); got != "next" || err != nil {
					t.Errorf("the next body is %q, %v", got, err)
				}
				if got := o.conns.Load() == 1; got != c.reused {
					t.Errorf("the connection was used again: %v, want %v", got, c.reused)
				}
				if c.surplus {
					told(surplus, 1)
				}
				if got := surplus.Load() == 1; got != c.surplus || surplus.Load() > 1 {
					t.Errorf("surplus was told of %d times", surplus.Load())
				}
				if s := stderr(); s != "" {
					t.Errorf("net/http had to say something: %.200s", s)
				}
			})
		}
	}
}

// TestSurplusLater races what comes late with the next request: what had come
// when the request began is never its answer, and the request is answered.
func TestSurplusLater(t *testing.T) {
	const attack = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprintf("tls=%v", secure), func(t *testing.T) {
			read, sent := make(chan bool), make(chan bool)
			o := startOrigin(t, secure, func(w net.Conn, r *http.Request) bool {
				io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
				if r.URL.Path == "/late" {
					<-read
					io.WriteString(w, attack)
					sent <- true
				}
				return true
			})
			tr, surplus := newWire(t, o, o.client)
			const rounds = 100
			for range rounds {
				for _, path := range []string{"/late", "/next"} {
					if _, got, err := ask(t, tr, "GET", o.url(path), nil); got != "abc" || err != nil {
						t.Fatalf("%s: %q, %v", path, got, err)
					}
					if path == "/late" {
						read <- true
						<-sent
					}
				}
			}
			told(surplus, rounds)
			if n := surplus.Load(); n != rounds {
				t.Errorf("surplus was told of %d times, want %d", n, rounds)
			}
		})
	}
}

// TestSurplusRecord: TLS has read the surplus, or a part of its record, and has
// not handed it out.
func TestSurplusRecord(t *testing.T) {
	const attack = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	for _, c := range []struct {
		name    string
		late    bool // sent when the response has been read
		missing int  // bytes of the record that come after the next request
		surplus int64
	}{{"whole", false, 0, 1}, {"part", false, 9, 0}, {"part of its header", false, len(attack) + 16 + 1 + 2, 0}, {"whole, late", true, 0, 1}, {"part, late", true, 9, 0}} {
		t.Run(c.name, func(t *testing.T) {
			read, sent := make(chan bool), make(chan bool, 1)
			o := startOrigin(t, true, func(w net.Conn, r *http.Request) bool {
				wire := w.(*tls.Conn).NetConn().(*heldConn)
				if r.URL.Path == "/next" {
					wire.release(0) // on a new connection that is nothing
					wire.hold = false
					io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext")
					return true
				}
				wire.hold = true
				io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
				if c.late {
					wire.release(0)
					<-read
				}
				io.WriteString(w, attack)
				wire.release(c.missing)
				sent <- true
				return true
			})
			tr, surplus := newWire(t, o, o.client)
			if _, got, err := ask(t, tr, "GET", o.url("/"), nil); got != "abc" || err != nil {
				t.Fatalf("body %q, %v", got, err)
			}
			close(read)
			<-sent
			method, body := "GET", io.Reader(nil)
			if !c.late {
				method, body = "POST", io.MultiReader(strings.NewReader("once"))
			}
			if _, got, err := ask(t, tr, method, o.url("/next"), body); got != "next" || err != nil {
				t.Errorf("the next body is %q, %v", got, err)
			}
			told(surplus, c.surplus)
			if n := surplus.Load(); n != c.surplus {
				t.Errorf("surplus was told of %d times", n)
			}
		})
	}
}

// A laggard hands out what it has read when it is told to.
type laggard struct {
	net.Conn
	took, hand chan bool
}

func (l *laggard) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if bytes.HasPrefix(b[:n], []byte("late")) {
		l.took <- true
		<-l.hand
	}
	return n, err
}

// TestSurplusOnItsWay: when a request is to begin the reader has taken the
// surplus from the system and has not come out with it yet.
func TestSurplusOnItsWay(t *testing.T) {
	late := make(chan bool)
	o := startOrigin(t, false, func(w net.Conn, r *http.Request) bool {
		io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
		<-late
		io.WriteString(w, "late")
		return true
	})
	c, err := net.Dial("tcp", o.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(c, false)
	l := &laggard{Conn: g, took: make(chan bool), hand: make(chan bool)}
	var surplus atomic.Int64
	f := newFramed(l, g, func(n int) { surplus.Add(int64(n)) })
	defer f.Close()
	const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	if _, err := io.WriteString(f, request); err != nil {
		t.Fatal(err)
	}
	br := bufio.NewReader(f)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	idle, wrote := make(chan error, 1), make(chan error, 1)
	go func() { _, err := br.Peek(1); idle <- err }()
	close(late)
	<-l.took
	go func() { _, err := io.WriteString(f, request); wrote <- err }()
	select {
	case err := <-wrote:
		t.Errorf("the next request began before it was known what had come: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(l.hand)
	if err := <-wrote; !errors.Is(err, errNotAgain) {
		t.Errorf("the next request: %v", err)
	}
	if err := <-idle; !errors.Is(err, errSurplus) {
		t.Errorf("the idle reader: %v", err)
	}
	if n := surplus.Load(); n != 4 || o.requests.Load() != 1 {
		t.Errorf("a surplus of %d bytes, %d requests arrived", n, o.requests.Load())
	}
}

// TestFramedHTTP2: HTTP/2 goes on being spoken with origins that can, and an
// upgrade to WebSocket goes over HTTP/1 and becomes a tunnel.
func TestFramedHTTP2(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			io.WriteString(w, r.Proto)
			return
		}
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.WriteHeader(http.StatusSwitchingProtocols)
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n")
		io.Copy(c, rw)
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	tr, surplus := newWire(t, nil, s.Client().Transport.(*http.Transport))
	o := &origin{servers: []*server{{url: &url.URL{Scheme: "https", Host: s.Listener.Addr().String()}, down: new(atomic.Int64)}}, rt: tr}
	for range 3 {
		resp, err := o.RoundTrip(wireRequest(t, "GET", nil))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.ProtoMajor != 2 || string(body) != "HTTP/2.0" {
			t.Errorf("answered in %s: %q", resp.Proto, body)
		}
	}
	r := wireRequest(t, "GET", nil)
	r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
	resp, err := o.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	tunnel, ok := resp.Body.(io.ReadWriteCloser)
	if !ok || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%s, body %T", resp.Status, resp.Body)
	}
	defer tunnel.Close()
	const hello = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n"
	for _, say := range []string{"", "GET / HTTP/1.1\r\n\r\n", "x"} {
		io.WriteString(tunnel, say)
		got := make([]byte, len(say))
		if say == "" {
			say, got = hello, make([]byte, len(hello))
		}
		if _, err := io.ReadFull(tunnel, got); string(got) != say || err != nil {
			t.Errorf("through the tunnel came %q, want %q: %v", got, say, err)
		}
	}
	if err := tunnel.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Errorf("half of the tunnel cannot be closed: %v", err)
	}
	if rest, err := io.ReadAll(tunnel); len(rest) > 0 || err != nil {
		t.Errorf("at the tunnel's end: %q, %v", rest, err)
	}
	if n := surplus.Load(); n != 0 {
		t.Errorf("surplus was told of %d times", n)
	}
}

// wireRequest is a request as an origin is given it.
func wireRequest(t testing.TB, method string, body io.Reader) *http.Request {
	r, err := http.NewRequestWithContext(t.Context(), method, "http://shop.example/", body)
	if err != nil {
		t.Fatal(err)
	}
	r.URL = &url.URL{Opaque: "/"}
	return r
}

// TestBodyIsNoRequest: a client's upload looks like a request, and the origin
// answers before it has come to its end. The answer's end begins no request.
func TestBodyIsNoRequest(t *testing.T) {
	const looks = "GET /admin HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, chunked := range []bool{false, true} {
		t.Run(fmt.Sprintf("chunked=%v", chunked), func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			answered := make(chan bool) // as far as the client can see
			var seen bytes.Buffer
			var origin sync.WaitGroup
			origin.Go(func() {
				c, err := l.Accept()
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				br := bufio.NewReader(io.TeeReader(c, &seen))
				for range 3 {
					r, err := http.ReadRequest(br)
					if err != nil {
						t.Error(err)
						return
					}
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
					if b, err := io.ReadAll(r.Body); err != nil || r.Method == "POST" && string(b) != strings.Repeat(looks, 3) {
						t.Errorf("%s has the body %q: %v", r.Method, b, err)
					}
				}
			})
			tr, surplus := newWire(t, &wireOrigin{Listener: l}, nil)
			for i := range 3 {
				method, body := "GET", io.Reader(nil)
				if i == 1 {
					pr, pw := io.Pipe()
					method, body = "POST", pr
					origin.Go(func() {
						io.WriteString(pw, looks)
						<-answered
						io.WriteString(pw, looks)
						io.WriteString(pw, looks)
						pw.Close()
					})
				}
				r := wireRequest(t, method, body)
				r.URL = &url.URL{Scheme: "http", Host: l.Addr().String(), Path: "/"}
				if body != nil && !chunked {
					r.ContentLength = int64(3 * len(looks))
				}
				resp, err := tr.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				if method == "POST" {
					close(answered)
				}
				if b, err := io.ReadAll(resp.Body); string(b) != "abc" || err != nil {
					t.Errorf("body %q, %v", b, err)
				}
				resp.Body.Close()
			}
			origin.Wait()
			if n := surplus.Load(); n != 0 {
				t.Errorf("surplus was told of %d times", n)
			}
		})
	}
}

// TestNeverTwice: a connection that ends when it is used again makes Transport
// repeat a GET. It repeats nothing that changes anything and has a body.
func TestNeverTwice(t *testing.T) {
	for _, c := range []struct {
		method string
		key    bool // Idempotency-Key, by which Transport repeats what has no body
		times  int
	}{{"GET", false, 2}, {"POST", false, 1}, {"POST", true, 1}, {"PUT", true, 1}, {"PATCH", false, 1}, {"DELETE", true, 1}} {
		t.Run(fmt.Sprintf("%s/key=%v", c.method, c.key), func(t *testing.T) {
			var times atomic.Int64
			o := startOrigin(t, false, func(w net.Conn, r *http.Request) bool {
				if r.Header.Get("X-Second") != "" && times.Add(1) == 1 {
					return false
				}
				io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
				return true
			})
			tr, _ := newWire(t, o, nil)
			org := &origin{servers: []*server{{url: &url.URL{Scheme: "http", Host: o.Addr().String()}, down: new(atomic.Int64)}}, rt: tr, retries: 3}
			for i := range 2 {
				var body io.Reader
				if c.method != "GET" {
					body = io.MultiReader(strings.NewReader("body")) // as from a client, not to be had again
				}
				r := wireRequest(t, c.method, body)
				if i == 1 {
					r.Header.Set("X-Second", "1")
				}
				if c.key {
					r.Header.Set("Idempotency-Key", "1")
				}
				resp, err := org.RoundTrip(r)
				if got, want := err == nil, i == 0 || c.times > 1; got != want {
					t.Errorf("request %d: %v", i+1, err)
				}
				if err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}
			if n := times.Load(); n != int64(c.times) {
				t.Errorf("the origin was sent it %d times, want %d", n, c.times)
			}
		})
	}
}

// TestFramedWithoutSocket: where nothing can be known of what has come in, a
// connection ends with its first response.
func TestFramedWithoutSocket(t *testing.T) {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	g := newGate(ours, false)
	f := newFramed(g, g, func(n int) { t.Errorf("a surplus of %d", n) })
	defer f.Close()
	go func() {
		http.ReadRequest(bufio.NewReader(theirs))
		io.WriteString(theirs, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
	}()
	if _, err := io.WriteString(f, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(f); !bytes.HasSuffix(b, []byte("\r\n\r\nabc")) || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if b, err := io.ReadAll(f); len(b) > 0 || err != nil {
		t.Errorf("behind it: %q, %v", b, err)
	}
	if n, err := io.WriteString(f, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); n != 0 || !errors.Is(err, errNotAgain) {
		t.Errorf("a second request: %d, %v", n, err)
	}
}

// TestFramedWrites: a connection on which more than a request was written, or
// no request, has no other. One that is closed lets nobody wait.
func TestFramedWrites(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, c := range []struct {
		name, first string
		refused     bool
	}{{"a request", request, false}, {"two requests", request + request, true}, {"lengths that differ", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 1\r\n\r\n", true}} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			ours, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer theirs.Close()
			g := newGate(ours, false)
			f := newFramed(g, g, func(n int) { t.Errorf("a surplus of %d", n) })
			defer f.Close()
			if _, err := io.WriteString(f, c.first); err != nil {
				t.Fatal(err)
			}
			io.WriteString(theirs, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
			for got := ""; !strings.HasSuffix(got, "abc"); {
				b := make([]byte, 99)
				n, err := f.Read(b)
				if got += string(b[:n]); err != nil && (!c.refused || err != io.EOF) {
					t.Fatalf("%q, %v", got, err)
				}
			}
			if !c.refused {
				f.Close() // or it could begin: all that came was read
			}
			wrote := make(chan error, 1)
			go func() { _, err := io.WriteString(f, request); wrote <- err }()
			if err := <-wrote; !errors.Is(err, errNotAgain) {
				t.Errorf("the next request: %v", err)
			}
		})
	}
}

// BenchmarkOriginFetch is a fetch of 4 KiB over a kept connection, by what sites
// use and by net/http alone.
func BenchmarkOriginFetch(b *testing.B) {
	for _, secure := range []bool{false, true} {
		for _, own := range []bool{false, true} {
			b.Run(fmt.Sprintf("tls=%v/own=%v", secure, own), func(b *testing.B) {
				answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nCache-Control: max-age=60\r\nContent-Length: 4096\r\n\r\n" + strings.Repeat("a", 4096))
				o := startOrigin(b, secure, func(w net.Conn, _ *http.Request) bool {
					_, err := w.Write(answer)
					return err == nil
				})
				rt, _ := newWire(b, o, o.client)
				if !own {
					tr := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
					if secure {
						tr.TLSClientConfig = o.client.TLSClientConfig.Clone()
					}
					defer tr.CloseIdleConnections()
					rt = tr
				}
				r, err := http.NewRequestWithContext(b.Context(), "GET", o.url("/"), nil)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					resp, err := rt.RoundTrip(r)
					if err != nil {
						b.Fatal(err)
					}
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			})
		}
	}
}
