package proxy

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"surrogate/store"
	"surrogate/store/memstore"
)

// discard is a client that takes whatever it is sent.
type discard struct{ net.Conn }

func (discard) Write(b []byte) (int, error)     { return len(b), nil }
func (discard) SetReadDeadline(time.Time) error { return nil }
func (discard) RemoteAddr() net.Addr            { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 40000} }

// newHit returns a proxy that has one entry, and a request for it as a browser
// sends it.
func newHit(tb testing.TB, vary string) (*Proxy, *inlineConn, []byte) {
	p, err := New(Options{Store: memstore.New(memstore.Options{}), Sites: []Site{{
		Name: "shop", Origins: []*url.URL{{Scheme: "http", Host: "origin.internal"}},
		Key: store.KeyRules{SortQuery: true, Drop: []string{"utm_*", "gclid"}}, Encodings: []string{"zstd", "br", "gzip"}, BypassCookies: []string{"session*"},
	}}})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { p.Close() })
	e := &store.Entry{
		Key: "http://shop.example/list?colour=red&page=2", Status: 200, Vary: vary, Body: []byte(strings.Repeat("x", 1<<10)),
		Head: store.HeadText("Content-Type: text/html; charset=utf-8\r\nContent-Length: 1024\r\nCache-Control: max-age=3600\r\nEtag: \"5d8c72a5edda8\"\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\n" +
			"Last-Modified: Mon, 02 Jan 2006 15:04:05 GMT\r\nVary: Accept-Encoding\r\nServer: origin/1.0\r\nX-Frame-Options: SAMEORIGIN\r\n"),
		Life: store.Life{Born: time.Now(), TTL: time.Hour}, Tags: store.NamesOf("a", "b", "c"),
	}
	e.Pick = store.PickOf(vary, http.Header{"Accept-Encoding": {"br, gzip"}})
	e.Life.Flags = asPlain(e)
	if err := p.store.Put(context.Background(), e); err != nil {
		tb.Fatal(err)
	}
	in := p.Inline(&http.Server{IdleTimeout: time.Minute})
	c := &inlineConn{Conn: discard{}, in: in, from: &inlineListener{in: in}}
	c.state.Store(stateLooking)
	return p, c, []byte("GET /list?colour=red&page=2 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n" +
		"Connection: keep-alive\r\nCookie: consent=yes; theme=dark\r\nReferer: http://shop.example/\r\n\r\n")
}

func answerOnce(tb testing.TB, c *inlineConn, sc *scratch, request []byte) {
	now := time.Now()
	if n, err := c.answer(request, sc, &now); err != nil || n != len(request) {
		tb.Fatalf("it is not answered: %d, %v", n, err)
	}
}

// A hit is answered without an allocation, whether or not it is negotiated.
func TestInlineAllocatesNothing(t *testing.T) {
	for _, vary := range []string{"", "accept-encoding"} {
		_, c, request := newHit(t, vary)
		sc := newScratch()
		answerOnce(t, c, sc, request)
		if n := testing.AllocsPerRun(200, func() { answerOnce(t, c, sc, request) }); n != 0 {
			t.Errorf("vary %q: %v allocations", vary, n)
		}
	}
}

// BenchmarkInline is a hit without its system calls. On several cores each takes
// as long as on one.
func BenchmarkInline(b *testing.B) {
	_, first, request := newHit(b, "accept-encoding")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c := &inlineConn{Conn: discard{}, in: first.in, from: first.from}
		c.state.Store(stateLooking)
		sc := newScratch()
		defer sc.free()
		for pb.Next() {
			answerOnce(b, c, sc, request)
		}
	})
}

func BenchmarkParsePlain(b *testing.B) {
	_, _, request := newHit(b, "")
	var a plainAsk
	b.ReportAllocs()
	b.SetBytes(int64(len(request)))
	for b.Loop() {
		if a.parsePlain(request) == 0 {
			b.Fatal("it is not parsed")
		}
	}
}

// What a request costs on the ordinary path, net/http's share aside.
func BenchmarkServeHTTP(b *testing.B) {
	p, _, _ := newHit(b, "accept-encoding")
	r, err := http.NewRequest("GET", "http://shop.example/list?colour=red&page=2", nil)
	if err != nil {
		b.Fatal(err)
	}
	r.RequestURI, r.RemoteAddr = "/list?colour=red&page=2", "192.0.2.1:40000"
	r.Header = http.Header{"Accept-Encoding": {"gzip, deflate, br"}, "User-Agent": {"x"}, "Accept": {"*/*"}, "Cookie": {"consent=yes; theme=dark"}}
	b.ReportAllocs()
	for b.Loop() {
		w := nowhere{http.Header{}}
		p.ServeHTTP(w, r)
		if len(w.h["Age"]) == 0 {
			b.Fatal("no hit")
		}
	}
}

type nowhere struct{ h http.Header }

func (w nowhere) Header() http.Header         { return w.h }
func (w nowhere) WriteHeader(int)             {}
func (w nowhere) Write(b []byte) (int, error) { return len(b), nil }
