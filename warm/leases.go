package warm

import (
	"context"
	"time"

	"surrogate/store"
)

// renew keeps the leases of what is being fetched.
func (w *Warmer) renew(ctx context.Context) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		w.mu.Lock()
		jobs := make([]store.Job, 0, len(w.taken))
		for _, j := range w.taken {
			jobs = append(jobs, j)
		}
		w.mu.Unlock()
		if len(jobs) == 0 {
			continue
		}
		if err := w.queue.Renew(ctx, jobs); err != nil && ctx.Err() == nil {
			w.counts.queueErrors.Inc()
			w.log.Warn("warming: could not keep what is being fetched", "jobs", len(jobs), "error", err)
		}
	}
}
