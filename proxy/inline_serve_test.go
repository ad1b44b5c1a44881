package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/proxy"
	"surrogate/store/memstore"
)

// newHandled serves a handler over wires, by net/http alone or inline.
func newHandled(t testing.TB, inline, secure bool, handler http.HandlerFunc) *wired {
	p, err := proxy.New(proxy.Options{Store: memstore.New(memstore.Options{}), Sites: []proxy.Site{shopSite()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return newWiredFor(p, handler, inline, secure)
}

// byNetHTTP reports whether a response is net/http's over HTTP/1.1.
func byNetHTTP(w http.ResponseWriter) bool {
	_, yes := w.(http.Hijacker)
	return yes
}

// A handler is given the request that net/http would give it.
func TestInlineRequests(t *testing.T) { bothWays(t, inlineRequests) }

func inlineRequests(t *testing.T, secure bool) {
	ours := map[string]bool{}
	for _, name := range []string{"plain", "head", "browser", "big", "query", "a miss between", "range", "if-range", "if-match", "no-cache", "authorization",
		"loop", "two lines of codings", "escaped", "keep-alive", "matching tag", "trusted host", "pipelined", "host with a port"} {
		ours[name] = true
	}
	theirs := map[string]bool{}
	for _, name := range []string{"close", "upgrade", "1.0", "content", "no content, said", "chunks", "expect", "pragma", "purge", "absolute", "two slashes",
		"another case of host", "folded", "options", "lower case", "long", "bare line ends"} {
		theirs[name] = true
	}
	for _, c := range inlineCases {
		synctest.Test(t, func(t *testing.T) {
			var out [2][]string
			byOther := 0
			for i, inline := range []bool{false, true} {
				s := newHandled(t, inline, secure, func(w http.ResponseWriter, r *http.Request) {
					if inline && byNetHTTP(w) {
						byOther++
					}
					fmt.Fprintf(w, "%s %s %s %d.%d\n", r.Method, r.RequestURI, r.Proto, r.ProtoMajor, r.ProtoMinor)
					fmt.Fprintf(w, "%q %#v\n", r.Host, r.URL)
					for _, name := range slices.Sorted(maps.Keys(r.Header)) {
						fmt.Fprintf(w, "%s: %q\n", name, r.Header[name])
					}
					fmt.Fprintln(w, r.ContentLength, r.TransferEncoding, r.Close, r.Trailer, r.Form == nil, r.Body == http.NoBody, r.Pattern, r.TLS != nil)
					remote, _, _ := strings.Cut(r.RemoteAddr, ":")
					_, isServer := r.Context().Value(http.ServerContextKey).(*http.Server)
					fmt.Fprintln(w, remote, r.Context().Value(http.LocalAddrContextKey), isServer, r.Context().Err())
				})
				k := s.call(c.peer, secure)
				k.say(c.input)
				time.Sleep(time.Minute) // it is waited for, or has ended
				out[i] = answersIn([]byte(k.heard()), true)
				k.Close()
				s.close()
			}
			if !slices.Equal(out[0], out[1]) {
				t.Errorf("%s: the handler is given\n%s\n\nand inline\n%s", c.name, strings.Join(out[0], "\n\n"), strings.Join(out[1], "\n\n"))
			}
			if ours[c.name] && byOther > 0 {
				t.Errorf("%s: net/http had it", c.name)
			}
			if theirs[c.name] && byOther == 0 {
				t.Errorf("%s: net/http had not", c.name)
			}
			delete(ours, c.name)
			delete(theirs, c.name)
		})
	}
	if len(ours)+len(theirs) > 0 {
		t.Error("no cases of these names:", ours, theirs)
	}
}

// Whatever a handler does, a client is told what net/http would tell it.
func TestInlineResponses(t *testing.T) { bothWays(t, inlineResponses) }

func inlineResponses(t *testing.T, secure bool) {
	for _, c := range responses {
		t.Run(c.name, func(t *testing.T) {
			for _, method := range []string{"GET", "HEAD"} {
				synctest.Test(t, func(t *testing.T) { responseAlike(t, secure, method, c.handler) })
			}
		})
	}
}

// responseAlike checks what a client hears of a handler's response, and of another
// one behind it.
func responseAlike(t *testing.T, secure bool, method string, handler http.HandlerFunc) {
	t.Helper()
	var out, ended [2]string
	for i, inline := range []bool{false, true} {
		s := newHandled(t, inline, secure, func(w http.ResponseWriter, r *http.Request) {
			if inline && byNetHTTP(w) {
				t.Error("net/http has it")
			}
			if r.URL.Path == "/next" {
				io.WriteString(w, "the next")
				return
			}
			handler(w, r)
		})
		k := s.call(visitor, secure)
		k.say(ask(method, "/"))
		synctest.Wait()
		time.Sleep(time.Minute)
		before := k.heard()
		k.say(ask("GET", "/next"))
		synctest.Wait()
		out[i] = heardAs(method, before) + "\n\nthen\n\n" + heardAs("GET", k.heard()[len(before):])
		k.wire.mu.Lock()
		ended[i] = fmt.Sprint(k.wire.closed)
		k.wire.mu.Unlock()
		k.Close()
		s.close()
	}
	if out[0] != out[1] {
		t.Errorf("%s is answered\n%s\n\nand inline\n%s", method, out[0], out[1])
	}
	if ended[0] != ended[1] {
		t.Errorf("%s: the connection has ended: %s, and inline: %s", method, ended[0], ended[1])
	}
}

// heardAs takes apart what was said in answer to one request: heads with their
// lines sorted, content, and how that ends.
func heardAs(method, text string) string {
	var b strings.Builder
	for r := bufio.NewReader(strings.NewReader(text)); ; {
		head, after, ok := strings.Cut(text, "\r\n\r\n")
		if !ok {
			return b.String() + fmt.Sprintf("%q", text)
		}
		lines := strings.Split(head, "\r\n")
		slices.Sort(lines[1:])
		fmt.Fprintf(&b, "%s\n\n", dates.ReplaceAllString(strings.Join(lines, "\n"), "Date: *"))
		resp, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil {
			return b.String() + err.Error()
		}
		if resp.StatusCode < 200 && resp.StatusCode != 101 {
			text = after
			continue
		}
		body, err := io.ReadAll(resp.Body)
		rest, _ := io.ReadAll(r)
		return b.String() + fmt.Sprintf("%q %v %v %q", body, err, resp.Trailer, rest)
	}
}

var responses = []struct {
	name    string
	handler http.HandlerFunc
}{
	{"nothing", func(w http.ResponseWriter, _ *http.Request) {}},
	{"a status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }},
	{"an unknown status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(299) }},
	{"a status of our own", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(999) }},
	{"no status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(99) }},
	{"a status, then none", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); w.WriteHeader(0) }},
	{"two", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404); w.WriteHeader(200) }},
	{"something", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "something") }},
	{"something HTML", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>guess") }},
	{"HTML in pieces", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "<ht")
		io.WriteString(w, "ml>"+strings.Repeat(" ", 3000))
	}},
	{"HTML of known length, in pieces", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "7")
		io.WriteString(w, "<ht")
		io.WriteString(w, "ml>a")
	}},
	{"no type", func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = nil
		io.WriteString(w, "<html>")
	}},
	{"coded", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		io.WriteString(w, "<html>")
	}},
	{"a type that is too late", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		w.Header().Set("Content-Type", "text/css")
		io.WriteString(w, "<html>")
	}},
	{"in pieces", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "in "); io.WriteString(w, "pieces") }},
	{"what is just held back", func(w http.ResponseWriter, _ *http.Request) { w.Write(bytes.Repeat([]byte("x"), 2048)) }},
	{"what is just not", func(w http.ResponseWriter, _ *http.Request) { w.Write(bytes.Repeat([]byte("x"), 2049)) }},
	{"what becomes too much", func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			w.Write(bytes.Repeat([]byte("x"), 1000))
		}
	}},
	{"much", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, bigBody()) }},
	{"much, piece by piece", func(w http.ResponseWriter, _ *http.Request) {
		for p := bigBody(); len(p) > 7000; p = p[7000:] {
			io.WriteString(w, p[:7000])
		}
	}},
	{"much, of known length", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(bigBody())))
		io.WriteString(w, bigBody())
	}},
	{"a length", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "3")
		io.WriteString(w, "abc")
	}},
	{"a length of nothing", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "3") }},
	{"too little", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "30")
		io.WriteString(w, "abc")
	}},
	{"too much", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "3")
		_, err := io.WriteString(w, "abcdef")
		if err != http.ErrContentLength {
			panic(err)
		}
	}},
	{"flushed", func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		io.WriteString(w, "abc")
		w.(http.Flusher).Flush()
	}},
	{"flushed between", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "abc")
		if err := http.NewResponseController(w).Flush(); err != nil {
			panic(err)
		}
		io.WriteString(w, "def")
	}},
	{"no content", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "3")
		w.Header().Set("Transfer-Encoding", "chunked")
		w.WriteHeader(204)
		if _, err := io.WriteString(w, "abc"); err != http.ErrBodyNotAllowed {
			panic(err)
		}
	}},
	{"not modified", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", "3")
		w.Header().Set("Etag", `"x"`)
		w.WriteHeader(304)
	}},
	{"hints", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.Header().Set("Content-Length", "3")
		w.WriteHeader(103)
		w.WriteHeader(102)
		w.Header().Del("Link")
		io.WriteString(w, "abc")
	}},
	{"odd fields", func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Odd Name"] = []string{"x"}
		w.Header()[""] = []string{"x"}
		w.Header()["X-Lines"] = []string{"a\r\nb", " c ", "", "d\x00e", "\té"}
		w.Header()["x-small"] = []string{"x"}
		w.Header()["X-None"] = nil
	}},
	{"its own date", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Date", fixedDate) }},
	{"no date", func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil }},
	{"close", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		io.WriteString(w, "abc")
	}},
	{"keep-alive", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "keep-alive") }},
	{"close, of known length", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.Header().Set("Content-Length", "3")
		io.WriteString(w, "abc")
	}},
	{"trailers that are announced", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "x-sum, X-Other, Content-Length")
		io.WriteString(w, "abc")
		w.Header().Set("X-Sum", "1")
		w.Header().Add("X-Sum", "2")
	}},
	{"trailers that may not be", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "Content-Type, Connection, Authorization, If-Match, Cache-Control, Host, X-Sum")
		io.WriteString(w, "abc")
		for _, name := range []string{"Content-Type", "Connection", "Authorization", "If-Match", "Cache-Control", "Host", "X-Sum"} {
			w.Header().Set(name, "late")
		}
	}},
	{"trailers that are not", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "abc")
		http.NewResponseController(w).Flush()
		w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
	}},
	{"trailers too late to be sent", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "3")
		io.WriteString(w, "abc")
		w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
	}},
	{"trailers of nothing", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("X-Sum", "1")
	}},
	{"an error", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "bad", 500) }},
	{"a redirect", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }},
	{"a file", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "a.txt", time.Unix(1<<30, 0), strings.NewReader(strings.Repeat("0123456789", 5000)))
	}},
	{"a panic", func(w http.ResponseWriter, _ *http.Request) { panic("oh") }},
	{"given up", func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }},
	{"given up in the middle", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "abc")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}},
	{"given up in the middle of a known length", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "300")
		io.WriteString(w, "abc")
		w.(http.Flusher).Flush()
		panic("oh")
	}},
	{"slowly", func(w http.ResponseWriter, _ *http.Request) {
		for range 3 {
			io.WriteString(w, "abc")
			w.(http.Flusher).Flush()
			time.Sleep(time.Second)
		}
	}},
	{"what others cannot", func(w http.ResponseWriter, _ *http.Request) {
		c := http.NewResponseController(w)
		io.WriteString(w, fmt.Sprint(c.Flush()))
	}},
}

