package proxy_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// http2Client asks a server over HTTP/2: by ALPN, or by prior knowledge.
func (s *socketed) http2Client(t testing.TB) *http.Client {
	var p http.Protocols
	p.SetUnencryptedHTTP2(!s.secure)
	p.SetHTTP2(s.secure)
	tr := &http.Transport{Protocols: &p, TLSClientConfig: clientTLS()}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func (s *socketed) url(path string) string {
	if s.secure {
		return "https://" + s.addr + path
	}
	return "http://" + s.addr + path
}

func (s *socketed) get(ctx context.Context, client *http.Client, path string) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", s.url(path), nil)
	if err != nil {
		return nil, "", err
	}
	req.Host = shopHost
	resp, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

// script is one for this server, without a window but the first.
func (s *socketed) script(settings ...http2.Setting) *http2Script {
	script := newNarrowScript(settings...)
	if s.secure {
		script.scheme = "https"
	}
	return script
}

// Many at once on one connection, hits and others, long and short: each is given its
// own answer, whole, and hits do not reach net/http.
func TestInlineHTTP2Together(t *testing.T) { bothWays(t, inlineHTTP2Together) }

func inlineHTTP2Together(t *testing.T, secure bool) {
	h, _ := newInlineHouse(t)
	defer h.close()
	s := newSocketed(t, h, secure)
	client := s.http2Client(t)
	wants := map[string]string{"/page": "a page at ", "/medium": strings.Repeat("medium ", 1500), "/big": bigBody(), "/gone": "a page at "}
	ask := func(path string) {
		resp, body, err := s.get(t.Context(), client, path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		want, hit := wants[path]
		if !hit {
			want = "a page at "
		}
		if status := resp.Header.Values("Cache-Status"); resp.ProtoMajor != 2 || body != want || strings.Contains(status[len(status)-1], "; hit") != hit {
			t.Errorf("%s is answered over %s with %q and %d bytes %.30q", path, resp.Proto, status, len(body), body)
		}
	}
	const askers, times = 16, 60
	misses := 0
	for range times {
		for path := range wants {
			ask(path)
		}
	}
	if n := s.long.Load(); n > 0 {
		t.Errorf("%d of the first hits reached net/http", n)
	}
	var all sync.WaitGroup
	for i := range askers {
		r := rand.New(rand.NewPCG(uint64(i), 1))
		paths := make([]string, times)
		for j := range paths {
			if paths[j] = []string{"/page", "/medium", "/big", "/gone", "/none"}[r.IntN(5)]; paths[j] == "/none" {
				paths[j] = fmt.Sprintf("/none/%d/%d", i, j)
				misses++
			}
		}
		all.Go(func() {
			for _, path := range paths {
				ask(path)
			}
		})
	}
	all.Wait()
	if n := s.long.Load(); n != int64(misses) {
		t.Errorf("%d requests reached net/http, %d had to", n, misses)
	}
}

// A client that takes little at once is never sent more, and one that takes more
// only when it has had all is sent all.
func TestInlineHTTP2Windows(t *testing.T) { bothWays(t, inlineHTTP2Windows) }

func inlineHTTP2Windows(t *testing.T, secure bool) {
	for _, c := range []struct {
		name           string
		first, further uint32 // beyond what a connection begins with; each time that is used up
		long           bool
	}{
		{"none", 0, 1000, true}, {"little", 1000, 1000, true}, {"some", 100_000, 100_000, true}, {"much", 16 << 20, 1 << 20, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, _ := newInlineHouse(t)
			defer h.close()
			s := newSocketed(t, h, secure)
			conn := s.dialFor(t, "h2")
			conn.SetDeadline(time.Now().Add(30 * time.Second))
			script := s.script(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
			if c.first > 0 {
				script.window(0, c.first)
			}
			const n = 40
			for i := range uint32(n) {
				script.get(2*i+1, []string{"/medium", "/big", "/none", "/page"}[i%4])
			}
			go conn.Write(script.Bytes())
			f := http2.NewFramer(conn, conn)
			f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
			left := int64(65535 + c.first)
			for done := 0; done < n; {
				frame, err := f.ReadFrame()
				if err != nil {
					t.Fatalf("after %d of %d answers: %v", done, n, err)
				}
				switch frame := frame.(type) {
				case *http2.DataFrame:
					if left -= int64(frame.Length); left < 0 {
						t.Fatalf("%d bytes more came than are taken", -left)
					}
					if frame.StreamEnded() {
						done++
					}
					if left == 0 || int64(c.further) > left && done%5 == 4 {
						f.WriteWindowUpdate(0, c.further)
						left += int64(c.further)
					}
				case *http2.GoAwayFrame:
					t.Fatalf("%v %s", frame, frame.DebugData())
				}
			}
			if long := s.long.Load(); long < n/4 || long > n/4 != c.long {
				t.Errorf("%d of %d requests reached net/http", long, n)
			}
		})
	}
}

// A client that does not read what it asked for is heard all the same: its uploads, what
// it takes more, that it asks for a hit, and that it changed its mind.
func TestInlineHTTP2ReadsOn(t *testing.T) { bothWays(t, inlineHTTP2ReadsOn) }

func inlineHTTP2ReadsOn(t *testing.T, secure bool) {
	h, _ := newInlineHouse(t)
	defer h.close()
	full, up, gone := make(chan bool), make(chan string, 1), make(chan bool, 1)
	s := newSocketedFor(t, h, secure, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/down":
			begun := time.AfterFunc(200*time.Millisecond, func() { close(full) }) // nothing was written for so long
			for b := make([]byte, 64<<10); ; begun.Reset(200 * time.Millisecond) {
				if _, err := w.Write(b); err != nil {
					break
				}
			}
			<-r.Context().Done()
			gone <- true
		case "/up":
			b, _ := io.ReadAll(r.Body)
			up <- string(b)
		default:
			h.public.ServeHTTP(w, r)
		}
	})
	conn := s.dialFor(t, "h2")
	script := s.script(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30}).window(0, 1<<30)
	say(t, conn, script.get(1, "/down").String())
	<-full
	script.Reset()
	for i := range uint32(200) {
		script.window(0, 1).get(2*i+3, "/page")
	}
	script.ask(1001, "POST", "/up").data(1001, "abc", true)
	script.frames.WriteRSTStream(1, http2.ErrCodeCancel)
	say(t, conn, script.String())
	late := time.After(10 * time.Second)
	for range 2 {
		select {
		case got := <-up:
			if got != "abc" {
				t.Errorf("what was uploaded is %q", got)
			}
		case <-gone:
		case <-late:
			t.Fatal("nobody listens")
		}
	}
}

