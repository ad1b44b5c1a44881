package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"surrogate/store/memstore"
)

// plainOrigin answers every request that has no content with the same bytes.
func plainOrigin(b *testing.B, answer string) *url.URL {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := bufio.NewReader(c)
				for {
					line, err := in.ReadSlice('\n')
					if err != nil {
						return
					}
					if len(line) == 2 {
						if _, err := io.WriteString(c, answer); err != nil {
							return
						}
					}
				}
			}()
		}
	}()
	return &url.URL{Scheme: "http", Host: l.Addr().String()}
}

// benchmarkFetch asks over one kept connection, for ever new pages.
func benchmarkFetch(b *testing.B, cacheControl string) {
	head := "HTTP/1.1 200 OK\r\nServer: origin/1.0\r\nDate: " + time.Now().UTC().Format(http.TimeFormat) + "\r\nContent-Type: text/html; charset=utf-8\r\nContent-Language: en\r\n" +
		"Content-Length: 1024\r\nETag: \"5d8c72a5edda8\"\r\nLast-Modified: Mon, 02 Jan 2006 15:04:05 GMT\r\nVary: Accept-Encoding\r\nX-Content-Type-Options: nosniff\r\n" +
		"X-Frame-Options: SAMEORIGIN\r\nReferrer-Policy: strict-origin-when-cross-origin\r\nXkey: product list\r\nCache-Control: "
	origin := plainOrigin(b, head+cacheControl+"\r\n\r\n"+strings.Repeat("x", 1024))
	p, err := New(Options{Store: memstore.New(memstore.Options{}), Sites: []Site{{
		Name: "shop", Origins: []*url.URL{origin}, TagFields: []string{"Xkey"}, BypassCookies: []string{"session*"}, Encodings: []string{"gzip"},
	}}})
	if err != nil {
		b.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &http.Server{Handler: p}
	go s.Serve(p.Inline(s).Listener(l))
	b.Cleanup(func() { s.Close(); p.Close() })
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReaderSize(c, 16<<10)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		fmt.Fprintf(c, "GET /%d HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"+
			"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n%s\r\n", i, benchCookie(cacheControl))
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, resp.Body); n != 1024 || err != nil {
			b.Fatal(resp.Status, n, err)
		}
	}
}

func benchCookie(cacheControl string) string {
	if strings.Contains(cacheControl, "no-store") {
		return "Cookie: session=0123456789abcdef\r\n"
	}
	return ""
}

// BenchmarkPass is a request that is passed through, its client's side included.
func BenchmarkPass(b *testing.B) { benchmarkFetch(b, "private, no-store") }

// BenchmarkMiss is one whose answer is stored.
func BenchmarkMiss(b *testing.B) { benchmarkFetch(b, "public, max-age=86400") }
