package purge

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"surrogate/store"
)

const (
	maxWaiting = 100_000 // sweeps waiting; beyond, they are left out
	batchSize  = 100     // keys handed on at once
)

// A sweep is one fence to sweep up after.
type sweep struct {
	ev     store.Event
	rec    *record
	rewarm int
	also   []*record // of purges that this one sweeps up after as well: see queue
}

// same reports whether one sweep would yield what the other does, and more.
func (s *sweep) same(later *sweep) bool {
	return s.ev.Soft && later.ev.Soft && s.rewarm == later.rewarm && slices.Equal(s.ev.Names, later.ev.Names)
}

// A queue of sweeps, first in, first out, bounded.
//
// A soft purge that is repeated before its sweep has begun is swept with the
// later one, once: the sweep takes nothing away, so both would yield the same
// keys. Otherwise a tag on a hundred thousand pages that is soft-purged every
// second would have more swept every second than can be.
type queue struct {
	wake chan struct{} // has room for one token: something was pushed

	mu    sync.Mutex // guards the fields below
	items []sweep
	soft  map[store.Name]int // the last soft sweep that begins with a name, by its place among all ever pushed
	taken int                // how many have been taken
}

func newQueue() *queue {
	return &queue{wake: make(chan struct{}, 1), soft: make(map[store.Name]int)}
}

// push reports false when the queue is full.
func (q *queue) push(s sweep) bool {
	q.mu.Lock()
	full := len(q.items) >= maxWaiting
	if !full {
		q.join(&s)
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

// join lets s take over from the sweep before it that it covers. The place of
// that stays, with nothing to do.
func (q *queue) join(s *sweep) {
	if !s.ev.Soft || len(s.ev.Names) == 0 {
		return
	}
	first := s.ev.Names[0]
	if at, ok := q.soft[first]; ok && at >= q.taken {
		if before := &q.items[at-q.taken]; before.same(s) {
			s.also = append(before.also, before.rec)
			before.rec, before.also = nil, nil
		}
	}
	q.soft[first] = q.taken + len(q.items)
}

// next takes the first sweep, if there is one.
func (q *queue) next() (sweep, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) > 0 {
		s := q.items[0]
		q.items[0] = sweep{}
		q.items = q.items[1:]
		if s.ev.Soft && len(s.ev.Names) > 0 && q.soft[s.ev.Names[0]] == q.taken {
			delete(q.soft, s.ev.Names[0])
		}
		q.taken++
		if s.rec != nil {
			return s, true
		}
	}
	return sweep{}, false
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
		for ctx.Err() == nil {
			s, ok := p.queue.next()
			if !ok {
				break
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
	batch := make([]store.Swept, 0, batchSize)
	entries, bytes := 0, int64(0)
	flush := func() {
		if len(batch) > 0 && p.o.Swept != nil {
			p.o.Swept(s.ev, batch)
		}
		batch = batch[:0]
	}
	turns := p.newTurns(ctx)
	defer turns.end()
	for sw, err := range p.store.Sweep(ctx, s.ev) {
		if err != nil {
			if ctx.Err() == nil {
				p.counts.sweepErrors.Inc()
				p.log.Error("sweep failed; memory comes back by expiry", "seq", s.ev.Seq, "id", s.ev.ID, "error", err)
				p.journal.note(s.rec, "the sweep failed, entries stays an estimate: "+err.Error())
			}
			flush()
			p.over(s.rec)
			return
		}
		entries += sw.Entries
		bytes += sw.Bytes
		p.counts.sweptEntries.Add(sw.Entries)
		p.counts.sweptBytes.AddInt64(sw.Bytes)
		if batch = append(batch, sw); len(batch) == batchSize {
			flush()
		}
		turns.pass(ctx)
	}
	flush()
	if ctx.Err() == nil { // a sweep cut short by ctx has not counted everything
		p.unswept.Add(-1 - int64(len(s.also)))
		if p.journal.swept(s.rec, entries, bytes) {
			p.over(s.rec)
		}
		for _, rec := range s.also {
			if p.journal.sweptWith(rec) {
				p.over(rec)
			}
		}
	}
}
