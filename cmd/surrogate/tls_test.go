package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

func dialer(addr string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
}

// secureFor starts the program in front of origin with these certificates, on a
// free port for HTTPS, whose address it returns.
func secureFor(t *testing.T, origin, text string, pairs ...pair) (p *process, addr, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "proxy.toml")
	writeFile(t, file, tlsConfig(origin, text, pairs...))
	p = serving(t, "--config", file)
	return p, p.out.await(t, `proxy on https://(127\.0\.0\.1:\d+), `)[1], file
}

func tlsConfig(origin, text string, pairs ...pair) string {
	var certificates, keys []string
	for _, p := range pairs {
		certificates, keys = append(certificates, fmt.Sprintf("%q", p.certificate)), append(keys, fmt.Sprintf("%q", p.key))
	}
	return fmt.Sprintf("[tls]\nlisten = \"127.0.0.1:0\"\ncertificates = [%s]\nkeys = [%s]\n%s\n[[site]]\norigins = [%q]\n",
		strings.Join(certificates, ","), strings.Join(keys, ","), text, origin)
}

// fetch gets a URL and returns the answer, read.
func fetch(t *testing.T, c *http.Client, method, url string, fields ...string) answered {
	t.Helper()
	a, err := tryWith(c, method, url, "", fields...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return a
}

// The origin is told the scheme, hits are served over both versions of HTTP, and
// what came over HTTP is another page.
func TestHTTPS(t *testing.T) {
	a := newAuthority(t)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Surrogate-Key", "red")
		fmt.Fprintf(w, "%s %s", r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-Host"))
	}))
	defer origin.Close()
	p, addr, _ := secureFor(t, origin.URL, "", a.files(t, "shop", 90*days, "shop.example"), a.files(t, "blog", 90*days, "blog.example", "*.blog.example"))
	for _, proto := range []string{"HTTP/2.0", "HTTP/1.1"} {
		c := a.clientTo(t, addr, proto == "HTTP/2.0")
		var got answered
		eventually(t, func() error {
			if got = fetch(t, c, "GET", "https://shop.example/a"); !isHit(got) {
				return fmt.Errorf("%s", got.cache())
			}
			return nil
		})
		if got.Proto != proto || got.body != "https shop.example" || got.TLS.PeerCertificates[0].DNSNames[0] != "shop.example" {
			t.Errorf("%s: %s %q %v", proto, got.Proto, got.body, got.TLS.PeerCertificates[0].DNSNames)
		}
		if got := fetch(t, c, "GET", "https://www.blog.example/a"); got.TLS.PeerCertificates[0].DNSNames[0] != "blog.example" {
			t.Errorf("%s: blog is shown %v", proto, got.TLS.PeerCertificates[0].DNSNames)
		}
		if got := fetch(t, c, "GET", "https://shop.example/a", "Host: www.blog.example"); got.StatusCode != 421 || !strings.Contains(got.body, "this connection is not for the host") {
			t.Errorf("%s: another's host over this connection: %s %s", proto, got.Status, got.body)
		}
	}
	if got := get(t, p.proxy+"/a", "Host: shop.example"); isHit(got) || got.body != "http shop.example" {
		t.Errorf("over HTTP: %s %q", got.cache(), got.body)
	}

	// A purge by URL takes what its scheme says; by tag all.
	c := a.clientTo(t, addr, true)
	if got := fetch(t, c, "PURGE", "https://shop.example/", "Surrogate-Key: red"); got.StatusCode != 200 {
		t.Errorf("PURGE over HTTP/2: %s %s", got.Status, got.body)
	}
	if got := fetch(t, c, "GET", "https://shop.example/a"); isHit(got) {
		t.Error("purged, and still a hit")
	}
	if text := get(t, p.admin+"/metrics").body; !strings.Contains(text, `surrogate_tls_expires_seconds{name="shop.example"} `) ||
		!strings.Contains(text, "# HELP surrogate_tls_expires_seconds when") || !strings.Contains(text, "surrogate_tls_failures_total 0") {
		t.Error("/metrics lacks the certificates")
	}

	// Old versions of TLS are not spoken.
	_, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: a.pool, ServerName: "shop.example", MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10})
	if err == nil || !strings.Contains(err.Error(), "protocol version") {
		t.Errorf("TLS 1.1: %v", err)
	}
}

