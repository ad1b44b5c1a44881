package proxy_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"surrogate/proxy"
	"surrogate/store/memstore"
)

// startProxy serves a site with these origins, storing nothing of theirs.
func startProxy(t *testing.T, change func(*proxy.Site), origins ...string) *httptest.Server {
	t.Helper()
	site := proxy.Site{Name: "shop"}
	for _, o := range origins {
		u, err := url.Parse(o)
		if err != nil {
			t.Fatal(err)
		}
		site.Origins = append(site.Origins, u)
	}
	if change != nil {
		change(&site)
	}
	p, err := proxy.New(proxy.Options{Store: memstore.New(memstore.Options{}), Sites: []proxy.Site{site}})
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(p)
	t.Cleanup(func() {
		front.Close()
		p.Close()
	})
	return front
}

func nobodyListens(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

func TestSeveralServersTakeTurns(t *testing.T) {
	var asked [2]atomic.Int64
	var urls []string
	for i := range asked {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked[i].Add(1)
			w.Header().Set("Cache-Control", "no-store")
		}))
		defer s.Close()
		urls = append(urls, s.URL)
	}
	front := startProxy(t, nil, urls...)
	for i := range 20 {
		resp, err := front.Client().Get(fmt.Sprint(front.URL, "/", i))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if a, b := asked[0].Load(), asked[1].Load(); a != 10 || b != 10 {
		t.Errorf("of 20 requests one server had %d and the other %d", a, b)
	}
}

// A server that cannot be connected to has seen nothing of a request, so
// another is given it, whatever its method and however long its content.
func TestWhileOneServerIsDownTheOtherServes(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprint(w, r.Method, " ", n)
	}))
	defer up.Close()
	for _, c := range []struct {
		method string
		size   int
	}{{"GET", 0}, {"POST", 3}, {"POST", 300_000}, {"PUT", 300_000}, {"DELETE", 0}} {
		front := startProxy(t, nil, nobodyListens(t), up.URL) // has tried neither yet
		for range 4 {
			var body io.Reader
			if c.size > 0 {
				body = io.MultiReader(strings.NewReader(strings.Repeat("x", c.size))) // of no known length
			}
			r, _ := http.NewRequestWithContext(t.Context(), c.method, front.URL+"/", body)
			resp, err := front.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if want := fmt.Sprint(c.method, " ", c.size); resp.StatusCode != 200 || string(text) != want {
				t.Errorf("%s of %d bytes: %d %s", c.method, c.size, resp.StatusCode, text)
			}
		}
	}
}

func TestTheOriginIsToldItsOwnHostWhereThatIsWanted(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.Host, " ", r.Header.Get("X-Forwarded-Host"))
	}))
	defer s.Close()
	host := strings.TrimPrefix(s.URL, "http://")
	for _, c := range []struct {
		own  bool
		want string
	}{{true, host + " shop.example"}, {false, "shop.example shop.example"}} {
		front := startProxy(t, func(s *proxy.Site) { s.OriginHost = c.own }, s.URL)
		r, _ := http.NewRequestWithContext(t.Context(), "GET", front.URL+"/", nil)
		r.Host = "SHOP.example:80"
		resp, err := front.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(text) != c.want {
			t.Errorf("own host %v: the origin was told %q, want %q", c.own, text, c.want)
		}
	}
}

func TestWhatIsNotPassedOn(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked.Add(1) }))
	defer s.Close()
	front := startProxy(t, nil, s.URL)
	addr := front.Listener.Addr().String()
	for request, want := range map[string]string{
		"TRACE / HTTP/1.1\r\nHost: h\r\n\r\n":                                      "405",
		"CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n":                    "400",
		"GET /" + strings.Repeat("x", 17<<10) + " HTTP/1.1\r\nHost: h\r\n\r\n":     "414",
		"GET /a#x HTTP/1.1\r\nHost: h\r\n\r\n":                                     "400",
		"OPTIONS / HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n\r\n":                 "200",
		"GET http://h:1/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\nX: 1\r\n\r\n": "",
	} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, request)
		b := make([]byte, 12)
		if _, err := io.ReadFull(c, b); err != nil {
			t.Fatalf("%.40q: %v", request, err)
		}
		c.Close()
		if want != "" && string(b[9:]) != want {
			t.Errorf("%.40q: %s, want %s", request, b[9:], want)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the origin was asked %d times, want once", n)
	}
}

// A request that comes back to the proxy that has sent it is a mistake in
// somebody's configuration, and would go round for ever.
func TestALoopIsBroken(t *testing.T) {
	var front *httptest.Server
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r2, _ := http.NewRequestWithContext(r.Context(), "GET", front.URL+r.URL.Path, nil)
		r2.Header = r.Header.Clone()
		resp, err := http.DefaultTransport.RoundTrip(r2)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
	}))
	defer back.Close()
	front = startProxy(t, nil, back.URL)
	resp, err := front.Client().Get(front.URL + "/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusLoopDetected {
		t.Errorf("%d", resp.StatusCode)
	}
}
