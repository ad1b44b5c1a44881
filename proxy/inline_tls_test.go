package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/proxy"
	"surrogate/store"
	"surrogate/store/memstore"
)

// Scheme and host of a request over TLS are what they are on the ordinary way.
func TestInlineSecureSites(t *testing.T) {
	for _, c := range []struct {
		name, peer, input string
		long              int
	}{
		{"https", visitor, ask("GET", "/page"), 0},
		{"https from a trusted proxy", inFront, ask("GET", "/page"), 0},
		{"https, and said so", inFront, ask("GET", "/page", "X-Forwarded-Proto: https"), 0},
		{"http, as a trusted proxy says", inFront, ask("GET", "/page", "X-Forwarded-Proto: http"), 1},
		{"http, as anybody says", visitor, ask("GET", "/page", "X-Forwarded-Proto: http"), 0},
		{"another's host", visitor, strings.ReplaceAll(ask("GET", "/page"), "example", "example:8080"), 1},
		{"another's host, from a trusted proxy", inFront, strings.ReplaceAll(ask("GET", "/page"), "example", "example:8080"), 0},
		{"the right host after another's", visitor, strings.ReplaceAll(ask("GET", "/page"), "example", "example:8080") + ask("GET", "/page"), 1},
		{"HTTP/2 without ALPN", visitor, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 1},
		{"HTTP/2 after a miss", visitor, ask("GET", "/none") + "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 2},
		{"HTTP/2 in the middle", visitor, ask("GET", "/page") + "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			alike(t, true, c.peer, c.input, c.long, func(t *testing.T) *house {
				h, _ := newInlineHouse(t, func(o *proxy.Options) {
					o.Sites[0].RedirectHTTPS = 443
					o.Covers = func(c *tls.ConnectionState, host string) bool { return host == c.ServerName }
				})
				return h
			})
		})
	}
}

// A connection that does not come to HTTP/1.1 ends as it does at net/http, says
// the same, and is logged the same.
func TestInlineHandshakes(t *testing.T) {
	hello := func(config *tls.Config) string { return string(helloOf(config)) }
	for _, c := range []struct {
		name, input, log string
		config           *tls.Config // of a client that shakes hands; nil: it says input
	}{
		{name: "silence", log: "i/o timeout"},
		{name: "half a hello", input: hello(clientTLS())[:50], log: "i/o timeout"},
		{name: "no more than a hello", input: hello(clientTLS()), log: "i/o timeout"},
		{name: "HTTP", input: ask("GET", "/page"), log: "client sent an HTTP request to an HTTPS server"},
		{name: "something else", input: "\x00\x01\x02\x03\x04\x05\x06\x07", log: "first record does not look like a TLS handshake"},
		{name: "SSL 2", input: "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", log: "unsupported SSLv2 handshake received"},
		{name: "an old version", input: hello(&tls.Config{ServerName: shopHost, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), log: "unsupported versions"},
		{name: "an unknown protocol", input: hello(clientTLS("h3")), log: "unsupported application protocols"},
		{name: "an alert", input: "\x15\x03\x01\x00\x02\x02\x28", log: "handshake failure"},
		{name: "distrust", config: &tls.Config{ServerName: "blog.example", MaxVersion: tls.VersionTLS12}, log: "bad certificate"},
		{name: "a challenge", config: clientTLS("acme-tls/1")},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out, logged [2]string
				var took [2]time.Duration
				for i, inline := range []bool{false, true} {
					h, _ := newInlineHouse(t)
					defer h.close()
					var text lines
					s := newWiredOver(h, inline, true)
					s.server.ErrorLog = log.New(&text, "", 0)
					w := newWire(visitor, []byte(c.input), 0)
					w.open = true
					began := time.Now()
					done := s.serve(w)
					if c.config != nil {
						client := tls.Client(farEnd{w}, c.config)
						if err := client.Handshake(); err == nil {
							_, err = client.Read(make([]byte, 1))
							if out[i] = err.Error(); err != io.EOF {
								t.Errorf("it ends with %v", err)
							}
						}
					}
					<-done
					took[i] = time.Since(began)
					synctest.Wait()
					if c.config == nil && !strings.Contains(c.name, "hello") { // whose answers are never the same
						out[i] = w.output.String()
					}
					s.close()
					logged[i] = wirePorts.ReplaceAllString(text.String(), "*")
				}
				if out[0] != out[1] || took[0] != took[1] {
					t.Errorf("it is told %q after %v, and inline %q after %v", out[0], took[0], out[1], took[1])
				}
				if logged[0] != logged[1] || !strings.Contains(logged[1], c.log) || (c.log == "") != (logged[1] == "") {
					t.Errorf("logged is\n%s\nand inline\n%s\nwant %q", logged[0], logged[1], c.log)
				}
			})
		})
	}
}