// FuzzInlineResponse makes a handler of bytes, which does whatever they come to, and
// compares what its client is told.
func FuzzInlineResponse(f *testing.F) {
	for _, s := range []string{"", "h1w", "w1w2f", "cwww", "t1wT", "fW", "s3w", "s2f", "iw", "WW", "Wf", "cW", "kw", "hhhw", "p", "wfp", "ccw", "Tw", "WT", "dw", "HM", "HMW", "c7HM"} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	var program atomic.Pointer[[]byte]
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/next" {
			io.WriteString(w, "the next")
			return
		}
		act(w, *program.Load())
	}
	servers := [2]*wired{newHandled(f, false, false, handler), newHandled(f, true, false, handler)}
	f.Cleanup(func() {
		for _, s := range servers {
			s.close()
		}
	})
	f.Fuzz(func(t *testing.T, code []byte, head bool) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		program.Store(&code)
		var out [2]string
		for i, s := range servers {
			w := newWire(visitor, []byte(ask(method, "/")), 0)
			<-s.serve(w)
			out[i] = heardAs(method, w.output.String())
		}
		if out[0] != out[1] {
			t.Errorf("%s of %q is answered\n%s\n\nand inline\n%s", method, code, out[0], out[1])
		}
	})
}

// act does what a program says.
func act(w http.ResponseWriter, program []byte) {
	h := w.Header()
	for i, c := range program {
		switch c {
		case 'w':
			io.WriteString(w, "some more ")
		case 'H':
			io.WriteString(w, "<ht")
		case 'M':
			io.WriteString(w, "ml><p>")
		case 'W':
			io.WriteString(w, strings.Repeat("much more ", 200))
		case 'V':
			io.WriteString(w, bigBody()[:20000])
		case 'f':
			w.(http.Flusher).Flush()
		case 'h':
			h.Add("X-Some", fmt.Sprint(i))
		case 'c':
			h.Set("Content-Length", fmt.Sprint(10*i))
		case 'C':
			h.Del("Content-Length")
		case 'n':
			h["Content-Type"] = nil
		case 'e':
			h.Set("Content-Encoding", "gzip")
		case 't':
			h.Set("Trailer", "X-Sum")
		case 'T':
			h.Set("X-Sum", fmt.Sprint(i))
			h.Set(http.TrailerPrefix+"X-More", "more")
		case 'i':
			w.WriteHeader(103)
		case 's':
			w.WriteHeader([]int{200, 204, 304, 404, 206}[i%5])
		case 'k':
			h.Set("Connection", "close")
		case 'd':
			h.Set("Date", fixedDate)
		case 'p':
			w.(http.Flusher).Flush() // how much is out otherwise is nobody's promise
			panic(http.ErrAbortHandler)
		}
	}
}

