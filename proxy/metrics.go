package proxy

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// counts are the proxy's metrics, all in one set. Their names and meanings:
//
//	surrogate_requests_total{site,cache}     requests by how they were answered: hit, stale, miss, revalidated, pass, refused
//	surrogate_request_seconds{site,cache}    time to answer them, to the last byte
//	surrogate_sent_bytes_total{site}         content sent to clients
//	surrogate_collapsed_total{site}          requests answered by a fetch begun for another
//	surrogate_fetches_total{site}            requests sent to origins to fill or refresh the store
//	surrogate_fetch_seconds{site}            their time to the response's head
//	surrogate_fetch_errors_total{site}       those that were not answered or broke off
//	surrogate_origin_surplus_total{site}     connections closed because an origin sent more than its response
//	surrogate_revalidated_total{site}        those answered 304
//	surrogate_stored_total{site}             responses stored
//	surrogate_not_kept_total{site,why}       responses not stored, by reason
//	surrogate_catch_all_total{site}          responses whose tags could not all be kept: they fall with every purge
//	surrogate_refresh_early_total{site}      background refreshes begun before the page was stale
//	surrogate_refresh_dropped_total{site}    background refreshes left to a later request because too many were under way
//	surrogate_warm_fetches_total{site}       fetches begun for warming, whoever else they served
//	surrogate_store_errors_total{site}       lookups and puts that failed
//	surrogate_claims_total{site,result}      fetches agreed upon with other nodes: won (made here), found (made elsewhere and used),
//	                                         vain (waited for, and nothing came of it), left (refreshes that another node made),
//	                                         failed (there was no agreement to be had)
type counts struct {
	set   *metrics.Set
	mu    sync.Mutex // guards what follows
	sites map[string]*siteCounts
	order []string
}

type siteCounts struct {
	requests       [len(results)]*tally
	collapsed      *metrics.Counter
	fetches        *metrics.Counter
	fetchSeconds   *metrics.PrometheusHistogram
	fetchErrors    *metrics.Counter
	surplus        *metrics.Counter
	revalidated    *metrics.Counter
	stored         *metrics.Counter
	unkept         [numReasons]*metrics.Counter
	catchAll       *metrics.Counter
	refreshEarly   *metrics.Counter
	refreshDropped *metrics.Counter
	warmFetches    *metrics.Counter
	visiting       atomic.Int64 // visitors' fetches under way
	storeErrors    *metrics.Counter
	claims         [len(claimResults)]*metrics.Counter
}

// results are how a request can be answered; resultHit and resultStale are from
// the store.
var results = [...]string{"hit", "stale", "miss", "revalidated", "pass", "refused"}

const (
	resultHit = iota
	resultStale
	resultMiss
	resultRevalidated
	resultPass
	resultRefused
)

// What became of claims.
const (
	claimWon = iota
	claimFound
	claimVain
	claimLeft
	claimFailed
)

var claimResults = [...]string{"won", "found", "vain", "left", "failed"}

func newCounts(set *metrics.Set) *counts {
	if set == nil {
		set = metrics.NewSet()
	}
	c := &counts{set: set, sites: make(map[string]*siteCounts)}
	set.RegisterMetricsWriter(c.writeSeconds)
	return c
}

// site returns the counters of a site, the same ones after a reload.
func (c *counts) site(name string) *siteCounts {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.sites[name]; s != nil {
		return s
	}
	counter := func(n string) *metrics.Counter {
		return c.set.GetOrCreateCounter(fmt.Sprintf("surrogate_%s{site=%q}", n, name))
	}
	s := &siteCounts{
		collapsed: counter("collapsed_total"), fetches: counter("fetches_total"),
		fetchSeconds: c.set.GetOrCreatePrometheusHistogram(fmt.Sprintf("surrogate_fetch_seconds{site=%q}", name)),
		fetchErrors:  counter("fetch_errors_total"), surplus: counter("origin_surplus_total"),
		revalidated: counter("revalidated_total"), stored: counter("stored_total"),
		catchAll: counter("catch_all_total"), refreshDropped: counter("refresh_dropped_total"), refreshEarly: counter("refresh_early_total"),
		warmFetches: counter("warm_fetches_total"), storeErrors: counter("store_errors_total"),
	}
	for i, r := range results {
		t := newTally(i == resultHit)
		s.requests[i] = t
		c.set.GetOrCreateGauge(fmt.Sprintf("surrogate_requests_total{site=%q,cache=%q}", name, r), func() float64 { return float64(t.read().count) })
	}
	c.set.GetOrCreateGauge(fmt.Sprintf("surrogate_sent_bytes_total{site=%q}", name), func() float64 { return float64(s.sent()) })
	for i, r := range claimResults {
		s.claims[i] = c.set.GetOrCreateCounter(fmt.Sprintf("surrogate_claims_total{site=%q,result=%q}", name, r))
	}
	for r := range numReasons {
		s.unkept[r] = c.set.GetOrCreateCounter(fmt.Sprintf("surrogate_not_kept_total{site=%q,why=%q}", name, r))
	}
	c.sites[name] = s
	c.order = append(c.order, name)
	return s
}

// sent is how many bytes of content went to clients.
func (s *siteCounts) sent() (n uint64) {
	for _, t := range s.requests {
		n += t.read().bytes
	}
	return n
}

func (s *siteCounts) notKept(why Reason) {
	if why < numReasons {
		s.unkept[why].Inc()
	}
}

// record counts an outcome. lane is any number; see tally.add.
func (c *counts) record(o *outcome, took time.Duration, lane uint32) {
	if o.site == nil {
		return
	}
	o.site.counts.requests[o.result()].add(lane, took, o.bytes)
	if o.collapsed {
		o.site.counts.collapsed.Inc()
	}
}

// A SiteStats is what a site's requests came to since the start.
type SiteStats struct {
	Site        string            `json:"site"`
	Requests    map[string]uint64 `json:"requests"` // by how they were answered
	Collapsed   uint64            `json:"collapsed"`
	Fetches     uint64            `json:"fetches"`
	FetchErrors uint64            `json:"fetch_errors"`
	Revalidated uint64            `json:"revalidated"`
	Stored      uint64            `json:"stored"`
	Early       uint64            `json:"early"` // refreshes begun before the page was stale
	SentBytes   uint64            `json:"sent_bytes"`
}

// Stats returns the counts of every site.
func (p *Proxy) Stats() []SiteStats {
	var out []SiteStats
	for _, s := range p.sites.Load().all {
		c := s.counts
		st := SiteStats{
			Site: s.Name, Requests: make(map[string]uint64), Collapsed: c.collapsed.Get(), Fetches: c.fetches.Get(), FetchErrors: c.fetchErrors.Get(),
			Revalidated: c.revalidated.Get(), Stored: c.stored.Get(), Early: c.refreshEarly.Get(), SentBytes: c.sent(),
		}
		for i, t := range c.requests {
			st.Requests[results[i]] = t.read().count
		}
		out = append(out, st)
	}
	return out
}
