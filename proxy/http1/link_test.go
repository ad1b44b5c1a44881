package http1

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"time"
)

// TestDeadlineOfAnEarlierExchange: it ends neither the wait for a head nor that
// for content.
func TestDeadlineOfAnEarlierExchange(t *testing.T) {
	passed := make(chan bool)
	o := start(t, func(c net.Conn, r *http.Request) bool {
		if r.Header.Get("X-Slow") == "" {
			return ok(c, "x")
		}
		<-passed
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n")
		<-passed
		io.WriteString(c, "abc")
		return true
	})
	c := o.client(t, nil)
	if _, err := read(c, request(t.Context(), "GET", "", false)); err != nil {
		t.Fatal(err)
	}
	l := c.idle[0]
	soon := func() <-chan time.Time {
		l.deadline = time.Now().Add(20 * time.Millisecond)
		if err := l.conn.SetReadDeadline(l.deadline); err != nil {
			t.Fatal(err)
		}
		return time.After(40 * time.Millisecond)
	}
	r := request(t.Context(), "GET", "", false)
	r.Header.Set("X-Slow", "1")
	passing := func(was <-chan time.Time) { <-was; passed <- true }
	go passing(soon())
	resp, err := c.RoundTrip(r, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	go passing(soon())
	if b, err := io.ReadAll(resp.Body); string(b) != "abc" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	if n := o.conns.Load(); n != 1 {
		t.Errorf("there were %d connections", n)
	}
}

// TestNoAnswerInTime: neither a head that does not come nor one that does not end
// is waited for longer than it may take.
func TestNoAnswerInTime(t *testing.T) {
	for _, wire := range []string{"", "HTTP/1.1 200 OK\r\nA: b", "HTTP/1.1 103 Early Hints\r\n\r\n"} {
		o := start(t, func(c net.Conn, r *http.Request) bool {
			io.WriteString(c, wire)
			io.Copy(io.Discard, c)
			return false
		})
		c := o.client(t, func(o *Options) { o.ResponseTimeout = 50 * time.Millisecond })
		_, err := read(c, request(t.Context(), "GET", "", false))
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%q: %v", wire, err)
		}
	}
}

// TestCancelled: an exchange ends with its context, wherever it is, and so does
// the connection.
func TestCancelled(t *testing.T) {
	for _, wire := range []string{"", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"} {
		got, over := make(chan bool), make(chan bool)
		o := start(t, func(c net.Conn, r *http.Request) bool {
			io.WriteString(c, wire)
			got <- true
			io.Copy(io.Discard, c)
			over <- true
			return false
		})
		c := o.client(t, nil)
		ctx, cancel := context.WithCancelCause(t.Context())
		because := errors.New("nobody wants it any more")
		go func() { <-got; cancel(because) }()
		_, err := read(c, request(ctx, "GET", "", false))
		if !errors.Is(err, because) && !errors.Is(err, context.Canceled) {
			t.Errorf("%q: %v", wire, err)
		}
		<-over
	}
}

// TestClosedAmidContent: closing a response of which not all was read closes the
// connection, also while somebody reads.
func TestClosedAmidContent(t *testing.T) {
	over := make(chan bool, 2)
	o := start(t, func(c net.Conn, r *http.Request) bool {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
		io.Copy(io.Discard, c)
		over <- true
		return false
	})
	c := o.client(t, func(o *Options) { o.MaxConns = 1 })
	for range 2 {
		resp, err := c.RoundTrip(request(t.Context(), "GET", "", false), "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 3)
		if _, err := io.ReadFull(resp.Body, b); err != nil {
			t.Fatal(err)
		}
		go resp.Body.Close()
		if n, err := resp.Body.Read(b); n > 0 || err == nil || err == io.EOF {
			t.Errorf("%d bytes more, %v", n, err)
		}
		<-over
	}
}

// TestHeadTooLarge: it is refused under its own name, however it comes.
func TestHeadTooLarge(t *testing.T) {
	for _, wire := range []string{
		"HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 1<<14),
		"HTTP/1.1 200 OK\r\nA: " + strings.Repeat("b", 1<<17),
		"HTTP/1.0 200 OK\r\n" + strings.Repeat("A: b\r\n", 1<<14),
		strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 1<<12),
	} {
		o := start(t, func(c net.Conn, r *http.Request) bool {
			for {
				if _, err := io.WriteString(c, wire); err != nil {
					return false
				}
			}
		})
		c := o.client(t, func(o *Options) { o.HeadBytes = 64 << 10 })
		if _, err := read(c, request(t.Context(), "GET", "", false)); !errors.Is(err, ErrHeadTooLarge) {
			t.Errorf("%.30q: %v", wire, err)
		}
	}
}