// What a client says in few bytes does not become many on the way to net/http.
func TestInlineHTTP2Bomb(t *testing.T) {
	const streams = 240 // as many as net/http takes at once, nearly
	script := newHTTP2Script()
	big := "x: " + strings.Repeat("\xfe", 3850)
	for i := range uint32(streams) {
		script.ask(2*i+1, "HEAD", "/none", slices.Repeat([]string{big}, 15)...)
	}
	allocated := func(inline bool) (bytes uint64) {
		synctest.Test(t, func(t *testing.T) {
			h, _ := newInlineHouse(t)
			defer h.close()
			s := newWired(h, inline)
			defer s.close()
			w := newWire(visitor, slices.Clone(script.Bytes()), 0)
			w.open = true
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			done := s.serve(w)
			synctest.Wait()
			runtime.ReadMemStats(&after)
			if n := len(hearHTTP2(w.output.Bytes()).streams); n != streams+1 {
				t.Errorf("%d streams are answered", n-1)
			}
			w.Close()
			<-done
			bytes = after.TotalAlloc - before.TotalAlloc
		})
		return bytes
	}
	// Written out it is 14 MB, for each that takes it in hand.
	by, inline := allocated(false), allocated(true)
	t.Logf("%d bytes have net/http allocate %d, and inline %d", script.Len(), by, inline)
	if inline > by+10<<20 {
		t.Error("that is too much")
	}
}
