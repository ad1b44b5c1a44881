package proxy_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/purge"
)

const crowd = 1000

// stampede opens a house whose origin takes a second for each answer: a page
// with a version, until say says otherwise, and with fields.
func stampede(t *testing.T, play func(h *house, say func(version int, fields ...string)), fields ...string) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, slog.New(slog.DiscardHandler))
		defer h.close()
		var now atomic.Pointer[reply]
		say := func(version int, fields ...string) {
			header := http.Header{"Cache-Control": {"max-age=60"}, "Surrogate-Key": {"t"}}
			for i := 0; i < len(fields); i += 2 {
				header[fields[i]] = []string{fields[i+1]}
			}
			now.Store(&reply{cut: -1, status: 200, hang: time.Second, header: header, body: fmt.Sprintf("v%d", version)})
		}
		h.origin.answer = func(r *http.Request, _ int) (*reply, error) {
			rep := *now.Load()
			if v := r.Header.Get("X-Variant"); v != "" {
				rep.body += " for " + v
			}
			return &rep, nil
		}
		say(1, fields...)
		play(h, say)
	})
}

// ask sends a crowd, all at the same instant.
func (h *house) ask(path string, header func(i int) http.Header) []*visit {
	vs := make([]*visit, crowd)
	for i := range vs {
		var f http.Header
		if header != nil {
			f = header(i)
		}
		vs[i] = send(h.t, h.public, "GET", "http", shopHost, path, f, "", visitor)
	}
	return vs
}

// all waits for a crowd and checks what everybody was answered.
func (h *house) all(vs []*visit, want func(i int) string) {
	h.t.Helper()
	for i, v := range vs {
		<-v.done
		if v.code() != 200 || v.content() != want(i) {
			h.t.Fatalf("number %d was answered %d, %q; want %q", i, v.code(), v.content(), want(i))
		}
	}
	synctest.Wait()
}

func (h *house) fetched(want int) {
	h.t.Helper()
	if got := h.origin.fetches(""); got != want {
		h.t.Errorf("the origin was asked %d times, want %d", got, want)
	}
}

func always(s string) func(int) string { return func(int) string { return s } }

func TestStampedeOnColdKey(t *testing.T) {
	stampede(t, func(h *house, _ func(int, ...string)) {
		began := time.Now()
		h.all(h.ask("/a", nil), always("v1"))
		h.fetched(1)
		if d := time.Since(began); d != time.Second {
			h.t.Errorf("it took %v", d)
		}
		h.all(h.ask("/a", nil), always("v1"))
		h.fetched(1)
	})
}

func TestStampedeOnJustStaleKey(t *testing.T) {
	stampede(t, func(h *house, say func(int, ...string)) {
		h.all(h.ask("/a", nil), always("v1"))
		time.Sleep(61 * time.Second)
		say(2)
		began := time.Now()
		h.all(h.ask("/a", nil), always("v1"))
		if d := time.Since(began); d != 0 {
			h.t.Errorf("they waited %v", d)
		}
		time.Sleep(2 * time.Second)
		h.fetched(2)
		h.all(h.ask("/a", nil), always("v2"))
		h.fetched(2)
	}, "Cache-Control", "max-age=60, stale-while-revalidate=60")
}

// TestStampedeOnStaleKey: without a window all wait, for one fetch.
func TestStampedeOnStaleKey(t *testing.T) {
	stampede(t, func(h *house, say func(int, ...string)) {
		h.all(h.ask("/a", nil), always("v1"))
		time.Sleep(61 * time.Second)
		say(2)
		h.all(h.ask("/a", nil), always("v2"))
		h.fetched(2)
	})
}

// TestStampedeOnUncacheable: once it is known that an answer cannot be shared,
// nobody waits for another.
func TestStampedeOnUncacheable(t *testing.T) {
	stampede(t, func(h *house, _ func(int, ...string)) {
		began := time.Now()
		h.all(h.ask("/a", nil), always("v1"))
		if d := time.Since(began); d != 2*time.Second {
			h.t.Errorf("the first took %v: one fetch to learn of it, and then all at once is 2s", d)
		}
		h.fetched(crowd)
		began = time.Now()
		h.all(h.ask("/a", nil), always("v1"))
		if d := time.Since(began); d != time.Second {
			h.t.Errorf("the next took %v", d)
		}
		h.fetched(2 * crowd)
		if h.origin.peak != crowd {
			h.t.Errorf("the origin had %d requests at once, want %d", h.origin.peak, crowd)
		}
	}, "Cache-Control", "no-store")
}

// TestStampedeOnFour: requests that pick four variants are four fetches, even
// when nobody knows yet that they do.
func TestStampedeOnFour(t *testing.T) {
	variant := func(i int) http.Header { return http.Header{"X-Variant": {fmt.Sprint(i % 4)}} }
	stampede(t, func(h *house, say func(int, ...string)) {
		want := func(version int) func(int) string {
			return func(i int) string { return fmt.Sprintf("v%d for %d", version, i%4) }
		}
		h.all(h.ask("/a", variant), want(1))
		h.fetched(4)
		h.all(h.ask("/a", variant), want(1))
		h.fetched(4)
		time.Sleep(61 * time.Second)
		say(2, "Vary", "X-Variant")
		began := time.Now()
		h.all(h.ask("/a", variant), want(2))
		h.fetched(8)
		if d := time.Since(began); d != time.Second {
			h.t.Errorf("they took %v, though it was known what they pick by", d)
		}
	}, "Vary", "X-Variant")
}

// TestPurgeInStampede: who came before the purge shares the old fetch, and who
// comes after it the new one.
func TestPurgeInStampede(t *testing.T) {
	stampede(t, func(h *house, say func(int, ...string)) {
		before := h.ask("/a", nil)
		time.Sleep(500 * time.Millisecond)
		say(2)
		if _, err := h.purger.Purge(context.Background(), purge.Request{Tags: []string{"t"}}); err != nil {
			h.t.Fatal(err)
		}
		after := h.ask("/a", nil)
		synctest.Wait()
		h.all(before, always("v1"))
		h.all(after, always("v2"))
		h.fetched(2)
		h.all(h.ask("/a", nil), always("v2"))
		h.fetched(2)
	})
}

// TestStampedeOnFailing: an origin that is down is not asked as often as there
// are clients.
func TestStampedeOnFailing(t *testing.T) {
	stampede(t, func(h *house, _ func(int, ...string)) {
		var tries atomic.Int32
		h.origin.answer = func(*http.Request, int) (*reply, error) {
			tries.Add(1)
			return &reply{refuse: true, hang: time.Second}, nil
		}
		for i, v := range h.ask("/a", nil) {
			if <-v.done; v.code() != http.StatusBadGateway {
				h.t.Fatalf("number %d was answered %d, %q", i, v.code(), v.content())
			}
		}
		if n := tries.Load(); n > 20 {
			h.t.Errorf("the origin was tried %d times", n)
		}
	})
}
