package purge

import (
	"context"
	"errors"
	"sync"
	"time"

	"surrogate/store"
)

const (
	maxWaiting = 100_000 // sweeps waiting; beyond, they are left out
	batchSize  = 500     // keys handed on at once

	// Sweeping is nobody's business who waits for an answer, so it takes at most
	// half of one core, in turns of work and rest, and begins only when the
	// purge's own answer is likely to be out. A million entries take seconds.
	headStart = 2 * time.Millisecond
	turn      = 500 * time.Microsecond
)

// A sweep is one fence to sweep up after.
type sweep struct {
	ev  store.Event
	rec *record
}

// A queue of sweeps, first in, first out, bounded.
type queue struct {
	wake chan struct{} // has room for one token: something was pushed

	mu    sync.Mutex // guards the field below
	items []sweep
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

// push reports false when the queue is full.
func (q *queue) push(s sweep) bool {
	q.mu.Lock()
	full := len(q.items) >= maxWaiting
	if !full {
		q.items = append(q.items, s)
	}
	q.mu.Unlock()
	if !full {
		select {
		case q.wake <- struct{}{}:
		default:
		}
	}
	return !full
}

// take empties the queue.
func (q *queue) take() []sweep {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items = nil
	return items
}

func (q *queue) waiting() float64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return float64(len(q.items))
}

// Run sweeps what this Purger purged, in order, until ctx ends, and makes the
// receipts exact. With a store.Fleet it follows what the other nodes purge, and
// completes the receipts of purges that some node had not heard in time.
func (p *Purger) Run(ctx context.Context) error {
	if p.fleet == nil {
		return p.sweeping(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	defer all.Wait()
	var following error
	all.Go(func() { p.complete(ctx) })
	all.Go(func() { following = p.follow(ctx) })
	err := p.sweeping(ctx)
	cancel()
	all.Wait()
	return errors.Join(err, following)
}

func (p *Purger) sweeping(ctx context.Context) error {
	for {
		for _, s := range p.queue.take() {
			if ctx.Err() != nil {
				return nil
			}
			p.sweep(ctx, s)
		}
		select {
		case <-p.queue.wake:
			pause(ctx, headStart)
		case <-ctx.Done():
			return nil
		}
	}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// sweep sweeps up after one fence. The keys go out in batches, so that
// rewarming starts before a long sweep ends.
func (p *Purger) sweep(ctx context.Context, s sweep) {
	var batch []store.Swept
	entries, bytes := 0, int64(0)
	flush := func() {
		if len(batch) > 0 && p.o.Swept != nil {
			p.o.Swept(s.ev, batch)
		}
		batch = nil
	}
	began := time.Now()
	for sw, err := range p.store.Sweep(ctx, s.ev) {
		if err != nil {
			if ctx.Err() == nil {
				p.counts.sweepErrors.Inc()
				p.log.Error("sweep failed; memory comes back by expiry", "seq", s.ev.Seq, "id", s.ev.ID, "error", err)
				p.journal.note(s.rec, "the sweep failed, entries stays an estimate: "+err.Error())
			}
			flush()
			return
		}
		entries += sw.Entries
		bytes += sw.Bytes
		p.counts.sweptEntries.Add(sw.Entries)
		p.counts.sweptBytes.AddInt64(sw.Bytes)
		if batch = append(batch, sw); len(batch) == batchSize {
			flush()
		}
		if worked := time.Since(began); worked >= turn {
			pause(ctx, worked)
			began = time.Now()
		}
	}
	flush()
	if ctx.Err() == nil { // a sweep cut short by ctx has not counted everything
		p.unswept.Add(-1)
		p.journal.swept(s.rec, entries, bytes)
	}
}
