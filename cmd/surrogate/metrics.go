package main

import (
	"bytes"
	"context"
	_ "embed" // metrics.txt
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"surrogate/store"
)

// counted are the metrics of a node. Those of the proxy and the purger are
// described in their packages; these are the store's:
//
//	surrogate_store_entries            entries held, purged ones included until they are swept
//	surrogate_store_bytes              memory that entries cost
//	surrogate_store_capacity_bytes     the most memory that entries may cost
//	surrogate_store_names              names with members or fences
//	surrogate_store_fences             fences standing
//	surrogate_store_fence_bytes        memory that fences take besides
//	surrogate_store_edges              dependency edges
//	surrogate_store_edge_bytes         memory that dependency edges take besides; none where Redis keeps them
//	surrogate_store_log_bytes          memory that the log of purges takes besides; none where Redis keeps it
//	surrogate_store_seq                the last purge
//	surrogate_store_floor              entries older than this purge are revalidated before use
//	surrogate_store_evictions_total    entries that made room for others
//	surrogate_store_expired_total      entries that died of age
//	surrogate_store_swept_total        entries reclaimed after purges
//	surrogate_store_refused_total      responses not stored because they were fetched before a purge
//
// and these a fleet's, whose store is Redis:
//
//	surrogate_fleet_deaf                   1 while this node does not know of every purge that was confirmed
//	surrogate_fleet_heard                  the last purge this node has heard; compared with other nodes' its lag
//	surrogate_redis_down                   1 while Redis does not answer
//	surrogate_memory_entries               entries in the memory tier
//	surrogate_memory_bytes                 memory they cost
//	surrogate_memory_evictions_total       entries that made room for others in it
//	surrogate_memory_hits_total            lookups that the memory tier answered
//	surrogate_memory_redis_hits_total      lookups that Redis answered
//	surrogate_memory_misses_total          lookups that neither answered
//	surrogate_memory_redis_failures_total  lookups that Redis failed
//	surrogate_memory_kept_alone_total      entries kept in memory only, because Redis could not take them
//	surrogate_memory_unkept_total          entries not kept at all for that reason: a cascade could not have reached them
//
// and these where HTTPS is served:
//
//	surrogate_tls_expires_seconds{name}  when a certificate expires, as Unix time
//	surrogate_tls_obtained_total         certificates got from an authority, renewals included
//	surrogate_tls_failures_total         certificates that could not be got, or not be read again
//
// and these warming's; those of the warmer itself are described in its package:
//
//	surrogate_warm_used_total       warmed pages that were asked for: visitors who did not wait for the origin
//	surrogate_warm_unused_total     warmed pages that fell or expired before anyone had asked for them
//	surrogate_warm_waiting          warmed pages that nobody has asked for yet
//	surrogate_rewarm_purges_total   purges that took something hot
//	surrogate_rewarm_keys_total     pages queued because a purge had taken them
//	surrogate_rewarm_missed_total   purges of which not all that was hot was queued, because of too many at once or a failing queue
//	surrogate_heat_keys             pages whose heat is known
//	surrogate_heat_bytes            memory that takes
//
// What begins with process_ and go_ is about the program.
type counted struct {
	requests *metrics.Set
	purges   *metrics.Set
	held     *metrics.Set
	warmed   *metrics.Set
	keys     *keyring // nil where there is no HTTPS
}

func newCounted() *counted {
	return &counted{metrics.NewSet(), metrics.NewSet(), metrics.NewSet(), metrics.NewSet(), nil}
}

// tlsCounts count what happens to certificates.
type tlsCounts struct {
	obtained, failures *metrics.Counter
}

func (c *counted) tls() *tlsCounts {
	return &tlsCounts{c.held.NewCounter("surrogate_tls_obtained_total"), c.held.NewCounter("surrogate_tls_failures_total")}
}

// certificates adds when those that are shown now expire.
func (c *counted) certificates(b *bytes.Buffer) {
	if c.keys == nil {
		return
	}
	set := metrics.NewSet()
	for name, shown := range c.keys.shown() {
		set.NewGauge(fmt.Sprintf("surrogate_tls_expires_seconds{name=%q}", name), func() float64 { return float64(shown.Leaf.NotAfter.Unix()) })
	}
	set.WritePrometheus(b)
}