var wirePorts = regexp.MustCompile(regexp.QuoteMeta(visitor) + `:\d+`)

// helloOf is what a client begins with.
func helloOf(config *tls.Config) []byte {
	w := newWire(visitor, nil, 0)
	w.closed = true // so it hears nothing
	_ = tls.Client(farEnd{w}, config).Handshake()
	return w.input
}

type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// A panic in a handshake ends that connection, and no other.
func TestInlineHandshakePanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newInlineHouse(t)
		defer h.close()
		var text lines
		config := serverTLS()
		config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if hello.ServerName != shopHost {
				panic("at the disco")
			}
			return nil, nil
		}
		s := &wired{wires: newWires(), server: &http.Server{Handler: h.public, ErrorLog: log.New(&text, "", 0)}}
		go s.server.Serve(h.proxy.Inline(s.server).SecureListener(s.wires, config))
		defer s.close()
		w := newWire(visitor, nil, 0)
		w.open = true
		done := s.serve(w)
		if err := tls.Client(farEnd{w}, &tls.Config{ServerName: "blog.example"}).Handshake(); err == nil {
			t.Error("it shook hands")
		}
		<-done
		if got := text.String(); !strings.Contains(got, "at the disco") || !strings.Contains(got, "inline_tls_test.go") {
			t.Errorf("logged is %q", got)
		}
		c := s.call(visitor, true)
		c.say(ask("GET", "/page"))
		synctest.Wait()
		c.leave()
		if !strings.Contains(c.heard(), "surrogate; hit") {
			t.Errorf("another is answered %q", c.heard())
		}
	})
}

// A client who has yet to shake hands does not hold up the end, whatever he has
// said, and nothing is left of him.
func TestInlineDrainsHandshakes(t *testing.T) {
	h, _ := newInlineHouse(t)
	defer h.close()
	s := newSocketed(t, h, true)
	var all []net.Conn
	for _, text := range []string{"", "\x16", string(helloOf(clientTLS("http/1.1")))} {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		say(t, c, text)
		all = append(all, c)
	}
	if _, err := all[2].Read(make([]byte, 1)); err != nil { // the server's hello: all were accepted
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second) // below net/http's five for new connections
	defer cancel()
	if err := s.server.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if err := s.inline.Drain(ctx); err != nil {
		t.Error(err)
	}
	for i, c := range all {
		c.SetReadDeadline(time.Now().Add(4 * time.Second))
		if _, err := io.Copy(io.Discard, c); err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("connection %d: %v", i, err)
		}
	}
}

