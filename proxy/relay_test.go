package proxy_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"surrogate/proxy"
	"surrogate/store/memstore"
)

// What a passed request and its response are owed, over real sockets. All here
// have a cookie that no cache has a part in.

// passing serves an origin through a proxy that passes everything.
func passing(t *testing.T, origin http.Handler) (front *httptest.Server) {
	back := httptest.NewServer(origin)
	t.Cleanup(func() { back.CloseClientConnections(); back.Close() })
	u, err := url.Parse(back.URL)
	if err != nil {
		t.Fatal(err)
	}
	p, err := proxy.New(proxy.Options{Store: memstore.New(memstore.Options{}), Sites: []proxy.Site{{
		Name: "shop", Origins: []*url.URL{u}, BypassCookies: []string{"session"}, StripFields: []string{"X-Secret"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	front = httptest.NewServer(p)
	t.Cleanup(func() { front.Close(); p.Close() })
	return front
}

func passedRequest(t *testing.T, ctx context.Context, method, url string, body io.Reader) *http.Request {
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", "session=1")
	return r
}

func do(t *testing.T, r *http.Request) *http.Response {
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// An unread is content whose length nobody knows beforehand.
type unread struct{ io.Reader }

func TestPassTrailers(t *testing.T) {
	got := make(chan http.Header, 1)
	front := passing(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		got <- r.Trailer
		w.Header().Set("Trailer", "Digest, X-Secret")
		io.WriteString(w, "hello")
		w.Header().Set("Digest", "sum")
		w.Header().Set("X-Secret", "no")
		w.Header().Set(http.TrailerPrefix+"Unannounced", "too")
	}))
	r := passedRequest(t, t.Context(), "POST", front.URL+"/", unread{strings.NewReader(strings.Repeat("x", 100<<10))})
	r.Trailer = http.Header{"Checksum": {"abc"}, "X-Forwarded-For": {"192.0.2.1"}, "Keep-Alive": {"1"}}
	resp := do(t, r)
	if b, err := io.ReadAll(resp.Body); string(b) != "hello" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if want := (http.Header{"Digest": {"sum"}, "Unannounced": {"too"}}); fmt.Sprint(resp.Trailer) != fmt.Sprint(want) {
		t.Errorf("the client has the trailers %v, not %v", resp.Trailer, want)
	}
	if tr, want := <-got, (http.Header{"Checksum": {"abc"}}); fmt.Sprint(tr) != fmt.Sprint(want) {
		t.Errorf("the origin has the trailers %v, not %v", tr, want)
	}
}

func TestPassWithoutContent(t *testing.T) {
	front := passing(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/head":
			w.Header().Set("Content-Length", "12345")
			w.Header().Set("Content-Type", "image/png")
		case "/204":
			w.WriteHeader(204)
		case "/304":
			w.Header().Set("Etag", `"a"`)
			w.WriteHeader(304)
		}
	}))
	for path, want := range map[string]int{"/head": 200, "/204": 204, "/304": 304} {
		method := "GET"
		if path == "/head" {
			method = "HEAD"
		}
		resp := do(t, passedRequest(t, t.Context(), method, front.URL+path, nil))
		b, err := io.ReadAll(resp.Body)
		if resp.StatusCode != want || len(b) > 0 || err != nil {
			t.Errorf("%s: %s, %q, %v", path, resp.Status, b, err)
		}
		if l := resp.Header.Get("Content-Length"); path == "/head" && l != "12345" {
			t.Errorf("the length of a HEAD is %q", l)
		}
		if ct := resp.Header.Get("Content-Type"); path != "/head" && ct != "" {
			t.Errorf("%s has the type %q", path, ct)
		}
	}
}

// What the origin leaves unsaid, its type for one, is not for us to guess; and
// what the connection to it is about is not passed on.
func TestPassFields(t *testing.T) {
	front := passing(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Content-Type"] = nil
		h.Set("Connection", "X-Hop")
		h.Set("X-Hop", "1")
		h.Set("Keep-Alive", "timeout=5")
		h["X-Two"] = []string{"a", "b"}
		h.Set("X-Te", strings.Join(r.Header["Te"], ","))
		h.Set("X-Seen", fmt.Sprint(r.Header["Via"], r.Header["X-Forwarded-Host"], r.Header["X-Named"], r.Header["Forwarded"], r.Header["User-Agent"]))
		io.WriteString(w, "<html>")
	}))
	r := passedRequest(t, t.Context(), "GET", front.URL+"/", nil)
	r.Header["Te"] = []string{"gzip, trailers"}
	r.Header["Connection"] = []string{"Te, X-Named"}
	r.Header["X-Named"] = []string{"1"}
	r.Header["Forwarded"] = []string{"for=192.0.2.1"}
	r.Header["Via"] = []string{"1.1 other"}
	r.Header["User-Agent"] = []string{""}
	resp := do(t, r)
	if v, ok := resp.Header["Content-Type"]; ok {
		t.Errorf("a type was guessed: %q", v)
	}
	if resp.Header["X-Hop"] != nil || resp.Header["Keep-Alive"] != nil {
		t.Errorf("hop-by-hop fields were passed on: %v", resp.Header)
	}
	if !slices.Equal(resp.Header["X-Two"], []string{"a", "b"}) || resp.Header.Get("X-Te") != "trailers" {
		t.Errorf("%v", resp.Header)
	}
	if got, want := resp.Header.Get("X-Seen"), "[1.1 other 1.1 surrogate] ["+r.URL.Host+"] [] [] []"; got != want {
		t.Errorf("the origin saw %s, not %s", got, want)
	}
}