// Whoever has not sent his handshake in time is cut off, and plain HTTP is told so.
func TestSlowHandshake(t *testing.T) {
	a := newAuthority(t)
	origin, _ := taggingOrigin(t)
	_, addr, _ := secureFor(t, origin, "[limits]\nheader_timeout = \"50ms\"\n", a.files(t, "shop", 90*days, "shop.example"))
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(patience))
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("silence is answered with %v", err)
	}
	if resp, err := client.Get("http://" + addr + "/"); err != nil || resp.StatusCode != 400 {
		t.Errorf("HTTP to the port of HTTPS: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
}

// TestHTTP2Off: clients fall back.
func TestHTTP2Off(t *testing.T) {
	a := newAuthority(t)
	origin, _ := taggingOrigin(t)
	_, addr, _ := secureFor(t, origin, "http2 = false\nmin_version = \"1.3\"", a.files(t, "shop", 90*days, "shop.example"))
	if got := fetch(t, a.clientTo(t, addr, true), "GET", "https://shop.example/"); got.Proto != "HTTP/1.1" || got.TLS.Version != tls.VersionTLS13 {
		t.Errorf("spoke %s over %x", got.Proto, got.TLS.Version)
	}
}

// Clients are told how many requests they may have in progress at once.
func TestHTTP2Streams(t *testing.T) {
	a := newAuthority(t)
	origin, _ := taggingOrigin(t)
	_, addr, _ := secureFor(t, origin, "[limits]\nhttp2_streams = 7\n", a.files(t, "shop", 90*days, "shop.example"))
	c, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: a.pool, ServerName: "shop.example", NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, http2.ClientPreface)
	f := http2.NewFramer(c, c)
	f.WriteSettings()
	frame, err := f.ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := frame.(*http2.SettingsFrame).Value(http2.SettingMaxConcurrentStreams); !ok || n != 7 {
		t.Errorf("told %d, %t", n, ok)
	}
}

// A renewed certificate is shown after SIGHUP, and no request is lost to that; a
// broken one changes nothing.
func TestRenewedUnderTraffic(t *testing.T) {
	a := newAuthority(t)
	origin, _ := taggingOrigin(t)
	shop := a.files(t, "shop", 30*days, "shop.example")
	p, addr, file := secureFor(t, origin, "", shop)
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			c := a.clientTo(t, addr, true)
			c.Transport.(*http.Transport).DisableKeepAlives = true // a handshake each
			for {
				select {
				case <-stop:
					return
				default:
				}
				if got, err := tryWith(c, "GET", "https://shop.example/", ""); err != nil || got.StatusCode != 200 {
					t.Errorf("%v, %v", got.Response, err)
					return
				}
			}
		})
	}
	shown := func() *x509.Certificate {
		t.Helper()
		c, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: a.pool, ServerName: "shop.example"})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0]
	}
	before := shown()
	a.files(t, "shop", 90*days, "shop.example")
	p.signal(t, syscall.SIGHUP)
	p.log.await(t, "msg=reloaded")
	after := shown()
	if !after.NotAfter.After(before.NotAfter) {
		t.Errorf("shows %v after %v", after.NotAfter, before.NotAfter)
	}
	writeFile(t, file, tlsConfig(origin, "", shop, pair{a.dir + "/nowhere.pem", shop.key}))
	p.signal(t, syscall.SIGHUP)
	p.log.await(t, `reload refused, all stays as it was" error="tls.certificates: couldn't read the certificate: open \S+nowhere.pem: no such file`)
	if !shown().Equal(after) {
		t.Error("a refused reload changed the certificate")
	}
	blog := a.files(t, "blog", 90*days, "blog.example")
	writeFile(t, file, tlsConfig(origin, "", shop, blog))
	p.signal(t, syscall.SIGHUP)
	p.log.await(t, `(?s)msg=reloaded.*msg=reloaded`)
	if got := fetch(t, a.clientTo(t, addr, true), "GET", "https://blog.example/"); got.StatusCode != 200 {
		t.Errorf("a host that was added: %s", got.Status)
	}
	close(stop)
	clients.Wait()
}

// A download over HTTP/2 in progress is finished, and its connection taken no more
// requests on.
func TestDrainHTTP2(t *testing.T) {
	more := make(chan struct{})
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		<-more
		io.WriteString(w, "last")
	}))
	defer origin.Close()
	a := newAuthority(t)
	p, addr, _ := secureFor(t, origin.URL, "", a.files(t, "shop", 90*days, "shop.example"))
	c := a.clientTo(t, addr, true)
	resp, err := c.Get("https://shop.example/slow")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	p.signal(t, syscall.SIGTERM)
	p.log.await(t, "finishing the requests in progress")
	eventually(t, func() error {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return fmt.Errorf("still accepts")
		}
		return nil
	})
	close(more)
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "first last" {
		t.Errorf("ended with %q, %v", body, err)
	}
	if code := p.ended(t); code != 0 || !strings.Contains(p.log.String(), "every request was finished") {
		t.Errorf("ended with %d:\n%s", code, p.log)
	}
}

