package proxy_test

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"surrogate/proxy"
	"surrogate/store/memstore"
)

// An origin may close a kept connection at any time, also just when a request
// with content is about to be sent on it. The origin has seen nothing of that
// request, so the client must not hear of it.
func TestPostOnAConnectionThatTheOriginHasJustClosed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	closed := make(chan struct{})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // one answer, which promises to stay, and away
				defer func() {
					c.Close()
					closed <- struct{}{}
				}()
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				io.Copy(io.Discard, r.Body)
				io.WriteString(c, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok")
			}()
		}
	}()
	p, err := proxy.New(proxy.Options{
		Store: memstore.New(memstore.Options{}), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Sites: []proxy.Site{{Origins: []*url.URL{{Scheme: "http", Host: l.Addr().String()}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	front := httptest.NewServer(p)
	defer front.Close()
	for i := range 300 {
		for _, method := range []string{"GET", "POST"} {
			var body io.Reader
			if method == "POST" {
				body = strings.NewReader("a=1")
			}
			r, _ := http.NewRequestWithContext(t.Context(), method, front.URL+"/", body)
			resp, err := front.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != 200 {
				t.Fatalf("%s number %d: %d %s", method, i, resp.StatusCode, text)
			}
			<-closed
		}
	}
}
