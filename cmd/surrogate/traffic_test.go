package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func startOrigin(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// An upgraded connection is a tunnel in both directions. The origin echoes what
// a WebSocket would carry, byte for byte.
func TestUpgrade(t *testing.T) {
	origin := startOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") || r.Header.Get("Sec-WebSocket-Key") == "" {
			http.Error(w, "no upgrade", http.StatusBadRequest)
			return
		}
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		io.Copy(c, rw)
	})
	p := serveFor(t, origin)
	c, err := net.Dial("tcp", strings.TrimPrefix(p.proxy, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, "GET /chat HTTP/1.1\r\nHost: a.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 101 || resp.Header.Get("Sec-WebSocket-Accept") == "" {
		t.Fatalf("handshake: %v %v", resp, err)
	}
	for i := range 100 {
		frame := append([]byte{0x82, byte(i)}, bytes.Repeat([]byte{byte(i)}, i)...)
		c.Write(frame)
		echo := make([]byte, len(frame))
		if _, err := io.ReadFull(r, echo); err != nil || !bytes.Equal(echo, frame) {
			t.Fatalf("frame %d came back as %x, %v", i, echo, err)
		}
	}
}

// Events arrive when they are sent, and so does the head before the first of
// them. A long poll is the same with one event.
func TestEventStream(t *testing.T) {
	next := make(chan string)
	origin := startOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("Cache-Control", "no-cache")
		w.(http.Flusher).Flush()
		for {
			select {
			case s, more := <-next:
				if !more {
					return
				}
				io.WriteString(w, "data: "+s+"\n\n")
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	})
	p := serveFor(t, origin)
	resp, err := client.Get(p.proxy + "/events") // returns with the head
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := bufio.NewReader(resp.Body)
	for i := range 10 {
		want := fmt.Sprintf("data: %d\n\n", i)
		next <- strconv.Itoa(i)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != want {
			t.Fatalf("event %d is %q, %v", i, got, err)
		}
	}
	close(next)
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("after the end: %q, %v", rest, err)
	}
}

func TestEarlyHintsAndTrailers(t *testing.T) {
	origin := startOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("Cache-Control", r.URL.Query().Get("cc"))
		io.WriteString(w, "content")
		w.Header().Set("X-Sum", "42")
	})
	p := serveFor(t, origin)
	for _, cc := range []string{"no-store", "max-age=60"} {
		for range 2 {
			hints := 0
			req, _ := http.NewRequest("GET", p.proxy+"/?cc="+cc, nil)
			req.Header.Set("TE", "trailers")
			req = req.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
					if code == 103 && h.Get("Link") != "" {
						hints++
					}
					return nil
				},
			}))
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			hit := strings.Contains(resp.Header.Get("Cache-Status"), "hit")
			if err != nil || string(body) != "content" || resp.Trailer.Get("X-Sum") != "42" || hints != 1 && !hit {
				t.Errorf("%s: %q, %v, trailer %v, %d hints, %s", cc, body, err, resp.Trailer, hints, resp.Header.Get("Cache-Status"))
			}
		}
	}
}

func TestHeadAndRange(t *testing.T) {
	content := strings.Repeat("0123456789", 1000)
	origin := startOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Etag", `"v1"`)
		http.ServeContent(w, r, "a.txt", time.Time{}, strings.NewReader(content))
	})
	p := serveFor(t, origin)
	for _, round := range []string{"cold", "warm"} {
		if got := ask(t, "HEAD", p.proxy+"/a.txt", ""); got.StatusCode != 200 || got.ContentLength != int64(len(content)) || got.body != "" {
			t.Errorf("%s: HEAD: %s, length %d, body %q", round, got.Status, got.ContentLength, got.body)
		}
		if got := get(t, p.proxy+"/a.txt", "Range: bytes=5-14"); got.StatusCode != 206 || got.body != "5678901234" || got.Header.Get("Content-Range") != "bytes 5-14/10000" {
			t.Errorf("%s: Range: %s %q", round, got.Status, got.body)
		}
		if got := get(t, p.proxy+"/a.txt"); got.body != content {
			t.Errorf("%s: GET: %s, %d bytes", round, got.Status, len(got.body))
		}
		if got := get(t, p.proxy+"/a.txt", `If-None-Match: "v1"`); got.StatusCode != 304 || got.body != "" {
			t.Errorf("%s: If-None-Match: %s %q", round, got.Status, got.body)
		}
		if got := get(t, p.proxy+"/a.txt", "Range: bytes=99999-"); got.StatusCode != 416 {
			t.Errorf("%s: a range beyond the end: %s", round, got.Status)
		}
	}
}

