package proxy_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/proxy"
	"surrogate/store/memstore"
)

// inlinePages is an origin that answers by path.
func inlinePages(r *http.Request) *http.Response {
	h := http.Header{"Content-Type": {"text/plain"}, "Cache-Control": {"max-age=60000"}, "Etag": {`"v1"`}}
	body, status := "a page at "+r.URL.Path, 200
	path, _, _ := strings.Cut(r.URL.Path, ".")
	if r.URL.Opaque != "" {
		path, _, _ = strings.Cut(r.URL.Opaque, "?")
	}
	switch path {
	case "/page", "/q", "/%2F":
		h.Set("Last-Modified", fixedDate)
		h.Add("X-Twice", "one")
		h.Add("X-Twice", "two")
		h.Set("Cache-Status", "upstream; hit")
		h.Set("Surrogate-Key", "page")
	case "/coded":
		h.Set("Vary", "Accept-Encoding")
		body = "coded for " + r.Header.Get("Accept-Encoding")
	case "/variant":
		h.Set("Vary", "X-Variant, Cookie, Host")
		body = "variant for " + r.Header.Get("X-Variant") + r.Header.Get("Cookie")
	case "/language":
		h.Set("Vary", "Accept-Language")
		h.Set("Content-Language", "de")
	case "/big":
		body = bigBody()
	case "/medium":
		body = strings.Repeat("medium ", 1500)
	case "/empty":
		body = ""
		delete(h, "Content-Type")
	case "/untyped":
		body = "<html>guess"
		delete(h, "Content-Type")
	case "/moved":
		status = 301
		h.Set("Location", "/page")
	case "/gone":
		status = 404
	case "/unlikely":
		status = 299
	case "/nocontent":
		status, body = 204, ""
	case "/odd":
		h["Odd Name"] = []string{"with a space"}
		h.Set("X-Empty", "")
	case "/fat":
		h.Set("X-Fat", strings.Repeat("fat", 7000))
	case "/soft":
		h.Set("Cache-Control", "max-age=60000, stale-while-revalidate=60000")
		h.Set("Surrogate-Key", "soft")
	case "/stale":
		h.Set("Cache-Control", "max-age=0, stale-if-error=100")
	default:
		h.Set("Cache-Control", "no-store")
	}
	resp := &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: h, Request: r,
		ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
	}
	switch path {
	case "/chunked":
		resp.ContentLength = -1
	case "/page", "/medium", "/coded", "/stale", "/none":
		// The others have one once they are stored. What is fetched is sent in
		// chunks or with a length that net/http adds, by who is faster.
		h.Set("Content-Length", fmt.Sprint(len(body)))
	}
	if r.Method == "HEAD" {
		resp.Body = http.NoBody
	}
	if r.Body != nil {
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	return resp
}

// bigBody returns 200 KiB that are nowhere alike.
var bigBody = sync.OnceValue(func() string {
	var b strings.Builder
	for i := range 25 << 10 {
		fmt.Fprintf(&b, "big%5d", i)
	}
	return b.String()
})

type roundTrip func(r *http.Request) *http.Response

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), r.Context().Err() }

var inlinePaths = []string{"/page", "/q?a=1&b=2", "/coded", "/variant", "/language", "/big", "/medium", "/empty", "/untyped", "/moved", "/gone",
	"/unlikely", "/nocontent", "/odd", "/fat", "/soft", "/stale", "/%2F", "/chunked"}

// newInlineHouse opens a house that has all pages in memory. Once it is sealed,
// its origin fails, so that no request changes what the next is answered.
func newInlineHouse(t testing.TB, edits ...func(*proxy.Options)) (h *house, seal func()) {
	site := shopSite()
	site.BypassCookies = []string{"session*"}
	site.VaryCookies = []string{"theme"}
	site.Policy.NegativeTTL = time.Hour
	var sealed atomic.Bool
	h = openHouse(t, slog.New(slog.DiscardHandler), site, memstore.Options{MaxBytes: 64 << 20}, func(*proxy.Site) http.RoundTripper {
		return roundTrip(func(r *http.Request) *http.Response {
			resp := inlinePages(r)
			if sealed.Load() {
				resp.StatusCode, resp.Header["Cache-Control"] = 503, []string{"no-store"}
			}
			return resp
		})
	}, edits...)
	for _, host := range []string{"shop.example", "shop.example:8080"} {
		for _, scheme := range []string{"http", "https"} {
			for _, path := range inlinePaths {
				for _, coding := range []string{"gzip", "br", ""} {
					header := http.Header{}
					if coding != "" {
						header.Set("Accept-Encoding", coding)
					}
					<-send(t, h.public, "GET", scheme, host, path, header, "", inFront).done
				}
			}
		}
	}
	return h, func() { sealed.Store(true) }
}

