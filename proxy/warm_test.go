package proxy_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/proxy"
	"surrogate/purge"
	"surrogate/store/memstore"
)

const shopURL = "http://" + shopHost

// warmed checks what Warm says of a page.
func (h *house) warmed(ask proxy.WarmAsk, state proxy.WarmState, why string) proxy.WarmResult {
	h.t.Helper()
	r := h.proxy.Warm(context.Background(), ask)
	if r.State != state || r.Why != why {
		h.t.Errorf("warming %s came to %d, %q; want %d, %q", ask.URL, r.State, r.Why, state, why)
	}
	return r
}

func (h *house) visit(path, want, cache string, fields ...string) *visit {
	h.t.Helper()
	header := http.Header{}
	for i := 0; i < len(fields); i += 2 {
		header.Set(fields[i], fields[i+1])
	}
	v := send(h.t, h.public, "GET", "http", shopHost, path, header, "", visitor)
	<-v.done
	synctest.Wait() // it is answered before what it brought is stored
	if v.content() != want {
		h.t.Errorf("the visitor of %s is shown %q, want %q", path, v.content(), want)
	}
	if got := v.header.Get("Cache-Status"); len(got) < len(cache) || got[:len(cache)] != cache {
		h.t.Errorf("the visitor of %s is told %q, want %q", path, got, cache)
	}
	return v
}

func TestWarm(t *testing.T) {
	stampede(t, func(h *house, say func(int, ...string)) {
		page := proxy.WarmAsk{URL: shopURL + "/a"}
		r := h.warmed(page, proxy.WarmStored, "")
		if r.Joined || r.Cost != time.Second || r.Bytes != 2 || r.Status != 200 || r.Entry == nil {
			t.Errorf("%+v", r)
		}
		h.visit("/a", "v1", "surrogate; hit")
		if r := h.warmed(page, proxy.WarmFresh, ""); r.Cost != 0 {
			t.Errorf("what is fresh was fetched: %+v", r)
		}
		h.fetched(1)
		say(2)
		forced := page
		forced.Force = true
		h.warmed(forced, proxy.WarmStored, "")
		h.visit("/a", "v2", "surrogate; hit")
		if _, err := h.purger.PurgeTags(context.Background(), "t"); err != nil {
			t.Fatal(err)
		}
		say(3)
		h.warmed(page, proxy.WarmStored, "")
		h.visit("/a", "v3", "surrogate; hit")
		if _, err := h.purger.Purge(context.Background(), purge.Request{Tags: []string{"t"}, Soft: true}); err != nil {
			t.Fatal(err)
		}
		say(4)
		h.warmed(page, proxy.WarmStored, "")
		h.visit("/a", "v4", "surrogate; hit")
		time.Sleep(61 * time.Second)
		say(5)
		h.warmed(page, proxy.WarmStored, "")
		h.visit("/a", "v5", "surrogate; hit")
		h.fetched(5)
	})
}

// TestWarmSharesWithVisitors: whoever began the fetch, it serves both.
func TestWarmSharesWithVisitors(t *testing.T) {
	stampede(t, func(h *house, _ func(int, ...string)) {
		var all sync.WaitGroup
		all.Go(func() {
			if r := h.warmed(proxy.WarmAsk{URL: shopURL + "/a"}, proxy.WarmStored, ""); r.Joined {
				t.Error("the fetch was the warmer's own")
			}
		})
		synctest.Wait()
		began := time.Now()
		h.visit("/a", "v1", "surrogate; fwd=uri-miss; fwd-status=200; stored")
		if took := time.Since(began); took != time.Second {
			t.Errorf("the visitor waited %v", took)
		}
		all.Wait()
		v := send(t, h.public, "GET", "http", shopHost, "/b", nil, "", visitor)
		synctest.Wait()
		if h.proxy.Visiting("shop") != 1 {
			t.Errorf("%d visitors' fetches are under way", h.proxy.Visiting("shop"))
		}
		if r := h.warmed(proxy.WarmAsk{URL: shopURL + "/b"}, proxy.WarmStored, ""); !r.Joined || r.Cost != 0 {
			t.Errorf("the fetch was the visitor's: %+v", r)
		}
		<-v.done
		h.fetched(2)
	})
}

