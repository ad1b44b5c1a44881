package warm_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"surrogate/proxy"
	"surrogate/purge"
	"surrogate/store"
	"surrogate/store/memstore"
	"surrogate/warm"
)

// A shop is a whole surrogate, joined as the program joins it, in a bubble of
// fake time, in front of a shop with so many workers, each of which takes 200 ms
// for a page; who comes when all have something to do waits in line.
type shop struct {
	testing.TB
	proxy    *proxy.Proxy
	purger   *purge.Purger
	queue    *warm.MemQueue
	warmer   *warm.Warmer
	rewarmer *warm.Rewarmer
	marks    *warm.Marks
	workers  chan struct{}
	stop     func()

	mu      sync.Mutex // guards what follows
	version int
	inside  map[bool]int // requests at the origin, for warming and not
	peak    map[bool]int
	fetches int
	took    []time.Duration // by visitors' own fetches, in line and served
}

const pageTakes = 200 * time.Millisecond

// tagsOf says what a page is made of: its product, the pages that list it.
func tagsOf(path string) string {
	switch {
	case strings.HasPrefix(path, "/products/"):
		return "product:" + path[len("/products/"):] + " category:" + categoryOf(path)
	case strings.HasPrefix(path, "/categories/"):
		return "category:" + path[len("/categories/"):]
	}
	return "home"
}

// categoryOf is the category of a product: every fourth one has shoes.
func categoryOf(path string) string {
	if strings.HasSuffix(path, "0") || strings.HasSuffix(path, "4") {
		return "shoes"
	}
	return "other"
}

func (s *shop) RoundTrip(r *http.Request) (*http.Response, error) {
	warming := r.Header.Get("User-Agent") == "surrogate (warming)"
	s.mu.Lock()
	s.fetches++
	s.inside[warming]++
	s.peak[warming] = max(s.peak[warming], s.inside[warming])
	version := s.version
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.inside[warming]--
	}()
	began := time.Now()
	select {
	case s.workers <- struct{}{}:
		defer func() { <-s.workers }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	select {
	case <-time.After(pageTakes):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if !warming {
		s.mu.Lock()
		s.took = append(s.took, time.Since(began))
		s.mu.Unlock()
	}
	path := r.URL.Opaque
	h := http.Header{"Cache-Control": {"max-age=86400"}, "Surrogate-Key": {tagsOf(path)}}
	switch path {
	case "/":
		h["Surrogate-Depends"] = []string{"/categories/shoes"}
	case "/categories/shoes":
		h["Surrogate-Depends"] = []string{"product:100 product:200"}
	}
	body := fmt.Sprintf("version %d", version)
	return &http.Response{
		StatusCode: http.StatusOK, Header: h, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)),
		Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

// openShop opens a shop whose pages are fetched again after a purge, as many of
// them as rewarm says.
func openShop(t testing.TB, rewarm, concurrency, workers int) *shop {
	s := &shop{
		TB: t, queue: warm.NewMemQueue(warm.MemQueueOptions{}), marks: warm.NewMarks(), workers: make(chan struct{}, workers),
		version: 1, inside: map[bool]int{}, peak: map[bool]int{},
	}
	mem := memstore.New(memstore.Options{MaxBytes: 64 << 20})
	heat := warm.NewHeat(warm.HeatOptions{})
	s.purger = purge.New(purge.Options{
		Store: mem,
		Swept: func(ev store.Event, keys []store.Swept) { s.rewarmer.Fell(ev, keys) },
		Over:  func(id string) { r, _ := s.purger.Receipt(id); s.rewarmer.Over(id, r.Rewarm) },
	})
	site := proxy.Site{
		Name: "shop", Origins: []*url.URL{{Scheme: "http", Host: "origin.internal"}},
		TagFields: []string{"Surrogate-Key"}, DepFields: []string{"Surrogate-Depends"}, TagRules: store.TagRules{MaxTags: 100, MaxBytes: 1 << 16},
	}
	var err error
	s.proxy, err = proxy.New(proxy.Options{
		Store: mem, Sites: []proxy.Site{site}, Transport: func(*proxy.Site) http.RoundTripper { return s },
		Served: func(x proxy.Served) {
			heat.Asked(x.Key, x.Vary, x.Pick, x.At)
			if x.Hit {
				s.marks.Used(x.Key, x.Pick, x.Born)
			}
		},
		Fetched: func(f proxy.Fetched) {
			if !f.Warming {
				s.warmer.Visitor(f.Site, f.Took, f.Failed)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.warmer = warm.New(warm.Options{
		Queue: s.queue, Visiting: s.proxy.Visiting,
		Sites: func() map[string]warm.Limits { return map[string]warm.Limits{"shop": {Concurrency: concurrency}} },
		Fetch: func(ctx context.Context, j store.Job) warm.Result {
			r := s.proxy.Warm(ctx, proxy.WarmAsk{URL: j.URL, Vary: j.Vary, Pick: j.Pick})
			out := warm.Result{Outcome: store.Outcome{Why: r.Why, Bytes: r.Bytes}, Origin: warm.End{Asked: r.Cost > 0, Failed: r.Unwell, Took: r.Cost}, Joined: r.Joined}
			switch r.State {
			case proxy.WarmFresh:
				out.State = store.Fresh
			case proxy.WarmStored:
				out.State = store.Warmed
				s.marks.Add(r.Entry)
			case proxy.WarmUnkept:
				out.State = store.Unkept
			default:
				out.State = store.Again
			}
			return out
		},
	})
	s.rewarmer = warm.NewRewarmer(warm.RewarmOptions{
		Queue: s.queue, Heat: heat, Site: func(store.Key) (string, int, bool) { return "shop", rewarm, true },
		Began: s.purger.Rewarming, Done: s.purger.Rewarmed,
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{mem.Run, s.purger.Run, s.warmer.Run, s.rewarmer.Run} {
		running.Go(func() { _ = run(ctx) })
	}
	s.stop = func() {
		cancel()
		running.Wait()
		_ = s.queue.Close()
		_ = s.proxy.Close()
		_ = mem.Close()
	}
	return s
}

// visit has a visitor ask for a page, and returns what he is shown and how long
// he waits.
func (s *shop) visit(path string) (body, cache string, took time.Duration) {
	began := time.Now()
	r := httptest.NewRequest(http.MethodGet, "http://shop.example"+path, nil)
	r.Header.Set("User-Agent", "a browser")
	w := httptest.NewRecorder()
	s.proxy.ServeHTTP(w, r)
	return w.Body.String(), w.Header().Get("Cache-Status"), time.Since(began)
}

// edit changes what all pages say.
func (s *shop) edit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
}

// rewarmed waits until what a purge took is warm again.
func (s *shop) rewarmed(id string) purge.Receipt {
	s.Helper()
	for range 1000 {
		if r, ok := s.purger.Receipt(id); ok && r.State == purge.Rewarmed {
			return r
		}
		time.Sleep(100 * time.Millisecond)
	}
	s.Fatal("it does not come back")
	return purge.Receipt{}
}

func mean(took []time.Duration) (sum time.Duration) {
	for _, d := range took {
		sum += d
	}
	return (sum / time.Duration(max(1, len(took)))).Round(time.Millisecond)
}

func quantile(took []time.Duration, q float64) time.Duration {
	if len(took) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(took))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
