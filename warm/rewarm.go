package warm

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"surrogate/store"
)

// RewarmOptions are what a Rewarmer works with. Queue and Heat are needed.
type RewarmOptions struct {
	Queue store.Queue
	Heat  *Heat
	// Site tells which site a key belongs to, and how many of the pages that a purge
	// takes from it are fetched again, unless the purge says so itself. ok is false
	// for a key that nobody serves any more.
	Site func(key store.Key) (site string, n int, ok bool)
	// Began is told which run fetches again what a purge took; Done that it has. A
	// purge that asks for it itself is done even if nothing was hot. Either may be
	// nil.
	Began func(purge, run string)
	Done  func(purge string)
	Log   *slog.Logger // nil: none
}

// A Rewarmer has fetched again what was hot when a purge took it: the hottest
// first, with the picks that visitors asked for. It does so too for what a soft
// purge made stale.
//
// Heat is each node's own, so in a fleet each node queues what its visitors
// asked for among what fell in its memory: what two of them queue is fetched once,
// because whoever comes second finds it fresh. Hence a purge may bring back as
// many pages as it says for each node.
//
// Which are the hottest of all that fell is known only when the sweep is over. But
// what is among the hottest n of all pages is among the hottest n that fell, too,
// so a long sweep need not be over for those.
type Rewarmer struct {
	o    RewarmOptions
	log  *slog.Logger
	wake chan struct{} // has room for one token

	mu     sync.Mutex // guards the fields below
	purges map[string]*fall
	order  []*fall
	tally  RewarmTally
}

// A RewarmTally is what a Rewarmer has done so far.
type RewarmTally struct {
	Purges uint64 // that took something hot
	Keys   uint64 // queued
	Jobs   uint64 // the picks of those
	Missed uint64 // purges that were left out because too many were under way, or the queue failed
}

// A fall is what one purge took that was hot.
type fall struct {
	id    string
	asked int // as store.Purge.Rewarm has it
	sites map[string]*picked
	over  bool
	began time.Time
	run   string // "" until there is something to queue
	ready bool   // all of it is queued
}

// A picked is the hottest of what fell, of one site or, if the purge says how
// many, of all. Those that were queued are not in it any more.
type picked struct {
	n       int
	queued  int
	hottest coldestFirst[Hot]
	surely  float64 // what is as hot is among the hottest n of all; below 0 not known
}

const (
	maxFalls = 1000 // purges that are rewarmed at once
	// early is how long a sweep goes on before what is surely among the hottest is
	// queued without waiting for its end.
	early = 50 * time.Millisecond
	// watchEvery is how often it is looked whether a purge's pages are warm again.
	watchEvery = 250 * time.Millisecond
	// A pick that counts less than half a request is not hot: it was asked for once,
	// and more than ten minutes ago.
	leastHeat = 0.5
)

// NewRewarmer returns a Rewarmer. It starts nothing; see Run.
func NewRewarmer(o RewarmOptions) *Rewarmer {
	r := &Rewarmer{o: o, log: o.Log, wake: make(chan struct{}, 1), purges: make(map[string]*fall)}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	return r
}