// TestWarmAfterPurge: a fetch that a purge overtook does not count as warmed.
func TestWarmAfterPurge(t *testing.T) {
	stampede(t, func(h *house, say func(int, ...string)) {
		v := send(t, h.public, "GET", "http", shopHost, "/a", nil, "", visitor)
		synctest.Wait()
		say(2)
		if _, err := h.purger.PurgeTags(context.Background(), "t"); err != nil {
			t.Fatal(err)
		}
		h.warmed(proxy.WarmAsk{URL: shopURL + "/a"}, proxy.WarmStored, "")
		<-v.done
		h.visit("/a", "v2", "surrogate; hit")
		h.fetched(2)
	})
}

func TestWarmFails(t *testing.T) {
	stampede(t, func(h *house, say func(int, ...string)) {
		page := proxy.WarmAsk{URL: shopURL + "/a"}
		say(1, "Cache-Control", "no-store")
		h.warmed(page, proxy.WarmUnkept, "no-store")
		if r := h.warmed(page, proxy.WarmUnkept, "no-store"); r.Status != 200 { // remembered: nobody is asked again
			t.Errorf("remembered: %+v", r)
		}
		h.fetched(1)
		h.visit("/a", "v1", "surrogate; fwd=uri-miss")
		// What only a visitor has met is asked for once: it may not be there at all.
		h.visit("/unkept", "v1", "surrogate; fwd=uri-miss")
		h.warmed(proxy.WarmAsk{URL: shopURL + "/unkept"}, proxy.WarmUnkept, "no-store")
		h.warmed(proxy.WarmAsk{URL: shopURL + "/unkept"}, proxy.WarmUnkept, "no-store")
		h.fetched(4)
		h.warmed(proxy.WarmAsk{URL: "not a URL"}, proxy.WarmFailed, `not a URL that could be cached: "not a URL" has no valid host`)
		h.warmed(proxy.WarmAsk{URL: "shop.example/a"}, proxy.WarmFailed, `not a URL that could be cached: "shop.example/a" has neither http:// nor https://`)
		answer := h.origin.answer
		h.origin.answer = func(*http.Request, int) (*reply, error) {
			return &reply{cut: -1, status: 503, header: http.Header{"Retry-After": {"7"}}}, nil
		}
		if r := h.warmed(proxy.WarmAsk{URL: shopURL + "/b"}, proxy.WarmFailed, "the origin answered 503"); !r.Passing || r.After != 7*time.Second {
			t.Errorf("%+v", r)
		}
		h.origin.answer = func(*http.Request, int) (*reply, error) { return &reply{refuse: true}, nil }
		if r := h.warmed(proxy.WarmAsk{URL: shopURL + "/b"}, proxy.WarmFailed, "origin-unreachable: the origin could not be reached"); !r.Passing {
			t.Errorf("%+v", r)
		}
		h.origin.answer = func(*http.Request, int) (*reply, error) {
			return &reply{cut: -1, status: 301, header: http.Header{"Location": {"b?c=d#e"}, "Cache-Control": {"max-age=9"}}}, nil
		}
		if r := h.warmed(proxy.WarmAsk{URL: shopURL + "/x/c"}, proxy.WarmStored, ""); r.Location != shopURL+"/x/b?c=d" {
			t.Errorf("it leads to %q", r.Location)
		}
		h.store.broken.Store(true)
		if r := h.warmed(page, proxy.WarmFailed, "could not look it up: "+errBroken.Error()); !r.Passing {
			t.Errorf("%+v", r)
		}
		h.store.broken.Store(false)
		h.origin.answer = answer
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		if r := h.proxy.Warm(ctx, proxy.WarmAsk{URL: shopURL + "/slow"}); r.State != proxy.WarmFailed || !r.Passing {
			t.Errorf("given up: %+v", r)
		}
		synctest.Wait()
		h.origin.mu.Lock()
		defer h.origin.mu.Unlock()
		if h.origin.inside != 0 {
			t.Error("the fetch that nobody waits for goes on")
		}
	})
}