// A handler hears of it when its client leaves, and not before.
func TestInlineLeaving(t *testing.T) { bothWays(t, inlineLeaving) }

func inlineLeaving(t *testing.T, secure bool) {
	synctest.Test(t, func(t *testing.T) {
		var left, done atomic.Int64
		s := newHandled(t, true, secure, func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
				left.Add(1)
			case <-time.After(time.Hour):
				done.Add(1)
			}
		})
		defer s.close()
		gone, hasty, stays := s.call(visitor, secure), s.call(visitor, secure), s.call(visitor, secure)
		gone.say(ask("GET", "/"))
		hasty.say(ask("GET", "/") + ask("GET", "/next")[:20])
		stays.say(ask("GET", "/"))
		time.Sleep(time.Minute)
		if left.Load() != 0 {
			t.Fatal("nobody has left")
		}
		for i, k := range []*caller{gone, hasty} {
			if secure {
				k.leave()
			} else {
				k.await(false)
				k.wire.mu.Lock()
				k.open, k.left = false, true
				k.wire.cond.Broadcast()
				k.wire.mu.Unlock()
			}
			synctest.Wait()
			if left.Load() != int64(i+1) {
				t.Error("it is not told that its client has left")
			}
		}
		time.Sleep(time.Hour - time.Minute + time.Second)
		if left.Load() != 2 || done.Load() != 1 {
			t.Errorf("%d have left, %d were served", left.Load(), done.Load())
		}
		// Its connection is as good as before.
		stays.say(ask("GET", "/"))
		time.Sleep(time.Hour + time.Second)
		if done.Load() != 2 {
			t.Errorf("%d were served", done.Load())
		}
		stays.Close()
	})
}