// TestInterim: interim responses come in order and before the response; an error
// ends the exchange.
func TestInterim(t *testing.T) {
	o := start(t, func(c net.Conn, r *http.Request) bool {
		io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
		return ok(c, "x")
	})
	c := o.client(t, nil)
	var seen []int
	interim := func(status int, h http.Header) error {
		if seen = append(seen, status); status == 103 && h.Get("Link") != "</a>" {
			t.Errorf("the hint has the fields %v", h)
		}
		return nil
	}
	resp, err := c.RoundTrip(request(t.Context(), "GET", "", false), "/", interim)
	if err != nil || len(seen) != 2 || seen[0] != 103 || seen[1] != 102 {
		t.Fatalf("%v, %v", seen, err)
	}
	resp.Body.Close()
	enough := errors.New("enough")
	if _, err := c.RoundTrip(request(t.Context(), "GET", "", false), "/", func(int, http.Header) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("it goes on after %v", err)
	}
}

// TestExpectContinue: content is sent when the origin wants it, or says nothing;
// where it refuses, none is.
func TestExpectContinue(t *testing.T) {
	for _, x := range []struct {
		says  string
		wants bool
	}{{"HTTP/1.1 100 Continue\r\n\r\n", true}, {"", true}, {"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno", false}} {
		o := start(t, func(c net.Conn, r *http.Request) bool {
			io.WriteString(c, x.says)
			if !x.wants {
				return false
			}
			b, _ := io.ReadAll(r.Body)
			return ok(c, string(b))
		})
		c := o.client(t, nil)
		r := request(t.Context(), "POST", "content", true)
		r.Header.Set("Expect", "100-continue")
		touched := false
		body := r.Body
		r.Body = readCloser{readerFunc(func(p []byte) (int, error) { touched = true; return body.Read(p) }), body}
		got, err := read(c, r)
		if want := map[bool]string{true: "content", false: "no"}[x.wants]; got != want || err != nil {
			t.Errorf("after %q: %q, %v", x.says, got, err)
		}
		if touched != x.wants {
			t.Errorf("after %q the content was read: %v", x.says, touched)
		}
	}
}

type readCloser struct {
	io.Reader
	io.Closer
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestContentBreaksOff: where the client's content ends too early, the origin sees
// no whole request, and the error is the client's.
func TestContentBreaksOff(t *testing.T) {
	broke := errors.New("the client left")
	for _, length := range []int64{-1, 9} {
		whole := make(chan bool, 1)
		o := start(t, func(c net.Conn, r *http.Request) bool {
			_, err := io.ReadAll(r.Body)
			whole <- err == nil
			return false
		})
		c := o.client(t, nil)
		r := request(t.Context(), "POST", "x", false)
		r.ContentLength = length
		r.Body = io.NopCloser(io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broke)))
		if _, err := read(c, r); !errors.Is(err, broke) {
			t.Errorf("length %d: %v", length, err)
		}
		if <-whole {
			t.Errorf("length %d: the origin took it for the whole", length)
		}
	}
}

// TestSlowUpload: the response may take its time from the end of the request, not
// from its beginning.
func TestSlowUpload(t *testing.T) {
	o := start(t, func(c net.Conn, r *http.Request) bool {
		b, err := io.ReadAll(r.Body)
		return err == nil && ok(c, string(b))
	})
	const within = 50 * time.Millisecond
	c := o.client(t, func(o *Options) { o.ResponseTimeout = within })
	r := request(t.Context(), "POST", "x", false)
	parts := 0
	r.ContentLength, r.Body = -1, io.NopCloser(readerFunc(func(p []byte) (int, error) {
		if parts++; parts > 4 {
			return 0, io.EOF
		}
		time.Sleep(within) // the client's pace
		return copy(p, "x"), nil
	}))
	if got, err := read(c, r); got != "xxxx" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	silent := start(t, func(c net.Conn, r *http.Request) bool { io.Copy(io.Discard, c); return false })
	c = silent.client(t, func(o *Options) { o.ResponseTimeout = within })
	if _, err := read(c, request(t.Context(), "POST", "x", false)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("an origin that says nothing after it: %v", err)
	}
}