func ask(method, path string, fields ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: shop.example\r\n", method, path)
	for _, f := range fields {
		b.WriteString(f + "\r\n")
	}
	return b.String() + "\r\n"
}

// What is answered inline, and what is left to net/http. Both are answered the
// same, to the second.
func TestInlineAnswers(t *testing.T) { bothWays(t, inlineAnswers) }

func inlineAnswers(t *testing.T, secure bool) {
	for _, c := range inlineCases {
		t.Run(c.name, func(t *testing.T) {
			want := c.long
			if n, ok := longOverTLS[c.name]; ok && secure {
				want = n
			}
			alike(t, secure, c.peer, c.input, want, func(t *testing.T) *house {
				h, _ := newInlineHouse(t)
				return h
			})
		})
	}
}

// alike checks that a client who says this is answered by net/http as he is
// inline, and how many of his requests go the long way there.
func alike(t *testing.T, secure bool, peer, input string, want int, open func(*testing.T) *house) {
	synctest.Test(t, func(t *testing.T) {
		var out [2][]string
		var long atomic.Int64
		for i, inline := range []bool{false, true} {
			h := open(t)
			defer h.close()
			time.Sleep(7500 * time.Millisecond) // what is stored has an age
			s := newWiredOver(h, inline, secure)
			if inline {
				s.long = func() { long.Add(1) }
			}
			if secure {
				c := s.call(peer, true)
				c.say(input)
				synctest.Wait()
				c.leave()
				out[i] = answersIn([]byte(c.heard()), true)
			} else {
				w := newWire(peer, []byte(input), 0)
				<-s.serve(w)
				out[i] = answersIn(w.output.Bytes(), true)
			}
			s.close()
		}
		if !slices.Equal(out[0], out[1]) {
			t.Errorf("the answer is\n%s\n\nand inline\n%s", strings.Join(out[0], "\n\n"), strings.Join(out[1], "\n\n"))
		}
		if got := int(long.Load()); got != want {
			t.Errorf("%d requests go the long way, want %d", got, want)
		}
	})
}

// longOverTLS are those of inlineCases of which another number goes the long way
// over TLS.
var longOverTLS = map[string]int{
	"host with its port": 1, // it is not that of HTTPS
}