// A client that has left before its request was answered is noticed over a socket,
// too, whether it says goodbye or not.
func TestInlineLeavingSockets(t *testing.T) { bothWays(t, inlineLeavingSockets) }

func inlineLeavingSockets(t *testing.T, secure bool) {
	h, _ := newInlineHouse(t)
	defer h.close()
	begun, ended := make(chan struct{}), make(chan error)
	s := newSocketedFor(t, h, secure, func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-r.Context().Done()
		_, err := w.Write(make([]byte, 1<<20)) // fails, or is for nobody
		for err == nil && r.Context().Err() == nil {
			_, err = w.Write(make([]byte, 1<<20))
		}
		ended <- r.Context().Err()
	})
	for _, leave := range []func(c halfCloser){func(c halfCloser) { c.Close() }, func(c halfCloser) { c.CloseWrite() }} {
		c := s.dial(t)
		say(t, c, ask("GET", "/"))
		<-begun
		leave(c)
		if err := <-ended; err != context.Canceled {
			t.Error(err)
		}
	}
}

// What a client asks for while an earlier request of its is served is answered
// after that, whatever part of it came when.
func TestInlineAsksAhead(t *testing.T) { bothWays(t, inlineAsksAhead) }

func inlineAsksAhead(t *testing.T, secure bool) {
	next, third := ask("GET", "/next"), ask("GET", "/third", "X: "+strings.Repeat("x", 9000))
	said := next + third
	for _, cuts := range [][2]int{{0, 0}, {0, 1}, {0, 2}, {0, 10}, {0, len(next)}, {0, len(next) + 1}, {1, 1}, {1, 2}, {1, 10}, {10, 11}, {10, len(next)},
		{len(next) - 1, len(next)}, {len(next) - 1, len(next) + 1}, {len(next), len(next)}, {len(next), len(next) + 1}, {len(next) + 10, len(next) + 100}, {len(said), len(said)}} {
		synctest.Test(t, func(t *testing.T) {
			s := newHandled(t, true, secure, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/slow" {
					time.Sleep(10 * time.Second)
				}
				io.WriteString(w, r.Method+" "+r.RequestURI+";")
			})
			defer s.close()
			k := s.call(visitor, secure)
			k.say(ask("GET", "/slow") + said[:cuts[0]]) // at once
			time.Sleep(5 * time.Second)
			k.say(said[cuts[0]:cuts[1]]) // meanwhile
			time.Sleep(6 * time.Second)
			k.say(said[cuts[1]:])
			synctest.Wait()
			var bodies []string
			for _, text := range answersIn([]byte(k.heard()), true) {
				_, body, _ := strings.Cut(text, "\n\n")
				bodies = append(bodies, body)
			}
			if got := strings.Join(bodies, " "); strings.Count(got, ";") != 3 || !strings.Contains(got, "/slow") || strings.Index(got, "/next") > strings.Index(got, "/third") {
				t.Errorf("cut at %d: %q", cuts, got)
			}
			k.Close()
		})
	}
}

