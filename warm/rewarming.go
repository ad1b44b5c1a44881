package warm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"surrogate/store"
)

// Run queues what fell, and watches it being fetched, until ctx ends. Then it
// seals what it has begun: a run that nobody seals is never over.
func (r *Rewarmer) Run(ctx context.Context) error {
	defer r.part(ctx)
	for pause := time.Duration(0); ctx.Err() == nil; {
		r.mu.Lock()
		falls := slices.Clone(r.order)
		r.mu.Unlock()
		failed := false
		for _, f := range falls {
			done, err := r.further(ctx, f)
			if done {
				r.close(f)
			}
			if failed = err != nil; failed {
				r.last(f) // the next time it is another's turn
				break     // it is one queue for all
			}
		}
		var again <-chan time.Time
		switch {
		case failed:
			if pause = min(max(2*pause, watchEvery), queuePause); !sleepUntil(ctx, time.Now().Add(pause)) {
				return nil
			}
			continue
		case slices.ContainsFunc(falls, func(f *fall) bool { return f.run == "" }):
			again = time.After(early)
		case len(falls) > 0:
			again = time.After(watchEvery)
		}
		pause = 0
		select {
		case <-r.wake:
		case <-again:
		case <-ctx.Done():
		}
	}
	return nil
}

// queuePause is the longest between two tries of a queue that fails.
const queuePause = 5 * time.Second

// part seals what was begun and not ended.
func (r *Rewarmer) part(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), partingWithin)
	defer cancel()
	r.mu.Lock()
	falls := slices.Clone(r.order)
	r.mu.Unlock()
	for _, f := range falls {
		if f.run == "" || f.sealed {
			continue
		}
		why := f.why
		if !f.ready {
			why = "the node stopped before it had queued all that fell"
		}
		if err := r.o.Queue.Seal(ctx, f.run, why); err != nil {
			r.log.Error("could not seal what a purge has fetched again", "purge", f.id, "run", f.run, "error", err)
		}
	}
}

func (r *Rewarmer) close(f *fall) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.purges, f.id)
	r.order = slices.DeleteFunc(r.order, func(x *fall) bool { return x == f })
}

// last puts a fall behind all others.
func (r *Rewarmer) last(f *fall) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.order, f); i >= 0 {
		r.order = append(slices.Delete(r.order, i, i+1), f)
	}
}

// further does what can be done for a purge now. It returns true when there is
// nothing more to do, and an error where the queue is to be tried again later.
func (r *Rewarmer) further(ctx context.Context, f *fall) (done bool, err error) {
	if !f.ready {
		over := r.due(f, time.Now())
		if err := r.queue(ctx, f); err != nil {
			if again := r.failed(ctx, f, err); again != nil {
				return false, again
			}
			over = true
		} else {
			f.failing = time.Time{}
		}
		if !over {
			return false, nil
		}
		f.ready = true
		if f.run == "" {
			r.done(f)
			return true, nil
		}
	}
	if !f.sealed {
		switch err := r.o.Queue.Seal(ctx, f.run, f.why); {
		case errors.Is(err, store.ErrNoRun), errors.Is(err, store.ErrClosed):
			return true, nil
		case err != nil:
			return false, err // for as long as it takes
		}
		f.sealed = true
	}
	p, err := r.o.Queue.Progress(ctx, f.run)
	switch {
	case errors.Is(err, store.ErrNoRun), errors.Is(err, store.ErrClosed):
		return true, nil
	case err != nil:
		return false, err
	case !p.Done():
		return false, nil
	}
	r.done(f)
	return true, nil
}