// What is an event stream, or has no known length, goes out as it comes, head
// first.
func TestPassStreams(t *testing.T) {
	for name, fields := range map[string]map[string]string{
		"unknown length":               {},
		"event stream of known length": {"Content-Type": "Text/Event-Stream; charset=utf-8", "Content-Length": "15"},
		"known length":                 {"Content-Length": "15"},
	} {
		t.Run(name, func(t *testing.T) {
			step := make(chan struct{})
			front := passing(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for k, v := range fields {
					w.Header().Set(k, v)
				}
				if name != "known length" {
					w.(http.Flusher).Flush()
					await(r, step)
				}
				for _, s := range []string{"first", "then.", "last."} {
					io.WriteString(w, s)
					w.(http.Flusher).Flush()
					await(r, step)
				}
			}))
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			resp := do(t, passedRequest(t, ctx, "GET", front.URL+"/", nil))
			if name != "known length" {
				step <- struct{}{}
			}
			for _, s := range []string{"first", "then.", "last."} {
				b := make([]byte, 5)
				if _, err := io.ReadFull(resp.Body, b); string(b) != s || err != nil {
					t.Fatalf("%q, %v", b, err)
				}
				step <- struct{}{}
			}
			if b, err := io.ReadAll(resp.Body); len(b) > 0 || err != nil {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
}

// await waits for the next step of a test that has not given up.
func await(r *http.Request, step <-chan struct{}) {
	select {
	case <-step:
	case <-r.Context().Done():
	}
}

// A client that leaves ends the request to the origin, before and after the head
// of the response, and however its own request's content stands.
func TestPassClientLeaves(t *testing.T) {
	for _, when := range []string{"before the head", "within the body", "within its own content"} {
		t.Run(when, func(t *testing.T) {
			begun, ended := make(chan struct{}), make(chan struct{})
			front := passing(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(ended)
				switch when {
				case "within the body":
					io.WriteString(w, "some")
					w.(http.Flusher).Flush()
				case "within its own content":
					io.ReadFull(r.Body, make([]byte, 10))
					close(begun)
					io.Copy(io.Discard, r.Body)
					return
				}
				close(begun)
				<-r.Context().Done()
			}))
			ctx, leave := context.WithCancel(t.Context())
			var content io.Reader
			method := "GET"
			if when == "within its own content" {
				in, out := io.Pipe()
				defer out.Close()
				go out.Write(make([]byte, 10))
				content, method = in, "POST"
			}
			r := passedRequest(t, ctx, method, front.URL+"/", content)
			go func() {
				if resp, err := http.DefaultTransport.RoundTrip(r); err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}()
			<-begun
			leave()
			select {
			case <-ended:
			case <-time.After(10 * time.Second):
				t.Fatal("the origin goes on")
			}
		})
	}
}