// The same over sockets, where it need not be net/http that has it then.
func TestInlineAsksAheadSockets(t *testing.T) { bothWays(t, inlineAsksAheadSockets) }

func inlineAsksAheadSockets(t *testing.T, secure bool) {
	h, _ := newInlineHouse(t)
	defer h.close()
	began, goOn := make(chan struct{}), make(chan struct{})
	s := newSocketedFor(t, h, secure, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			began <- struct{}{}
			<-goOn
		}
		fmt.Fprint(w, r.Method, r.RequestURI, byNetHTTP(w))
	})
	c := s.dial(t)
	r := bufio.NewReader(c)
	for i := range 20 {
		say(t, c, ask("GET", "/slow"))
		<-began
		if i%2 == 1 {
			time.Sleep(15 * time.Millisecond) // most likely it is looked for its client's leaving by now
		}
		say(t, c, ask("GET", "/next"))
		if i%2 == 1 {
			time.Sleep(5 * time.Millisecond) // and the next request is found in place of that
		}
		goOn <- struct{}{}
		for _, want := range []string{"GET/slowfalse", "GET/nextfalse"} {
			if _, body := hear(t, r, "GET"); body != want {
				t.Fatalf("%q, not %q", body, want)
			}
		}
	}
}

// Shutting down waits for a request that is served, tells its client that the
// connection ends, and cuts it off when time is up.
func TestInlineServeDrain(t *testing.T) { bothWays(t, inlineServeDrain) }

