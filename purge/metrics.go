package purge

import (
	"errors"

	"github.com/VictoriaMetrics/metrics"

	"surrogate/store"
)

// counts are the package's metrics:
//
//	surrogate_purges_total{mode,by}       purges in force, by mode (hard, soft) and door (api, public, event, traffic)
//	surrogate_purge_seconds               how long a purge took, from the call to its being in force
//	surrogate_purge_errors_total{why}     purges refused or failed: request (malformed), denied (not let in), bound
//	                            (cascade too large), conflict (id used), partial, store
//	surrogate_purge_names_total           names that fences were raised on
//	surrogate_purge_events_total          data changes received
//	surrogate_swept_entries_total         entries that sweeps reclaimed, or after soft purges found stale
//	surrogate_swept_bytes_total           what those held
//	surrogate_sweep_errors_total          sweeps that failed half way; memory comes back by expiry instead
//	surrogate_sweeps_skipped_total        sweeps left out because too many were waiting
//	surrogate_sweeps_waiting              sweeps waiting
type counts struct {
	purges  map[Source][2]*metrics.Counter // hard, soft
	seconds *metrics.PrometheusHistogram
	names   *metrics.Counter
	events  *metrics.Counter

	badRequest, denied, bound, conflict, partial, store *metrics.Counter

	sweptEntries, sweptBytes, sweepErrors, sweepsSkipped *metrics.Counter
}

func newCounts(set *metrics.Set, waiting func() float64) *counts {
	if set == nil {
		set = metrics.NewSet()
	}
	c := &counts{
		purges: make(map[Source][2]*metrics.Counter),
		// From 50 µs to 1 s: an embedded purge takes some tens of microseconds.
		seconds: set.NewPrometheusHistogramExt("surrogate_purge_seconds",
			[]float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1}),
		names:         set.NewCounter("surrogate_purge_names_total"),
		events:        set.NewCounter("surrogate_purge_events_total"),
		badRequest:    set.NewCounter(`surrogate_purge_errors_total{why="request"}`),
		denied:        set.NewCounter(`surrogate_purge_errors_total{why="denied"}`),
		bound:         set.NewCounter(`surrogate_purge_errors_total{why="bound"}`),
		conflict:      set.NewCounter(`surrogate_purge_errors_total{why="conflict"}`),
		partial:       set.NewCounter(`surrogate_purge_errors_total{why="partial"}`),
		store:         set.NewCounter(`surrogate_purge_errors_total{why="store"}`),
		sweptEntries:  set.NewCounter("surrogate_swept_entries_total"),
		sweptBytes:    set.NewCounter("surrogate_swept_bytes_total"),
		sweepErrors:   set.NewCounter("surrogate_sweep_errors_total"),
		sweepsSkipped: set.NewCounter("surrogate_sweeps_skipped_total"),
	}
	for _, by := range []Source{ByAPI, ByPublic, ByEvent, ByTraffic} {
		c.purges[by] = [2]*metrics.Counter{
			set.NewCounter(`surrogate_purges_total{mode="hard",by="` + string(by) + `"}`),
			set.NewCounter(`surrogate_purges_total{mode="soft",by="` + string(by) + `"}`),
		}
	}
	set.NewGauge("surrogate_sweeps_waiting", waiting)
	return c
}

// done counts a purge in force.
func (c *counts) done(by Source, soft bool, names int, seconds float64) {
	i := 0
	if soft {
		i = 1
	}
	c.purges[by][i].Inc()
	c.names.Add(names)
	c.seconds.Update(seconds)
}

// failed counts an error of a purge.
func (c *counts) failed(err error) {
	_, malformed := errors.AsType[*RequestError](err)
	switch {
	case malformed:
		c.badRequest.Inc()
	case (errors.Is(err, ErrTooMany) || errors.Is(err, store.ErrTooManyPrefixes)) && !errors.Is(err, ErrPartial):
		c.bound.Inc()
	case errors.Is(err, ErrConflict):
		c.conflict.Inc()
	case errors.Is(err, ErrPartial):
		c.partial.Inc()
	default:
		c.store.Inc()
	}
}