// HTTP/2 is had by ALPN, and what is no hit knows that it is over TLS.
func TestInlineSecureHTTP2(t *testing.T) {
	h, _ := newInlineHouse(t)
	defer h.close()
	told := make(chan *tls.ConnectionState, 3)
	s := newSocketedFor(t, h, true, func(w http.ResponseWriter, r *http.Request) {
		h.public.ServeHTTP(w, r)
		told <- r.TLS
	})
	client := s.http2Client(t)
	for _, path := range []string{"/page", "/none", "/page"} {
		resp, _, err := s.get(t.Context(), client, path)
		if err != nil {
			t.Fatal(err)
		}
		if resp.ProtoMajor != 2 {
			t.Errorf("%s is answered over %s", path, resp.Proto)
		}
	}
	if over := <-told; over == nil || over.NegotiatedProtocol != "h2" || over.ServerName != shopHost {
		t.Errorf("net/http was asked over %v", over)
	}
	if n := s.long.Load(); n != 1 {
		t.Errorf("%d requests reached net/http", n)
	}
	// Whoever agreed on HTTP/2 and speaks something else is let go.
	c := s.dialFor(t, "h2")
	say(t, c, ask("GET", "/page"))
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if out, err := io.ReadAll(c); len(out) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("it is told %q, %v", out, err)
	}
}

// A connection that had hits can become another protocol's, in both directions.
func TestInlineUpgrade(t *testing.T) { bothWays(t, inlineUpgrade) }

func inlineUpgrade(t *testing.T, secure bool) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "echo" {
			w.Header().Set("Cache-Control", "max-age=600")
			fmt.Fprint(w, r.Header.Get("X-Forwarded-Proto"))
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprint(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		rw.Flush()
		io.Copy(c, rw)
	}))
	defer origin.Close()
	site := shopSite()
	site.Origins = nil
	if u, err := url.Parse(origin.URL); err == nil {
		site.Origins = append(site.Origins, u)
	}
	h := openHouse(t, slog.New(slog.DiscardHandler), site, memstore.Options{}, nil)
	defer h.close()
	s := newSocketed(t, h, secure)
	scheme := map[bool]string{false: "http", true: "https"}[secure]
	<-send(t, h.public, "GET", scheme, shopHost, "/a", nil, "", inFront).done // so that it is stored
	c := s.dial(t)
	r := bufio.NewReader(c)
	say(t, c, ask("GET", "/a"))
	if _, body := hear(t, r, "GET"); body != scheme || s.long.Load() != 0 {
		t.Errorf("the origin was told %q, %d requests went the long way", body, s.long.Load())
	}
	say(t, c, ask("GET", "/b", "Connection: Upgrade", "Upgrade: echo"))
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 101 {
		t.Fatalf("%v, %v", resp, err)
	}
	for _, text := range []string{ask("GET", "/a"), strings.Repeat("long ", 10<<10)} {
		go io.WriteString(c, text)
		got := make([]byte, len(text))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != text {
			t.Errorf("%.20q comes back as %.20q, %v", text, got, err)
		}
	}
}

// What is refreshed early for a request over TLS is the page for HTTPS.
func TestInlineSecureEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fetches, plain atomic.Int64
		site := shopSite()
		site.Early, site.EarlyHeat = 1, 1
		h := openHouse(t, slog.New(slog.DiscardHandler), site, memstore.Options{}, func(*proxy.Site) http.RoundTripper {
			return roundTrip(func(r *http.Request) *http.Response {
				fetches.Add(1)
				if r.Header.Get("X-Forwarded-Proto") != "https" {
					plain.Add(1)
				}
				time.Sleep(time.Second)
				resp := inlinePages(r)
				resp.Header.Set("Cache-Control", "max-age=300")
				return resp
			})
		}, func(o *proxy.Options) { o.Heat = func(store.Key) float64 { return 600 } })
		defer h.close()
		s := newWiredOver(h, true, true)
		defer s.close()
		c := s.call(visitor, true)
		defer c.leave()
		for began := time.Now(); time.Since(began) < 20*time.Minute; time.Sleep(time.Second) {
			c.say(ask("GET", "/page"))
			synctest.Wait()
		}
		if n := fetches.Load(); n < 4 || plain.Load() > 0 {
			t.Errorf("%d fetches, %d of them for HTTP", n, plain.Load())
		}
	})
}