var inlineCases = []struct {
	name, input string
	peer        string
	long        int // how many of its requests go the long way
}{
	{"plain", ask("GET", "/page"), visitor, 0},
	{"head", ask("HEAD", "/page"), visitor, 0},
	{"head of what has no length", ask("HEAD", "/odd"), visitor, 1},
	{"keep-alive", ask("GET", "/page", "Connection: Keep-Alive"), visitor, 0},
	{"browser", ask("GET", "/coded", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)", "Accept: text/html,*/*;q=0.8", "Accept-Encoding: deflate, br;q=0.9", "DNT: 1", "Connection: keep-alive", "Cookie: a=b; theme=x"), visitor, 0},
	{"no coding", ask("GET", "/coded"), visitor, 0},
	{"gzip", ask("GET", "/coded", "Accept-Encoding: gzip"), visitor, 0},
	{"gzip again", ask("GET", "/coded", "Accept-Encoding: gzip") + ask("GET", "/coded", "Accept-Encoding: gzip"), visitor, 0},
	{"two lines of codings", ask("GET", "/coded", "Accept-Encoding: gzip;q=0", "accept-encoding: br"), visitor, 0},
	{"another coding", ask("GET", "/coded", "Accept-Encoding: zstd"), visitor, 1},
	{"variant", ask("GET", "/variant"), visitor, 0},
	{"language", ask("GET", "/language"), visitor, 1},
	{"big", ask("GET", "/big"), visitor, 0},
	{"medium", ask("GET", "/medium"), visitor, 0},
	{"empty", ask("GET", "/empty"), visitor, 0},
	{"untyped", ask("GET", "/untyped"), visitor, 0},
	{"redirect", ask("GET", "/moved"), visitor, 0},
	{"not found", ask("GET", "/gone"), visitor, 0},
	{"odd status", ask("GET", "/unlikely"), visitor, 1},
	{"no content", ask("GET", "/nocontent"), visitor, 1},
	{"odd field", ask("GET", "/odd"), visitor, 1},
	{"long head", ask("GET", "/fat"), visitor, 0},
	{"query", ask("GET", "/q?a=1&b=2"), visitor, 0},
	{"query in another order", ask("GET", "/q?b=2&utm_source=x&a=1"), visitor, 0},
	{"escaped", ask("GET", "/%2f"), visitor, 0},
	{"matching tag", ask("GET", "/page", `If-None-Match: "v0", W/"v1"`), visitor, 0},
	{"matching tag of a HEAD", ask("HEAD", "/page", `If-None-Match: "v1"`), visitor, 0},
	{"matching tags in two lines", ask("GET", "/page", `If-None-Match: "v0"`, `if-none-match: "v1"`), visitor, 0},
	{"another tag", ask("GET", "/page", `If-None-Match: "v2"`), visitor, 0},
	{"not modified", ask("GET", "/page", "If-Modified-Since: "+fixedDate), visitor, 0},
	{"modified", ask("GET", "/page", "If-Modified-Since: Sun, 01 Jan 2006 15:04:05 GMT"), visitor, 0},
	{"not modified, big", ask("GET", "/big", `If-None-Match: "v1"`), visitor, 0},
	{"tag of what moved", ask("GET", "/moved", `If-None-Match: "v1"`), visitor, 0},
	{"trusted https", ask("GET", "/page", "X-Forwarded-Proto: https", "X-Forwarded-For: 1.2.3.4"), inFront, 0},
	{"trusted http", ask("GET", "/page", "X-Forwarded-Proto: http"), inFront, 0},
	{"trusted shout", ask("GET", "/page", "X-Forwarded-Proto: HTTPS"), inFront, 1},
	{"trusted host", ask("GET", "/page", "X-Forwarded-Host: other.example"), inFront, 1},
	{"untrusted host", ask("GET", "/page", "X-Forwarded-Host: other.example", "X-Forwarded-Proto: https"), visitor, 0},
	{"pipelined", ask("GET", "/page") + ask("HEAD", "/medium") + ask("GET", "/big") + ask("GET", "/gone"), visitor, 0},
	{"a miss between", ask("GET", "/page") + ask("GET", "/none") + ask("GET", "/page"), visitor, 1},

	{"close", ask("GET", "/page", "Connection: close"), visitor, 1},
	{"connection names a field", ask("GET", "/page", "Connection: keep-alive, cookie"), visitor, 1},
	{"upgrade", ask("GET", "/page", "Connection: upgrade", "Upgrade: h2c"), visitor, 1},
	{"1.0", "GET /page HTTP/1.0\r\nHost: shop.example\r\n\r\n", visitor, 1},
	{"1.2", "GET /page HTTP/1.2\r\nHost: shop.example\r\n\r\n", visitor, 1},
	{"0.9", "GET /page\r\n", visitor, 0},
	{"no host", "GET /page HTTP/1.1\r\n\r\n", visitor, 0},
	{"two hosts", ask("GET", "/page", "Host: shop.example"), visitor, 0},
	{"another case of host", "GET /page HTTP/1.1\r\nHost: Shop.Example\r\n\r\n", visitor, 1},
	{"host with a dot", "GET /page HTTP/1.1\r\nHost: shop.example.\r\n\r\n", visitor, 1},
	{"host with a port", "GET /page HTTP/1.1\r\nHost: shop.example:8080\r\n\r\n", visitor, 0},
	{"host with its port", "GET /page HTTP/1.1\r\nHost: shop.example:80\r\n\r\n", visitor, 0},
	{"bad host", "GET /page HTTP/1.1\r\nHost: shop example\r\n\r\n", visitor, 0},
	{"absolute", "GET http://shop.example/page HTTP/1.1\r\nHost: x\r\n\r\n", visitor, 1},
	{"two slashes", ask("GET", "//page"), visitor, 1},
	{"bad escape", ask("GET", "/%zz"), visitor, 0},
	{"fragment", ask("GET", "/page#x"), visitor, 1},
	{"bare line ends", "GET /page HTTP/1.1\nHost: shop.example\n\n", visitor, 1},
	{"bare carriage return", ask("GET", "/page", "X: a\rb"), visitor, 0},
	{"folded", ask("GET", "/page", "X: a", " b"), visitor, 1},
	{"space before the colon", ask("GET", "/page", "X : a"), visitor, 0},
	{"no colon", ask("GET", "/page", "X"), visitor, 0},
	{"no name", ask("GET", "/page", ": x"), visitor, 0},
	{"control character", ask("GET", "/page", "X: a\x00b"), visitor, 0},
	{"high character", ask("GET", "/page", "X: \xff\xfe"), visitor, 0},
	{"content", ask("GET", "/page", "Content-Length: 1") + "x", visitor, 1},
	{"no content, said", ask("GET", "/page", "Content-Length: 0"), visitor, 1},
	{"chunks", ask("GET", "/page", "Transfer-Encoding: chunked") + "0\r\n\r\n", visitor, 1},
	{"expect", ask("GET", "/page", "Expect: 100-continue"), visitor, 1},
	{"range", ask("GET", "/page", "Range: bytes=0-3"), visitor, 1},
	{"if-range", ask("GET", "/page", `If-Range: "v1"`), visitor, 1},
	{"if-match", ask("GET", "/page", `If-Match: "v1"`), visitor, 1},
	{"no-cache", ask("GET", "/page", "Cache-Control: no-cache"), visitor, 1},
	{"pragma", ask("GET", "/page", "Pragma: no-cache"), visitor, 1},
	{"only-if-cached", ask("GET", "/none", "Cache-Control: only-if-cached"), visitor, 1},
	{"authorization", ask("GET", "/page", "Authorization: Basic eA=="), visitor, 1},
	{"bypass", ask("GET", "/page", "Cookie: x=y; session_id=1"), visitor, 1},
	{"bypass in the second line", ask("GET", "/page", "Cookie: session=1", "Cookie: x=y"), visitor, 1},
	{"loop", ask("GET", "/page", "CDN-Loop: x"), visitor, 1},
	{"stale", ask("GET", "/stale"), visitor, 1},
	{"post", ask("POST", "/page", "Content-Length: 3") + "abc" + ask("GET", "/gone"), visitor, 2},
	{"post, then line ends", ask("POST", "/none", "Content-Length: 0") + "\r\n" + ask("GET", "/page"), visitor, 2},
	{"purge", ask("PURGE", "/page"), visitor, 1},
	{"lower case", ask("get", "/page"), visitor, 1},
	{"options", "OPTIONS * HTTP/1.1\r\nHost: shop.example\r\n\r\n", visitor, 1},
	{"long", ask("GET", "/page", "X: "+strings.Repeat("x", 9000)), visitor, 1},
	{"too long", ask("GET", "/page", "X: "+strings.Repeat("x", 90000)), visitor, 0},
	{"empty line first", "\r\n" + ask("GET", "/page"), visitor, 0},
	{"incomplete", "GET /page HTTP/1.1\r\nHost: shop.example\r\n", visitor, 0},
	{"nothing", "", visitor, 0},
	{"a byte that HTTP/2 begins with", "P", visitor, 0},
	{"some that it does", "PRI * HT", visitor, 0},
}

// HTTP/2 begins with a connection or not at all, whatever pieces it comes in.
func TestInlineBeforeHTTP2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newInlineHouse(t)
		defer h.close()
		s := newWired(h, true)
		defer s.close()
		const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
		for n := range 80 {
			piece, first := n%40, []string{"/page", "/none"}[n/40]
			w := newWire(visitor, []byte(ask("GET", first)), 0)
			w.open = true
			done := s.serve(w)
			synctest.Wait()
			w.mu.Lock()
			w.piece = piece
			w.mu.Unlock()
			w.say(preface)
			synctest.Wait()
			w.Close()
			<-done
			got := answersIn(w.output.Bytes(), true)
			if len(got) != 2 || !strings.HasPrefix(got[1], "HTTP/1.1 400 ") {
				t.Fatalf("after %s, in pieces of %d, it is answered %q", first, piece, got)
			}
		}
	})
}