func inlineServeDrain(t *testing.T, secure bool) {
	for _, c := range []struct {
		name   string
		first  string // before what is served: net/http knows the connection then
		behind string
		cut    bool
	}{
		{"net/http knows nothing of it", "", "", false},
		{"net/http knows it", ask("POST", "/", "Content-Length: 0"), "", false},
		{"net/http knows nothing of it, cut", "", "", true},
		{"net/http knows it, cut", ask("POST", "/", "Content-Length: 0"), "", true},
		{"nobody can look for the client's leaving, cut", "", strings.Repeat(ask("GET", "/next"), 1000), true},
	} {
		synctest.Test(t, func(t *testing.T) {
			var ended error
			goOn := make(chan struct{})
			s := newHandled(t, true, secure, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == "GET" {
					select {
					case <-goOn:
					case <-r.Context().Done():
						ended = r.Context().Err()
					}
				}
				io.WriteString(w, "all of it")
			})
			k := s.call(visitor, secure)
			k.say(c.first)
			synctest.Wait()
			before := len(k.heard())
			k.say(ask("GET", "/") + c.behind)
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			shut := make(chan error, 1)
			go func() {
				err := s.server.Shutdown(ctx)
				if err == nil {
					err = s.inline.Drain(ctx)
				}
				shut <- err
			}()
			time.Sleep(30 * time.Second)
			select {
			case err := <-shut:
				t.Errorf("%s: drained while a request is served: %v", c.name, err)
			default:
			}
			want := context.DeadlineExceeded
			if !c.cut {
				want = nil
				goOn <- struct{}{}
			}
			if err := <-shut; err != want {
				t.Errorf("%s: draining: %v", c.name, err)
			}
			s.close()
			synctest.Wait()
			said := k.heard()[before:]
			if c.cut != (ended != nil) || c.cut && said != "" {
				t.Errorf("%s: the handler is told %v, its client %q", c.name, ended, said)
			}
			if !c.cut && (!strings.Contains(said, "all of it") || !strings.Contains(said, "\r\nConnection: close\r\n")) {
				t.Errorf("%s: its client is told %q", c.name, said)
			}
			if err := s.inline.Drain(t.Context()); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			<-k.done
		})
	}
}

// A length that is none is not passed on, and does not keep the content from the
// client.
func TestInlineBadLengths(t *testing.T) {
	for _, length := range [][]string{{"x"}, {"-3"}, {"", "3"}, {"3", "3"}, {"3", "4"}, {}, nil} {
		synctest.Test(t, func(t *testing.T) {
			s := newHandled(t, true, false, func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Content-Length"] = length
				io.WriteString(w, "abc")
			})
			defer s.close()
			w := newWire(visitor, []byte(ask("GET", "/")), 0)
			<-s.serve(w)
			resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(w.output.Bytes())), nil)
			if err != nil {
				t.Fatalf("%q: %v in %q", length, err, w.output.String())
			}
			if b, err := io.ReadAll(resp.Body); string(b) != "abc" || err != nil || resp.ContentLength != 3 {
				t.Errorf("%q: %q %v of %d", length, b, err, resp.ContentLength)
			}
		})
	}
}

// The context of a request ends with its handler, or when its client cannot be
// written to; nothing reaches a client by a response whose handler has returned.
func TestInlineAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w0 http.ResponseWriter
		var r0 *http.Request
		var told []error
		goOn := make(chan struct{})
		s := newHandled(t, true, false, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/left" {
				<-goOn
				_, err := w.Write(make([]byte, 1<<20))
				_, again := w.Write([]byte("more"))
				told = append(told, err, again, http.NewResponseController(w).Flush(), r.Context().Err())
				return
			}
			w0, r0 = w, r
			io.WriteString(w, "all")
			w.(http.Flusher).Flush() // so that there could be more
		})
		defer s.close()
		k := s.call(visitor, false)
		k.say(ask("GET", "/"))
		synctest.Wait()
		if r0.Context().Err() != context.Canceled {
			t.Error("the context of a request that was served has not ended")
		}
		before := k.heard()
		n, err := w0.Write([]byte("late"))
		w0.WriteHeader(0)
		w0.(http.Flusher).Flush()
		if n != 0 || err == nil || k.heard() != before {
			t.Errorf("%d bytes could be written afterwards, %v", n, err)
		}
		k.say(ask("GET", "/left"))
		synctest.Wait()
		k.Close()
		goOn <- struct{}{}
		synctest.Wait()
		if len(told) != 4 || slices.Contains(told, nil) {
			t.Errorf("who writes to a client that has left is told %v", told)
		}
	})
}

// What has been written of a response that is given up goes out, as a retry of
// what was answered with nothing is not asked for by anybody.
func TestInlineGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newHandled(t, true, false, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "9000")
			w.Header().Set("Content-Type", "text/plain")
			io.WriteString(w, strings.Repeat("x", 5000))
			panic(http.ErrAbortHandler)
		})
		defer s.close()
		k := s.call(visitor, false)
		k.say(ask("GET", "/"))
		<-k.done
		if n := strings.Count(k.heard(), "x"); n < 5000 {
			t.Errorf("%d bytes of the content went out", n)
		}
	})
}