// TestWarmPicks: what is fetched is what the visitors' own requests were for,
// and what Served tells is enough to fetch it.
func TestWarmPicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &origin{}
		var served []proxy.Served
		h := openHouse(t, slog.New(slog.DiscardHandler), shopSite(), memstore.Options{}, func(*proxy.Site) http.RoundTripper { return o },
			func(opt *proxy.Options) { opt.Served = func(s proxy.Served) { served = append(served, s) } })
		h.origin = o
		defer h.close()
		o.answer = func(r *http.Request, n int) (*reply, error) {
			lang, _, _ := strings.Cut(r.Header.Get("Accept-Language"), ",")
			return &reply{cut: -1, status: 200, body: fmt.Sprintf("%s %q", lang, r.Header.Get("Accept-Encoding")), header: http.Header{
				"Cache-Control": {"max-age=60"}, "Vary": {"Accept-Language, Accept-Encoding"}, "Content-Language": {lang}, "Surrogate-Key": {"t"},
			}}, nil
		}
		h.visit("/a", `de "br, gzip"`, "surrogate; fwd=uri-miss", "Accept-Language", "de, en;q=0.5", "Accept-Encoding", "gzip, deflate, br")
		h.visit("/a", `fr "identity"`, "surrogate; fwd=vary-miss", "Accept-Language", "fr")
		h.visit("/a", `de "br, gzip"`, "surrogate; hit", "Accept-Language", "de;q=0.9", "Accept-Encoding", "br, gzip") // by the Alt
		if len(served) != 3 || served[0].Hit || !served[2].Hit || served[2].Pick != served[0].Pick || served[1].Pick == served[0].Pick {
			t.Fatalf("%+v", served)
		}
		if _, err := h.purger.PurgeTags(t.Context(), "t"); err != nil {
			t.Fatal(err)
		}
		for _, s := range served[1:] {
			r := h.warmed(proxy.WarmAsk{URL: string(s.Key), Vary: s.Vary, Pick: s.Pick}, proxy.WarmStored, "")
			if r.Entry != nil && r.Entry.Pick != s.Pick {
				t.Errorf("warming %q stored %q", s.Pick, r.Entry.Pick)
			}
		}
		h.visit("/a", `de "br, gzip"`, "surrogate; hit", "Accept-Language", "de, en;q=0.5", "Accept-Encoding", "gzip, deflate, br")
		h.visit("/a", `de "br, gzip"`, "surrogate; hit", "Accept-Language", "de;q=0.9", "Accept-Encoding", "br, gzip")
		h.visit("/a", `fr "identity"`, "surrogate; hit", "Accept-Language", "fr")
		// A plain ask is for what most browsers accept.
		h.warmed(proxy.WarmAsk{URL: shopURL + "/b"}, proxy.WarmStored, "")
		h.visit("/b", ` "zstd, br, gzip"`, "surrogate; hit", "Accept-Encoding", "gzip, deflate, br, zstd")
		if ua := o.asked[len(o.asked)-1].Header.Get("User-Agent"); ua != "surrogate (warming)" {
			t.Errorf("the origin is told that %q asks", ua)
		}
	})
}

// TestWarmOnce: over a fleet one node fetches, for warming as for visitors.
func TestWarmOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gather(t, 3)
		var all sync.WaitGroup
		var joined, stored atomic.Int32
		for _, p := range g.nodes {
			all.Go(func() {
				r := p.Warm(t.Context(), proxy.WarmAsk{URL: shopURL + "/a"})
				if r.State == proxy.WarmStored {
					stored.Add(1)
				}
				if r.Joined {
					joined.Add(1)
				}
			})
		}
		all.Wait()
		if stored.Load() != 3 || joined.Load() != 2 {
			t.Errorf("%d stored, %d of them by another node", stored.Load(), joined.Load())
		}
		g.fetched(1)
		g.members[0].deaf.Store(true)
		if r := g.nodes[0].Warm(t.Context(), proxy.WarmAsk{URL: shopURL + "/b"}); r.State != proxy.WarmFailed || !r.Passing {
			t.Errorf("a deaf node warms: %+v", r)
		}
		// What only Redis has is not read whole to learn that it is fresh.
		if r := g.nodes[1].Warm(t.Context(), proxy.WarmAsk{URL: shopURL + "/a"}); r.State != proxy.WarmFresh || r.Entry.Body != nil {
			t.Errorf("%+v", r)
		}
		if r := g.nodes[1].Warm(t.Context(), proxy.WarmAsk{URL: shopURL + "/a", Body: true}); r.State != proxy.WarmFresh || r.Entry.Body == nil {
			t.Errorf("%+v", r)
		}
		time.Sleep(61 * time.Second)
		if r := g.nodes[1].Warm(t.Context(), proxy.WarmAsk{URL: shopURL + "/a"}); r.State != proxy.WarmStored {
			t.Errorf("%+v", r)
		}
		g.fetched(2)
	})
}