// store adds what s holds.
func (c *counted) store(s store.Store) {
	// Asking a Redis costs it some work, and there are a dozen gauges.
	var mu sync.Mutex // guards the two below
	var last store.Stats
	var at time.Time
	now := func() (store.Stats, error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(at) < 100*time.Millisecond {
			return last, nil
		}
		st, err := s.Stats(context.Background())
		if err == nil {
			last, at = st, time.Now()
		}
		return st, err
	}
	gauge := func(name string, of func(*store.Stats) float64) {
		c.held.NewGauge("surrogate_store_"+name, func() float64 {
			st, err := now()
			if err != nil {
				return 0
			}
			return of(&st)
		})
	}
	gauge("entries", func(s *store.Stats) float64 { return float64(s.Entries) })
	gauge("bytes", func(s *store.Stats) float64 { return float64(s.Bytes) })
	gauge("capacity_bytes", func(s *store.Stats) float64 { return float64(s.Capacity) })
	gauge("names", func(s *store.Stats) float64 { return float64(s.Names) })
	gauge("fences", func(s *store.Stats) float64 { return float64(s.Fences) })
	gauge("fence_bytes", func(s *store.Stats) float64 { return float64(s.FenceBytes) })
	gauge("edge_bytes", func(s *store.Stats) float64 { return float64(s.EdgeBytes) })
	gauge("log_bytes", func(s *store.Stats) float64 { return float64(s.LogBytes) })
	gauge("edges", func(s *store.Stats) float64 { return float64(s.Edges) })
	gauge("seq", func(s *store.Stats) float64 { return float64(s.Seq) })
	gauge("floor", func(s *store.Stats) float64 { return float64(s.Floor) })
	gauge("evictions_total", func(s *store.Stats) float64 { return float64(s.Evictions) })
	gauge("expired_total", func(s *store.Stats) float64 { return float64(s.Expired) })
	gauge("swept_total", func(s *store.Stats) float64 { return float64(s.Swept) })
	gauge("refused_total", func(s *store.Stats) float64 { return float64(s.Refused) })
}

// warming adds what is known of visitors and of what was warmed for them.
func (c *counted) warming(w *warmth) {
	gauge := func(name string, of func() float64) { c.warmed.NewGauge("surrogate_"+name, of) }
	gauge("warm_used_total", func() float64 { return float64(w.marks.Tally().Used) })
	gauge("warm_unused_total", func() float64 { return float64(w.marks.Tally().Unused) })
	gauge("warm_waiting", func() float64 { return float64(w.marks.Tally().Waiting) })
	gauge("rewarm_purges_total", func() float64 { return float64(w.rewarmer.Tally().Purges) })
	gauge("rewarm_keys_total", func() float64 { return float64(w.rewarmer.Tally().Keys) })
	gauge("rewarm_missed_total", func() float64 { return float64(w.rewarmer.Tally().Missed) })
	gauge("heat_keys", func() float64 {
		keys, _ := w.heat.Held()
		return float64(keys)
	})
	gauge("heat_bytes", func() float64 {
		_, bytes := w.heat.Held()
		return float64(bytes)
	})
}

// write writes all of them as Prometheus reads them.
func (c *counted) write(w io.Writer) {
	metrics.ExposeMetadata(true)
	var b bytes.Buffer
	c.requests.WritePrometheus(&b)
	c.purges.WritePrometheus(&b)
	c.held.WritePrometheus(&b)
	c.certificates(&b)
	c.warmed.WritePrometheus(&b)
	metrics.WriteProcessMetrics(&b)
	for line := range bytes.Lines(b.Bytes()) {
		w.Write(described(line))
	}
}

// metricsHelp is what the heads of the four metrics.go say, a metric in each
// line: name, tab, sentence. A test writes it with -update.
//
//go:embed metrics.txt
var metricsHelp string

// help are those sentences by name.
var help = sync.OnceValue(func() map[string]string {
	m := make(map[string]string)
	for line := range strings.Lines(metricsHelp) {
		name, sentence, _ := strings.Cut(strings.TrimSpace(line), "\t")
		m[name] = sentence
	}
	return m
})

// described puts the sentence into a HELP line, and the type into the TYPE line
// of a counter that is read when it is asked for, which the library takes for a
// gauge.
func described(line []byte) []byte {
	if name, ok := bytes.CutPrefix(line, []byte("# HELP ")); ok {
		name = bytes.TrimSpace(name)
		if sentence := help()[string(name)]; sentence != "" {
			return fmt.Appendf(nil, "# HELP %s %s\n", name, sentence)
		}
		return nil // of go_ and process_: the name says it
	}
	if rest, ok := bytes.CutSuffix(line, []byte("_total gauge\n")); ok {
		return fmt.Appendf(nil, "%s_total counter\n", rest)
	}
	return line
}
