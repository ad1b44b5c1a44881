package redisstore

import (
	"context"
	"sync"
	"time"

	"surrogate/store"
)

// A bell wakes all who wait for it. Who has heard it last as often as it has rung
// has missed nothing.
type bell struct {
	mu    sync.Mutex // guards what follows; innermost
	rings uint64
	next  chan struct{}
}

// tell rings it.
func (b *bell) tell() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rings++
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}

// wait returns how often it has rung, and what is closed when it rings again.
func (b *bell) wait() (rings uint64, next <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.rings, b.next
}

// Take implements store.Queue. With jobs to be had it costs one round trip; with
// none, one for the whole node each pollQueue. A site that this node has not met
// yet costs one more, because skip has to be asked first.
func (q *queue) Take(ctx context.Context, n int, skip func(site string) bool) ([]store.Job, error) {
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rings, news := q.s.warmed.wait()
		sites, err := q.known()
		if err != nil {
			return nil, err
		}
		var allowed []any
		for _, s := range sites {
			if skip != nil && !skip(s) {
				allowed = append(allowed, s)
			}
		}
		now, wait := q.turnOf(rings, skip == nil, allowed)
		if now {
			jobs, learned, err := q.ask(n, skip == nil, allowed)
			if len(jobs) > 0 || err != nil && !passes(err) {
				return jobs, err
			}
			if err == nil && learned {
				continue
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-news:
		case <-timer.C:
		case <-ctx.Done():
		case <-q.done:
		}
		timer.Stop()
	}
	return nil, ctx.Err()
}

// known returns the sites that jobs were seen of.
func (q *queue) known() ([]string, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, store.ErrClosed
	}
	sites := make([]string, 0, len(q.sites))
	for s := range q.sites {
		sites = append(sites, s)
	}
	return sites, nil
}

// turnOf tells a taker whether to ask Redis now, and if not, or in vain, how long
// to wait. Of those who wait it is one at a time that looks.
func (q *queue) turnOf(rings uint64, all bool, allowed []any) (now bool, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	at := time.Now()
	if q.pause > 0 && at.Before(q.look) {
		return false, q.look.Sub(at) // there is trouble; nobody tries before its time
	}
	now = rings != q.gen || !at.Before(q.look)
	for i := 0; !now && i < len(q.ready); i++ {
		now = all
		for k := 0; !now && k < len(allowed); k++ {
			now = allowed[k] == q.ready[i]
		}
	}
	if now {
		q.gen = rings
		q.look = at.Add(pollQueue)
	}
	wait = max(q.look.Sub(at), time.Millisecond)
	if len(q.ready) > 0 {
		wait = min(wait, askSkip)
	}
	return now, wait
}

// ask takes jobs from Redis. It reports whether it has learned of sites that skip
// was not asked about.
func (q *queue) ask(n int, all bool, allowed []any) (jobs []store.Job, learned bool, err error) {
	q.closing.RLock()
	defer q.closing.RUnlock()
	// Not within the taker's context: what it gets is leased to this node, whether
	// or not anybody is there to hear the answer.
	sent := time.Now()
	v, err := q.run(context.Background(), "take", queueTake,
		append([]any{n, q.opt.Lease.Milliseconds(), q.s.member, flag(all)}, allowed...)...)
	out, _ := v.([]any)
	var bad []store.Job
	defer func() {
		for _, j := range bad {
			// Of another version of this program, or damaged: it will not get better.
			q.s.log.Error("redisstore: queue: dropped a job that does not parse", "job", j.ID, "run", j.Run)
			_ = q.Settle(context.Background(), j, store.Outcome{State: store.Failed, Why: errJob.Error()})
		}
	}()
	q.mu.Lock()
	defer q.mu.Unlock()
	if err != nil {
		q.pause = min(max(2*q.pause, retryFirst), queuePauses)
		q.look = time.Now().Add(q.pause)
		return nil, false, err
	}
	q.pause = 0
	if next := time.Duration(numberAt(out, 0)) * time.Millisecond; next >= 0 && len(out) > 0 {
		if at := time.Now().Add(max(next, time.Millisecond)); at.Before(q.look) {
			q.look = at
		}
	}
	sites := min(int(numberAt(out, 1)), max(len(out)-2, 0))
	q.ready = q.ready[:0]
	for i := range sites {
		s := text(out, 2+i)
		q.ready = append(q.ready, s)
		if !q.sites[s] {
			if len(q.sites) >= maxSites {
				clear(q.sites)
			}
			q.sites[s] = true
			learned = true
		}
	}
	for i := 2 + sites; i+4 < len(out); i += 5 {
		j := store.Job{ID: text(out, i), Site: text(out, i+1), Run: text(out, i+2), Taken: max(int(numberAt(out, i+3))-1, 0)}
		if err := readJob(text(out, i+4), &j); err != nil {
			bad = append(bad, j)
			continue
		}
		jobs = append(jobs, j)
	}
	q.keepHeld(jobs, sent.Add(q.opt.Lease))
	if q.closed {
		return nil, false, store.ErrClosed // and they are handed back
	}
	if len(jobs) > 0 && len(q.ready) > 0 {
		q.s.warmed.tell() // there is more for whoever waits here
	}
	return jobs, learned, nil
}

// hold notes that leases have been prolonged.
func (q *queue) hold(jobs []store.Job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	until := time.Now().Add(q.opt.Lease)
	for _, j := range jobs {
		if h, ok := q.held[j.ID]; ok {
			h.until = until
			q.held[j.ID] = h
		}
	}
}

// keepHeld notes what this node has taken. q.mu is held. What nobody has settled
// though its lease is over is forgotten when there is much of it.
func (q *queue) keepHeld(jobs []store.Job, until time.Time) {
	if q.held == nil {
		return
	}
	if len(q.held) > maxHeld {
		now := time.Now()
		for id, h := range q.held {
			if now.After(h.until) {
				delete(q.held, id)
			}
		}
	}
	for _, j := range jobs {
		q.held[j.ID] = heldJob{Job: j, until: until}
	}
}
