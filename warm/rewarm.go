package warm

import (
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
	missed map[string]bool // purges that were counted as missed and may be heard of again; at most maxFalls
}

// A RewarmTally is what a Rewarmer has done so far.
type RewarmTally struct {
	Purges uint64 // that took something hot
	Keys   uint64 // queued
	Jobs   uint64 // the picks of those
	Missed uint64 // purges of which not all was queued, because too many were under way or the queue failed
}

// A fall is what one purge took that was hot.
type fall struct {
	id    string
	asked int // as store.Purge.Rewarm has it
	sites map[string]*picked
	over  bool
	began time.Time
	heard time.Time // when something was last heard of it

	// Of the goroutine of Run alone.
	run     string    // "" until there is something to queue
	pending []Hot     // to be queued
	ready   bool      // all of it is queued, or was given up
	why     string    // it was given up
	sealed  bool      // and the queue knows
	failing time.Time // since when the queue fails; zero while it does not
}

// A picked is the hottest of what fell, of one site or, if the purge says how
// many, of all. Those that were queued are not in it any more.
type picked struct {
	n       int
	queued  int
	hottest coldestFirst[Hot]
	surely  float64 // what is as hot is among the hottest n of all; below 0 not known; of the goroutine of Run alone
}

const (
	maxFalls = 1000 // purges that are rewarmed at once
	// early is how long a sweep goes on before what is surely among the hottest is
	// queued without waiting for its end.
	early = 50 * time.Millisecond
	// watchEvery is how often it is looked whether a purge's pages are warm again.
	watchEvery = 250 * time.Millisecond
	// rideOut is how long a queue that fails is tried again for what fell. What was
	// hot then counts half by now.
	rideOut = 10 * time.Minute
	// quiet is how long nothing is heard of a sweep until it counts as over: one that
	// was broken off says nothing.
	quiet = 10 * time.Minute
	// A pick that counts less than half a request is not hot: it was asked for once,
	// and more than ten minutes ago.
	leastHeat = 0.5
)

// NewRewarmer returns a Rewarmer. It starts nothing; see Run.
func NewRewarmer(o RewarmOptions) *Rewarmer {
	r := &Rewarmer{o: o, log: o.Log, wake: make(chan struct{}, 1), purges: make(map[string]*fall), missed: make(map[string]bool)}
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
	least := leastHeat * float64(r.o.Heat.scale)
	for i := range keys {
		// Most of what falls is not hot, and of that Look would make a list each.
		if ev.Rewarm <= 0 && r.o.Heat.Of(keys[i].Key, now) < least {
			continue
		}
		hot, ok := r.o.Heat.Look(keys[i].Key, now)
		if !ok {
			continue
		}
		site, n, served := r.o.Site(hot.Key)
		if ev.Rewarm > 0 {
			site, n = "", ev.Rewarm
		}
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
		f.heard = now
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
	delete(r.missed, id)
}

// open begins a fall, nil if there are too many. r.mu is held.
func (r *Rewarmer) open(id string, asked int, now time.Time) *fall {
	if len(r.order) >= maxFalls {
		r.miss(id)
		return nil
	}
	f := &fall{id: id, asked: asked, sites: make(map[string]*picked), began: now, heard: now}
	r.purges[id] = f
	r.order = append(r.order, f)
	return f
}

// miss counts a purge, once however many batches of it come. r.mu is held.
func (r *Rewarmer) miss(id string) {
	if r.missed[id] {
		return
	}
	r.tally.Missed++
	if len(r.missed) >= maxFalls { // of those nothing more was heard
		clear(r.missed)
	}
	r.missed[id] = true
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