func TestRedirectHTTPS(t *testing.T) {
	a := newAuthority(t)
	origin, asked := taggingOrigin(t)
	shop := a.files(t, "shop", 90*days, "shop.example")
	p, addr, file := secureFor(t, origin, "", shop)
	untilHit(t, p.proxy+"/a?b=%2F&c=1", "Host: shop.example:8080") // what is stored over HTTP is not shown any more
	writeFile(t, file, tlsConfig(origin, "[defaults]\nredirect_https = true\n", shop))
	p.signal(t, syscall.SIGHUP)
	p.log.await(t, "msg=reloaded")
	before := asked.Load()
	for method, path := range map[string]string{"GET": "/a?b=%2F&c=1", "POST": "/a//b/../c"} {
		got := ask(t, method, p.proxy+path, "", "Host: shop.example:8080")
		if want := "https://shop.example" + path; got.StatusCode != 308 || got.Header.Get("Location") != want {
			t.Errorf("%s %s: %s to %q, want %q", method, path, got.Status, got.Header.Get("Location"), want)
		}
	}
	if asked.Load() != before {
		t.Error("the origin was asked")
	}
	if got := get(t, p.proxy+"/.well-known/acme-challenge/x", "Host: shop.example"); got.StatusCode != 200 {
		t.Errorf("a challenge that is for the origin: %s", got.Status)
	}
	if got := ask(t, "PURGE", p.proxy+"/a", "", "Host: shop.example"); got.StatusCode != 200 {
		t.Errorf("PURGE: %s", got.Status)
	}
	if got := fetch(t, a.clientTo(t, addr, true), "GET", "https://shop.example/a"); got.StatusCode != 200 {
		t.Errorf("over HTTPS: %s", got.Status)
	}
	// What a trusted proxy says came over HTTPS did; and the port is what it is outside.
	writeFile(t, file, tlsConfig(origin, "redirect_to = 8443\n[defaults]\nredirect_https = true", shop))
	p.signal(t, syscall.SIGHUP)
	p.log.await(t, "(?s)msg=reloaded.*msg=reloaded")
	if got := get(t, p.proxy+"/a", "Host: [::1]:8080"); got.Header.Get("Location") != "https://[::1]:8443/a" {
		t.Errorf("to %q", got.Header.Get("Location"))
	}
	trusting := serveFor(t, origin, "--set", "proxies.trusted=127.0.0.1", "--set", "defaults.redirect_https=true")
	if got := get(t, trusting.proxy+"/a", "X-Forwarded-Proto: https"); got.StatusCode != 200 {
		t.Errorf("behind a proxy that speaks HTTPS: %s", got.Status)
	}
	if got := get(t, trusting.proxy+"/a", "X-Forwarded-Proto: http"); got.StatusCode != 308 {
		t.Errorf("behind a proxy that was asked by HTTP: %s", got.Status)
	}
}

// What is wrong with HTTPS is found before anything is served.
func TestTLSMistakes(t *testing.T) {
	a := newAuthority(t)
	good := a.files(t, "good", 90*days, "shop.example")
	other := a.files(t, "other", -days, "blog.example")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	site := "[[site]]\nhosts = [\"shop.example\", \"blog.example\", \"*.shop.example\"]\norigins = [\"http://127.0.0.1:3000\"]\n"
	mixed := fmt.Sprintf("certificates = %q\nkeys = %q\n", good.certificate, other.key)
	pairs := fmt.Sprintf("certificates = [%q, %q]\nkeys = [%q, %q]\n", good.certificate, other.certificate, good.key, other.key)
	for text, want := range map[string]string{
		"[tls]\nlisten = \"127.0.0.1:0\"\n" + mixed + site:                                                        "private key does not match",
		"[tls]\nlisten = \"127.0.0.1:0\"\nacme = true\nacme_storage = \"x\"\n" + site:                             "no certificate can be got for *.shop.example",
		"[tls]\nlisten = \"127.0.0.1:0\"\nacme = true\n" + site:                                                   "set tls.acme_storage",
		"[tls]\nlisten = \"127.0.0.1:0\"\n" + site:                                                                "it needs tls.certificates, or tls.acme = true",
		"[tls]\nacme = true\n" + site:                                                                             "there is no HTTPS",
		"[tls]\nlisten = \":1\"\nacme = true\nacme_storage = \"x\"\nacme_hosts = [\"*.a.example\"]" + "\n" + site: "needs the DNS challenge",
		"[tls]\nlisten = \":8080\"\n" + pairs + site:                                                              "where HTTP is served",
		"[tls]\nlisten = \":1\"\nkeys = [\"a\", \"b\"]\n" + mixed[:strings.Index(mixed, "\n")+1] + site:           "want a key for each of the certificates, of which there are 1",
	} {
		file := writeFile(t, "", text)
		for _, args := range [][]string{{"check", file}, {"--config", file, "--admin", "127.0.0.1:0"}} {
			if code, out, errs := said(t, args...); code != 1 || !strings.Contains(out+errs, want) {
				t.Errorf("%q: exit %d, want %q:\n%s%s", args, code, want, out, errs)
			}
		}
	}
	file := writeFile(t, "", "[tls]\nlisten = \""+taken.Addr().String()+"\"\n"+pairs+site)
	if code, _, errs := said(t, "--config", file, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"); code != 1 || !strings.Contains(errs, "something else does already; tls.listen sets another") {
		t.Errorf("a port that is taken: %d %s", code, errs)
	}
	code, out, _ := said(t, "check", file)
	for _, want := range []string{"good.pem for shop.example, until ", "other.pem for blog.example, until ", "which is past: clients refuse it", "no certificate for *.shop.example: browsers will refuse"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("check: exit %d, want %q:\n%s", code, want, out)
		}
	}
}