// failed tells what to do about a queue that did not take what fell: an error to
// try again later, nil to give it up.
func (r *Rewarmer) failed(ctx context.Context, f *fall, err error) error {
	now := time.Now()
	if f.failing.IsZero() {
		f.failing = now
	}
	left := len(f.pending)
	switch {
	case ctx.Err() != nil, errors.Is(err, store.ErrClosed):
		// Nobody is there any more.
	case errors.Is(err, store.ErrRunOver):
		r.log.Info("what a purge took is not fetched again, because the run was cancelled", "purge", f.id, "run", f.run, "pages", left)
	case now.Sub(f.failing) < rideOut:
		if errors.Is(err, store.ErrNoRun) {
			f.run = "" // the queue has lost it, and all of it: another one for what is left
		}
		if f.failing.Equal(now) {
			r.log.Warn("what a purge took cannot be queued to be fetched again; it is tried again", "purge", f.id, "pages", left, "error", err)
		}
		return err
	default:
		r.log.Error("what a purge took is not fetched again", "purge", f.id, "pages", left, "error", err)
		r.mu.Lock()
		r.miss(f.id)
		r.mu.Unlock()
	}
	f.pending, f.why = nil, fmt.Sprintf("%d pages could not be queued: %v", left, err)
	return nil
}

// done says that what was hot is back, if it is.
func (r *Rewarmer) done(f *fall) {
	if r.o.Done != nil && f.why == "" {
		r.o.Done(f.id)
	}
}

// due takes out what is to be queued now, the hottest first. over says that
// this was all.
func (r *Rewarmer) due(f *fall, now time.Time) (over bool) {
	r.mu.Lock()
	over = f.over || now.Sub(f.heard) >= quiet
	if !over && now.Sub(f.began) < early {
		r.mu.Unlock()
		return false
	}
	var unsure []*picked
	for _, s := range f.sites {
		if !over && s.surely < 0 {
			unsure = append(unsure, s)
		}
	}
	r.mu.Unlock()
	for _, s := range unsure { // without the lock, for a sweep waits in Fell
		s.surely = 0
		if top := r.o.Heat.Top(s.n, now); len(top) == s.n {
			s.surely = top[s.n-1].Heat
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var hot []Hot
	for _, s := range f.sites {
		if !over && s.surely < 0 {
			continue // it came meanwhile
		}
		var later coldestFirst[Hot]
		for _, x := range s.hottest {
			if over || x.heat >= s.surely {
				hot = append(hot, x.of)
				s.queued++
			} else {
				later.add(x.of, x.heat, s.n)
			}
		}
		s.hottest = later
	}
	slices.SortFunc(hot, func(a, b Hot) int { return cmp.Compare(b.Heat, a.Heat) })
	f.pending = append(f.pending, hot...)
	return over
}

// queue queues what is pending. After an error that stays pending, and what of it
// is queued already is left out the next time.
func (r *Rewarmer) queue(ctx context.Context, f *fall) error {
	if len(f.pending) == 0 {
		return nil
	}
	if f.run == "" {
		id, created, err := r.o.Queue.Begin(ctx, store.Run{ID: "rewarm-" + f.id, Kind: "purge", What: f.id, At: f.began})
		if err == nil && !created {
			// What came by the purge's ID before, a day ago at most.
			id, _, err = r.o.Queue.Begin(ctx, store.Run{Kind: "purge", What: f.id, At: f.began})
		}
		if err != nil {
			return err
		}
		f.run = id
		r.mu.Lock()
		r.tally.Purges++
		r.mu.Unlock()
		if r.o.Began != nil {
			r.o.Began(f.id, id)
		}
	}
	var jobs []store.Job
	for _, h := range f.pending {
		site, _, ok := r.o.Site(h.Key)
		if !ok {
			continue
		}
		for _, p := range h.Picks {
			jobs = append(jobs, store.Job{Site: site, URL: string(h.Key), Vary: p.Vary, Pick: p.Pick, Heat: p.Heat})
		}
	}
	for part := range slices.Chunk(jobs, batch) {
		if _, _, err := r.o.Queue.Add(ctx, f.run, part); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tally.Keys += uint64(len(f.pending))
	r.tally.Jobs += uint64(len(jobs))
	f.pending = nil
	return nil
}
