package warm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"surrogate/store"
)

// counts are the warmer's metrics, all in one set. Their names and meanings:
//
//	surrogate_warm_total{site,result}        pages by what warming came to: warmed (stored now), fresh (not fetched, because
//	                                         it was there), unkept (not to be stored), failed
//	surrogate_warm_joined_total{site}        pages warmed by a fetch that was begun for a visitor or by another node
//	surrogate_warm_retries_total{site}       failures of warming that were tried again later
//	surrogate_warm_bytes_total{site}         content of what was warmed
//	surrogate_warm_window{site}              fetches for warming that may be under way at once now; below 1 there are rests between them
//	surrogate_warm_under_way{site}           fetches for warming that are under way
//	surrogate_warm_down{site}                1 while warming waits because the origin fails
//	surrogate_warm_queue_jobs                pages that wait to be warmed
//	surrogate_warm_queue_taken               pages that are being warmed
//	surrogate_warm_queue_dropped_total       pages that had to go because the queue was full
//	surrogate_warm_queue_errors_total        calls of the queue that failed
type counts struct {
	set         *metrics.Set
	queueErrors *metrics.Counter
	w           *Warmer

	mu    sync.Mutex // guards sites
	sites map[string]*siteCounts
}

type siteCounts struct {
	results [len(resultNames)]*metrics.Counter
	joined  *metrics.Counter
	retries *metrics.Counter
	bytes   *metrics.Counter
}

var resultNames = [...]string{store.Warmed: "warmed", store.Fresh: "fresh", store.Unkept: "unkept", store.Failed: "failed"}

func newCounts(set *metrics.Set, w *Warmer) *counts {
	if set == nil {
		set = metrics.NewSet()
	}
	c := &counts{set: set, w: w, sites: make(map[string]*siteCounts), queueErrors: set.NewCounter("surrogate_warm_queue_errors_total")}
	queue := func(name string, of func(*store.QueueStats) float64) {
		set.NewGauge("surrogate_warm_queue_"+name, func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			st, err := w.queue.Stats(ctx)
			if err != nil {
				return 0
			}
			return of(&st)
		})
	}
	queue("jobs", func(s *store.QueueStats) float64 { return float64(s.Queued) })
	queue("taken", func(s *store.QueueStats) float64 { return float64(s.Taken) })
	queue("dropped_total", func(s *store.QueueStats) float64 { return float64(s.Dropped) })
	return c
}

// site returns the counters of a site.
func (c *counts) site(name string) *siteCounts {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sites[name]; s != nil {
		return s
	}
	counter := func(n string) *metrics.Counter {
		return c.set.GetOrCreateCounter(fmt.Sprintf("surrogate_warm_%s{site=%q}", n, name))
	}
	s := &siteCounts{joined: counter("joined_total"), retries: counter("retries_total"), bytes: counter("bytes_total")}
	for i, r := range resultNames {
		s.results[i] = c.set.GetOrCreateCounter(fmt.Sprintf("surrogate_warm_total{site=%q,result=%q}", name, r))
	}
	gauge := func(n string, of func(p *Pace) float64) {
		c.set.GetOrCreateGauge(fmt.Sprintf("surrogate_warm_%s{site=%q}", n, name), func() float64 {
			c.w.mu.Lock()
			defer c.w.mu.Unlock()
			return of(c.w.pace(name))
		})
	}
	gauge("window", func(p *Pace) float64 { return p.window })
	gauge("under_way", func(p *Pace) float64 { return float64(p.inside) })
	gauge("down", func(p *Pace) float64 {
		if p.tryIn > 0 {
			return 1
		}
		return 0
	})
	c.sites[name] = s
	return s
}

func (c *counts) again(site string) { c.site(site).retries.Inc() }

func (c *counts) settled(site string, r *Result) {
	s := c.site(site)
	if int(r.State) < len(s.results) {
		s.results[r.State].Inc()
	}
	if r.State == store.Warmed {
		s.bytes.AddInt64(r.Bytes)
		if r.Joined {
			s.joined.Inc()
		}
	}
}

// Stats are what a Warmer has done so far, and what it is at.
type Stats struct {
	Warmed  uint64           `json:"warmed"`  // pages fetched and stored
	Fresh   uint64           `json:"fresh"`   // found fresh: not fetched
	Unkept  uint64           `json:"unkept"`  // not to be stored
	Failed  uint64           `json:"failed"`  // after all tries
	Joined  uint64           `json:"joined"`  // of those warmed: by a fetch begun for a visitor, or by another node
	Retries uint64           `json:"retries"` // failures that were tried again
	Bytes   uint64           `json:"bytes"`
	Queue   store.QueueStats `json:"queue"`
	Sites   []PaceState      `json:"sites"`
}

// Stats tells what the Warmer has done so far, and what it is at.
func (w *Warmer) Stats(ctx context.Context) (Stats, error) {
	var out Stats
	w.counts.mu.Lock()
	for _, s := range w.counts.sites {
		out.Warmed += s.results[store.Warmed].Get()
		out.Fresh += s.results[store.Fresh].Get()
		out.Unkept += s.results[store.Unkept].Get()
		out.Failed += s.results[store.Failed].Get()
		out.Joined += s.joined.Get()
		out.Retries += s.retries.Get()
		out.Bytes += s.bytes.Get()
	}
	w.counts.mu.Unlock()
	now := time.Now()
	sites := w.limits()
	rank, nodes := w.share()
	w.mu.Lock()
	for name, p := range w.paces {
		st := p.State(now, sites[name].share(rank, nodes), w.visiting(name))
		st.Site = name
		out.Sites = append(out.Sites, st)
	}
	w.mu.Unlock()
	slices.SortFunc(out.Sites, func(a, b PaceState) int { return strings.Compare(a.Site, b.Site) })
	var err error
	out.Queue, err = w.queue.Stats(ctx)
	return out, err
}