// All interim responses come, and their fields do not come again.
func TestPassInterim(t *testing.T) {
	front := passing(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.Header().Set("X-Secret", "no")
		w.WriteHeader(103)
		w.WriteHeader(102)
		w.Header().Del("Link")
		w.Header().Del("X-Secret")
		io.WriteString(w, "hello")
	}))
	var said []string
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		said = append(said, fmt.Sprint(code, h["Link"], h["X-Secret"]))
		return nil
	}})
	resp := do(t, passedRequest(t, ctx, "GET", front.URL+"/", nil))
	if b, _ := io.ReadAll(resp.Body); string(b) != "hello" || resp.Header["Link"] != nil {
		t.Errorf("%q, %v", b, resp.Header)
	}
	if want := []string{"103 [</a.css>; rel=preload] []", "102 [</a.css>; rel=preload] []"}; !slices.Equal(said, want) {
		t.Errorf("%q", said)
	}
}

// A client that waits for 100 Continue with more than is read ahead for it is
// told to go on, and its content comes whole.
func TestPassExpectContinue(t *testing.T) {
	front := passing(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	}))
	c, err := net.Dial("tcp", front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	const size = 200 << 10
	fmt.Fprintf(c, "PUT / HTTP/1.1\r\nHost: shop.example\r\nCookie: session=1\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", size)
	in := bufio.NewReader(c)
	line, err := in.ReadString('\n')
	if !strings.HasPrefix(line, "HTTP/1.1 100 ") || err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	in.ReadString('\n')
	io.WriteString(c, strings.Repeat("x", size))
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := io.ReadAll(resp.Body); string(b) != fmt.Sprint(size, error(nil)) {
		t.Errorf("%s: %q", resp.Status, b)
	}
}

// An origin that answers without reading the content is heard; the content's
// rest is not waited for.
func TestPassEarlyAnswer(t *testing.T) {
	front := passing(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(413)
	}))
	resp := do(t, passedRequest(t, t.Context(), "PUT", front.URL+"/", unread{strings.NewReader(strings.Repeat("x", 100<<10))}))
	if resp.StatusCode != 413 {
		t.Error(resp.Status)
	}
}

// An origin that breaks off breaks the client's connection, whatever was said of
// the length, and what had come comes first.
func TestPassBreaksOff(t *testing.T) {
	for name, length := range map[string]string{"known length": "500", "unknown length": ""} {
		t.Run(name, func(t *testing.T) {
			front := passing(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if length != "" {
					w.Header().Set("Content-Length", length)
				}
				io.WriteString(w, "some")
				w.(http.Flusher).Flush()
				panic(http.ErrAbortHandler)
			}))
			resp := do(t, passedRequest(t, t.Context(), "GET", front.URL+"/", nil))
			if b, err := io.ReadAll(resp.Body); string(b) != "some" || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
}

// A request ended by the server, as when it shuts down, is not ended as if it
// were whole.
func TestCut(t *testing.T) {
	for name, control := range map[string]string{"passed": "", "not kept": "no-store", "kept": "max-age=60"} {
		t.Run(name, func(t *testing.T) {
			front := passing(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Cache-Control", control)
				io.WriteString(w, "some")
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}))
			base, cut := context.WithCancel(context.Background())
			inner := front.Config.Handler
			front.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				ctx, cancel := context.WithCancel(r.Context())
				defer cancel()
				defer context.AfterFunc(base, cancel)()
				inner.ServeHTTP(w, r.WithContext(ctx))
			})
			r := passedRequest(t, t.Context(), "GET", front.URL+"/", nil)
			if name != "passed" {
				r.Header.Del("Cookie")
			}
			resp := do(t, r)
			io.ReadFull(resp.Body, make([]byte, 4))
			cut()
			if _, err := io.ReadAll(resp.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("the body ended with %v", err)
			}
			front.CloseClientConnections()
		})
	}
}