// A client that does not take its response in the server's time is cut off, by
// whomever it is written.
func TestInlineWriteTimeout(t *testing.T) { bothWays(t, inlineWriteTimeout) }

func inlineWriteTimeout(t *testing.T, secure bool) {
	synctest.Test(t, func(t *testing.T) {
		for _, inline := range []bool{false, true} {
			var err error
			s := newHandled(t, inline, secure, func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(2 * time.Second)
				_, err = w.Write(make([]byte, 1<<20))
			})
			s.server.WriteTimeout = time.Second
			k := s.call(visitor, secure)
			k.say(ask("GET", "/"))
			<-k.done
			synctest.Wait()
			if err == nil || k.heard() != "" {
				t.Errorf("inline %v: it could be written: %q", inline, k.heard())
			}
			s.close()
		}
	})
}

// A handler that ends its goroutine ends its connection, and nothing waits for it.
func TestInlineGoexit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, first := range []string{"", ask("POST", "/", "Content-Length: 0")} {
			asked := 0
			s := newHandled(t, true, false, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == "GET" {
					asked++
					runtime.Goexit()
				}
			})
			k := s.call(visitor, false)
			k.say(first)
			synctest.Wait()
			k.say(ask("GET", "/"))
			<-k.done
			if err := s.server.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			if err := s.inline.Drain(t.Context()); err != nil {
				t.Error(err)
			}
			if asked != 1 {
				t.Errorf("it was called %d times", asked)
			}
		}
	})
}

// How large a head may be is for net/http to say.
func TestInlineHeadLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, inline := range []bool{false, true} {
			s := newHandled(t, inline, false, func(w http.ResponseWriter, r *http.Request) {})
			s.server.MaxHeaderBytes = 100
			k := s.call(visitor, false)
			k.say(ask("GET", "/", "X: "+strings.Repeat("x", 6000)))
			<-k.done
			if got := k.heard(); !strings.HasPrefix(got, "HTTP/1.1 431 ") {
				t.Errorf("inline %v: %q", inline, got)
			}
			s.close()
		}
	})
}

// A panic is logged with where it was, unless a handler gives up on purpose.
func TestInlinePanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newHandled(t, true, false, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/bug" {
				panic("a bug")
			}
			panic(http.ErrAbortHandler)
		})
		defer s.close()
		var logged bytes.Buffer
		s.server.ErrorLog = log.New(&logged, "", 0)
		for _, path := range []string{"/given-up", "/bug"} {
			k := s.call(visitor, false)
			k.say(ask("GET", path))
			<-k.done
			if text := logged.String(); strings.Contains(text, "a bug") != (path == "/bug") || strings.Contains(text, "inline_serve_test.go") != (path == "/bug") {
				t.Errorf("%s is logged as %q", path, text)
			}
		}
	})
}

// Nothing of a connection is held on to after its end.
func TestInlineServeEnds(t *testing.T) {
	h, _ := newInlineHouse(t)
	defer h.close()
	server := &http.Server{Handler: h.public, BaseContext: func(net.Listener) context.Context { return foreignContext{t.Context()} }}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	inline := h.proxy.Inline(server)
	go server.Serve(inline.Listener(l))
	defer server.Close()
	for i := range 20 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			say(t, c, ask("POST", "/none", "Content-Length: 0"))
			hear(t, bufio.NewReader(c), "POST")
		}
		say(t, c, ask("GET", "/none"))
		hear(t, bufio.NewReader(c), "GET")
		if derived(t) == 0 {
			t.Fatal("a connection that is served has no context of the server's")
		}
		c.Close()
	}
	for give := time.Now().Add(5 * time.Second); derived(t) > 0; runtime.Gosched() {
		if time.Now().After(give) {
			t.Fatalf("%d contexts are held on to", derived(t))
		}
	}
}

// A foreignContext is one that package context knows nothing of: what is derived from
// it waits for its end in a goroutine.
type foreignContext struct{ context.Context }

func (foreignContext) Done() <-chan struct{} { return make(chan struct{}) }
func (foreignContext) Value(any) any         { return nil }

// derived is how many contexts of foreign ones' there are that have not ended.
func derived(t *testing.T) int {
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 2); err != nil {
		t.Fatal(err)
	}
	return strings.Count(b.String(), "created by context.(*cancelCtx).propagateCancel")
}