// TestSlowOriginIsAskedOnce: that no answer came in time is no reason to ask again.
func TestSlowOriginIsAskedOnce(t *testing.T) {
	var asked atomic.Int64
	var all sync.WaitGroup
	all.Add(4)
	o := start(t, func(c net.Conn, r *http.Request) bool {
		if r.Header.Get("X-Slow") != "" {
			asked.Add(1)
			io.Copy(io.Discard, c)
			return false
		}
		all.Done()
		all.Wait()
		return ok(c, "x")
	})
	c := o.client(t, nil)
	var kept sync.WaitGroup
	for range 4 {
		kept.Go(func() { read(c, request(t.Context(), "GET", "", false)) })
	}
	kept.Wait()
	if n := len(c.idle); n != 4 {
		t.Fatalf("%d connections are kept", n)
	}
	c.o.ResponseTimeout = 20 * time.Millisecond
	r := request(t.Context(), "GET", "", false)
	r.Header.Set("X-Slow", "1")
	if _, err := read(c, r); !errors.Is(err, os.ErrDeadlineExceeded) || asked.Load() != 1 {
		t.Errorf("it was asked %d times: %v", asked.Load(), err)
	}
	if _, err := c.RoundTrip(request(t.Context(), "GET", "", false), "/a b", nil); err == nil || len(c.idle) != 3 {
		t.Errorf("what cannot be sent has left %d connections: %v", len(c.idle), err)
	}
}

// TestContentIsSentAgain: what is sent twice is sent whole the second time, while
// the first sending may not have ended.
func TestContentIsSentAgain(t *testing.T) {
	content := strings.Repeat("x", 60<<10)
	var lost atomic.Bool
	o := start(t, func(c net.Conn, r *http.Request) bool {
		if r.Header.Get("X-Lost") != "" && lost.CompareAndSwap(false, true) {
			return false // without having read the content
		}
		b, _ := io.ReadAll(r.Body)
		return ok(c, string(b))
	})
	for range 20 {
		c := o.client(t, nil)
		if _, err := read(c, request(t.Context(), "GET", "", false)); err != nil {
			t.Fatal(err)
		}
		lost.Store(false)
		r := request(t.Context(), "PUT", content, true)
		r.Header.Set("X-Lost", "1")
		r.Header.Set("Idempotency-Key", "1")
		if got, err := read(c, r); got != content || err != nil {
			t.Errorf("%d bytes came, %v", len(got), err)
		}
	}
}

// TestOriginSpeaksFirst: what a new connection brought before the request is read.
func TestOriginSpeaksFirst(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	nc, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	c := New(Options{ResponseTimeout: time.Minute})
	link := newLink(c, nc)
	if _, err := io.WriteString(theirs, "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	for link.silentPeek() {
		runtime.Gosched()
	}
	r := request(t.Context(), "GET", "", false)
	m := rooms.Get().(*room)
	m.out, _ = m.appendRequest(m.out[:0], r, "/")
	if resp, err := link.exchange(r, m, nil); err != nil || resp.StatusCode != 503 {
		t.Errorf("%v, %v", resp, err)
	}
}

// silentPeek reports whether nothing has come, and leaves there what has.
func (l *link) silentPeek() (silent bool) {
	_ = l.raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		silent = err == syscall.EAGAIN
	})
	return silent
}

// TestPanicOfInterim: it costs the connection, and no slot.
func TestPanicOfInterim(t *testing.T) {
	o := start(t, func(c net.Conn, r *http.Request) bool {
		io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n")
		return ok(c, "x")
	})
	c := o.client(t, func(o *Options) { o.MaxConns = 1 })
	func() {
		defer func() { recover() }()
		c.RoundTrip(request(t.Context(), "GET", "", false), "/", func(int, http.Header) error { panic("interim") })
	}()
	if got, err := read(c, request(t.Context(), "GET", "", false)); got != "x" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