// Bodies reach the origin as they were sent, with a length or without.
func TestUploads(t *testing.T) {
	origin := startOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		fmt.Fprintf(w, "%s %d %x %v %d", r.Method, n, sum.Sum(nil), err, r.ContentLength)
	})
	p := serveFor(t, origin)
	for _, method := range []string{"POST", "PUT", "PATCH"} {
		for _, size := range []int{0, 1, 100_000, 5_000_000} {
			body := strings.Repeat("x", size)
			want := fmt.Sprintf("%s %d %x <nil> %d", method, size, sha256.Sum256([]byte(body)), size)
			if got := ask(t, method, p.proxy+"/form", body); got.body != want {
				t.Errorf("%s of %d: %s", method, size, got.body)
			}
		}
		req, _ := http.NewRequest(method, p.proxy+"/form", io.LimitReader(zeros{}, 100_000))
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if want := fmt.Sprintf("%s 100000 ", method); !strings.HasPrefix(string(got), want) || !strings.HasSuffix(string(got), " <nil> -1") {
			t.Errorf("chunked %s: %s", method, got)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// A download larger than what is stored streams through: memory stays where it
// was.
func TestLargeDownload(t *testing.T) {
	const size = 100 << 20
	chunk := bytes.Repeat([]byte("surrogate "), 6553)
	origin := startOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		if r.URL.Query().Has("length") {
			w.Header().Set("Content-Length", strconv.Itoa(size))
		}
		for left := size; left > 0; left -= len(chunk) {
			if _, err := w.Write(chunk[:min(left, len(chunk))]); err != nil {
				return
			}
		}
	})
	want := sha256.New()
	for left := size; left > 0; left -= len(chunk) {
		want.Write(chunk[:min(left, len(chunk))])
	}
	cmd := programWith(t, "--origin", origin, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--set", "cache.max_object=4MiB")
	cmd.Env = append(cmd.Env, "GOGC=10") // what is held is measured, not garbage
	p := launch(t, cmd)
	p.ready(t)
	for _, query := range []string{"?length", ""} {
		resp, err := client.Get(p.proxy + "/big" + query)
		if err != nil {
			t.Fatal(err)
		}
		got := sha256.New()
		n, err := io.Copy(got, resp.Body)
		resp.Body.Close()
		if err != nil || n != size || !bytes.Equal(got.Sum(nil), want.Sum(nil)) {
			t.Errorf("%q: %d bytes, %v", query, n, err)
		}
	}
	if peak := peakMemory(t, p); peak > 64<<20 && !raceEnabled {
		t.Errorf("took %s at its peak", size64(peak))
	} else {
		t.Logf("%s at its peak", size64(peak))
	}
}

func size64(n int64) string { return size(n) }

// peakMemory is the most that a process had resident.
func peakMemory(t *testing.T, p *process) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Skip("no /proc here")
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Skip("no VmHWM here")
	return 0
}

// Content codings arrive as the origin made them, each for who accepts it.
func TestNegotiatedCodings(t *testing.T) {
	plain := strings.Repeat("surrogate ", 1000)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	io.WriteString(z, plain)
	z.Close()
	origin := startOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept-Encoding")
		w.Header().Set("Cache-Control", "max-age=60")
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(zipped.Bytes())
			return
		}
		io.WriteString(w, plain)
	})
	p := serveFor(t, origin)
	for _, round := range []string{"cold", "warm"} {
		for _, accept := range []string{"", "gzip", "gzip, deflate, br", "identity"} {
			fields := []string{"Accept-Encoding: " + accept}
			if accept == "" {
				fields = nil
			}
			got := get(t, p.proxy+"/", fields...)
			want, coding := plain, ""
			if strings.Contains(accept, "gzip") {
				want, coding = zipped.String(), "gzip"
			}
			if got.body != want || got.Header.Get("Content-Encoding") != coding {
				t.Errorf("%s, %q: %q, %d bytes", round, accept, got.Header.Get("Content-Encoding"), len(got.body))
			}
			untilHit(t, p.proxy+"/", fields...)
		}
	}
}

// Load balancers may speak HTTP/2 without TLS.
func TestUnencryptedHTTP2(t *testing.T) {
	origin, _ := taggingOrigin(t)
	p := serveFor(t, origin)
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	untilHit(t, p.proxy+"/a")
	resp, err := (&http.Client{Transport: tr}).Get(p.proxy + "/a")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.ProtoMajor != 2 || !isHit(answered{Response: resp}) {
		t.Errorf("%s, %s", resp.Proto, resp.Header.Get("Cache-Status"))
	}
}