// Fell takes in keys that a purge took. It does not wait for anything.
func (r *Rewarmer) Fell(ev store.Event, keys []store.Swept) {
	if ev.Rewarm == store.NoRewarm {
		return
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.purges[ev.ID]
	for i := range keys {
		hot, ok := r.o.Heat.Look(keys[i].Key, now)
		if !ok {
			continue
		}
		site, n, served := r.o.Site(hot.Key)
		if ev.Rewarm > 0 {
			site, n = "", ev.Rewarm
		}
		least := leastHeat * float64(r.o.Heat.scale)
		if !served || n <= 0 || hot.Heat < least && ev.Rewarm <= 0 {
			continue
		}
		if f == nil {
			if f = r.open(ev.ID, ev.Rewarm, now); f == nil {
				return
			}
		}
		s := f.sites[site]
		if s == nil {
			s = &picked{n: n, surely: -1}
			f.sites[site] = s
		}
		hot.Picks = slices.DeleteFunc(hot.Picks, func(p HotPick) bool { return p.Heat < least && p != hot.Picks[0] })
		s.hottest.add(hot, hot.Heat, s.n-s.queued)
	}
	if f != nil {
		r.tell()
	}
}

// Over takes in that no more keys of a purge come. asked is its
// store.Purge.Rewarm.
func (r *Rewarmer) Over(id string, asked int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.purges[id]
	if f == nil && asked > 0 {
		f = r.open(id, asked, time.Now())
	}
	if f != nil {
		f.over = true
		r.tell()
	}
}

// open begins a fall, nil if there are too many. r.mu is held.
func (r *Rewarmer) open(id string, asked int, now time.Time) *fall {
	if len(r.order) >= maxFalls {
		r.tally.Missed++
		return nil
	}
	f := &fall{id: id, asked: asked, sites: make(map[string]*picked), began: now}
	r.purges[id] = f
	r.order = append(r.order, f)
	return f
}

func (r *Rewarmer) tell() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Tally returns what the Rewarmer has done so far.
func (r *Rewarmer) Tally() RewarmTally {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tally
}

// Run queues what fell, and watches it being fetched, until ctx ends.
func (r *Rewarmer) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		r.mu.Lock()
		falls := slices.Clone(r.order)
		r.mu.Unlock()
		for _, f := range falls {
			if r.further(ctx, f) {
				r.close(f)
			}
		}
		var again <-chan time.Time
		if len(falls) > 0 {
			wait := watchEvery
			if slices.ContainsFunc(falls, func(f *fall) bool { return f.run == "" }) {
				wait = early
			}
			again = time.After(wait)
		}
		select {
		case <-r.wake:
		case <-again:
		case <-ctx.Done():
		}
	}
	return nil
}

func (r *Rewarmer) close(f *fall) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.purges, f.id)
	r.order = slices.DeleteFunc(r.order, func(x *fall) bool { return x == f })
}

// further does what can be done for a purge now. It returns true when there is
// nothing more to do.
func (r *Rewarmer) further(ctx context.Context, f *fall) (done bool) {
	if !f.ready {
		hot, over := r.due(f, time.Now())
		if err := r.queue(ctx, f, hot); err != nil {
			if ctx.Err() == nil {
				r.log.Error("what a purge took is not fetched again", "purge", f.id, "pages", len(hot), "error", err)
				r.missed()
			}
			return true
		}
		if !over {
			return false
		}
		f.ready = true
		if f.run == "" {
			r.done(f)
			return true
		}
		if err := r.o.Queue.Seal(ctx, f.run, ""); err != nil {
			r.log.Error("could not seal what a purge has fetched again", "purge", f.id, "run", f.run, "error", err)
			return true
		}
	}
	p, err := r.o.Queue.Progress(ctx, f.run)
	switch {
	case errors.Is(err, store.ErrNoRun):
		return true
	case err != nil:
		return ctx.Err() != nil || errors.Is(err, store.ErrClosed) // trouble passes
	case !p.Done():
		return false
	}
	r.done(f)
	return true
}

func (r *Rewarmer) done(f *fall) {
	if r.o.Done != nil {
		r.o.Done(f.id)
	}
}

func (r *Rewarmer) missed() {
	r.mu.Lock()
	r.tally.Missed++
	r.mu.Unlock()
}

// due takes out what is to be queued now, the hottest first.
func (r *Rewarmer) due(f *fall, now time.Time) (hot []Hot, over bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !f.over && now.Sub(f.began) < early {
		return nil, false
	}
	for _, s := range f.sites {
		if !f.over && s.surely < 0 {
			s.surely = 0
			if top := r.o.Heat.Top(s.n, now); len(top) == s.n {
				s.surely = top[s.n-1].Heat
			}
		}
		var later coldestFirst[Hot]
		for _, x := range s.hottest {
			if f.over || x.heat >= s.surely {
				hot = append(hot, x.of)
				s.queued++
			} else {
				later.add(x.of, x.heat, s.n)
			}
		}
		s.hottest = later
	}
	slices.SortFunc(hot, func(a, b Hot) int { return cmp.Compare(b.Heat, a.Heat) })
	return hot, f.over
}

// queue queues what fell.
func (r *Rewarmer) queue(ctx context.Context, f *fall, hot []Hot) error {
	if len(hot) == 0 {
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
	for _, h := range hot {
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
	r.tally.Keys += uint64(len(hot))
	r.tally.Jobs += uint64(len(jobs))
	return nil
}
