package warm

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"surrogate/store"
)

// Options are what a Warmer works with. Queue and Fetch are needed.
type Options struct {
	Queue store.Queue

	// Fetch makes a job's page be stored, unless it is fresh already, and tells
	// what came of it. The outcome Again means a failure that may pass: the Warmer
	// tries once more after a while, and a bounded number of times, with Why as
	// the reason should that not help. It returns soon after ctx ends.
	Fetch func(ctx context.Context, j store.Job) Result

	// Sites returns how much each site's origin may be asked for. It is called
	// often; the answer may change. A site that it does not name has the defaults.
	Sites func() map[string]Limits

	// Share says which of how many nodes this one is, counted from 0: each takes
	// its share of a site's limits. Nil is the only one.
	Share func() (rank, nodes int)

	// Visiting is how many fetches of visitors are under way at a site's origin.
	// Nil is none.
	Visiting func(site string) int

	// Settled is told what became of each job, once it will not be tried again.
	// May be nil.
	Settled func(j store.Job, r *Result)

	Log     *slog.Logger // nil: none
	Metrics *metrics.Set // nil counts into a set of its own
}

// A Result is what came of a job's fetch.
type Result struct {
	store.Outcome
	Origin End          // what it was to the origin
	Joined bool         // somebody else's fetch did it
	Status int          // of the response; 0 where there is none
	Page   *store.Entry // what is stored now, with its body where the job is to be followed; nil where nothing is
	Next   string       // where a redirect leads, absolute; "" if it is none
}

const (
	// maxTries is how often a job is taken before it has failed for good. Being
	// handed back by a node that stops counts as well.
	maxTries = 5
	// mostTries is the same for a job that was tried only to see whether an origin
	// that is down is back: an hour's worth. The hottest are tried first, and are
	// not to be lost for it.
	mostTries  = 60
	firstRetry = time.Second // and four times as long each time
	lastRetry  = time.Minute
	// renewEvery is well below the leases of the queues.
	renewEvery = 15 * time.Second
	// queueRest is how long a queue is left alone whose error waiting does not seem
	// to mend.
	queueRest = 10 * time.Second
	// busyPoll is how long visitors are let go first before it is looked again.
	busyPoll = 20 * time.Millisecond
	// partingWithin bounds what is said to the queue when all else is over.
	partingWithin = 2 * time.Second
)

// A Warmer takes jobs from a queue and has their pages fetched, as fast as each
// site's origin bears. Its methods may be called from any goroutine.
type Warmer struct {
	o      Options
	queue  store.Queue
	log    *slog.Logger
	counts *counts
	room   chan struct{} // has room for one token: there may be more to do than before

	mu        sync.Mutex // guards the fields below
	paces     map[string]*Pace
	taken     map[string]store.Job // what is being fetched, by ID
	passed    bool                 // the Take under way has passed over a site
	interrupt context.CancelFunc   // ends the Take under way; nil if there is none
}

// New returns a Warmer. It starts nothing; see Run.
func New(o Options) *Warmer {
	w := &Warmer{
		o: o, queue: o.Queue, log: o.Log, room: make(chan struct{}, 1),
		paces: make(map[string]*Pace), taken: make(map[string]store.Job),
	}
	if w.log == nil {
		w.log = slog.New(slog.DiscardHandler)
	}
	w.counts = newCounts(o.Metrics, w)
	return w
}

// Run warms until ctx ends. Then it hands back what it has taken and returns; it
// waits neither for origins nor, for long, for the queue. It is called once.
func (w *Warmer) Run(ctx context.Context) error {
	var all sync.WaitGroup
	renewing, stop := context.WithCancel(ctx)
	all.Go(func() { w.renew(renewing) })
	err := w.work(ctx, &all)
	stop()
	over := make(chan struct{})
	go func() {
		all.Wait()
		close(over)
	}()
	parting := time.NewTimer(2 * partingWithin)
	defer parting.Stop()
	select {
	case <-over:
	case <-parting.C:
		w.log.Warn("warming: could not hand everything back in time; another node takes it when its lease ends")
	}
	return err
}

// work takes jobs and begins their fetches until ctx ends.
func (w *Warmer) work(ctx context.Context, fetches *sync.WaitGroup) error {
	for {
		n, wait := w.free(time.Now())
		if n == 0 {
			if !w.rest(ctx, wait) {
				return nil
			}
			continue
		}
		jobs, err := w.take(ctx, n)
		switch {
		case ctx.Err() != nil:
			// What came all the same is handed back.
		case errors.Is(err, context.Canceled):
			continue // there is more room than when it began to wait
		case errors.Is(err, store.ErrClosed):
			return nil
		case err != nil:
			w.counts.queueErrors.Inc()
			w.log.Error("warming: the queue hands nothing out; it is asked again", "in", queueRest, "error", err)
			if !sleepUntil(ctx, time.Now().Add(queueRest)) {
				return nil
			}
			continue
		}
		for _, j := range jobs {
			l, probe := w.begin(j)
			fetches.Go(func() { w.do(ctx, j, l, probe) })
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// rest waits until there may be room, or for so long, if that is above 0. It
// returns false when ctx has ended.
func (w *Warmer) rest(ctx context.Context, wait time.Duration) bool {
	var timeout <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		timeout = t.C
	}
	select {
	case <-w.room:
	case <-timeout:
	case <-ctx.Done():
		return false
	}
	return true
}

// free is how many jobs may be taken without more of one site than it has room
// for, whichever they are of, even should a site that has none now have room for
// one by then. If there is room nowhere, wait is when to look again, 0 for when
// something has changed.
func (w *Warmer) free(now time.Time) (n int, wait time.Duration) {
	sites := w.limits()
	rank, nodes := w.share()
	w.mu.Lock()
	defer w.mu.Unlock()
	for name := range w.paces {
		if _, known := sites[name]; !known {
			sites[name] = Limits{}
		}
	}
	sooner := func(d time.Duration) {
		if wait == 0 || d < wait {
			wait = d
		}
	}
	least := math.MaxInt
	for name, l := range sites {
		l = l.share(rank, nodes)
		p, visiting := w.pace(name), w.visiting(name)
		v, rest := p.Ask(now, l, visiting)
		if v != Go {
			least = 1
		}
		switch {
		case v == Go:
			least = min(least, max(1, min(p.Room(now, l), l.Busy-visiting-p.inside)))
			n = 1
		case v == Busy:
			sooner(busyPoll)
		case v == NoShare:
			sooner(time.Second) // nodes come and go
		case rest > 0:
			sooner(rest)
		}
	}
	if len(sites) == 0 {
		return 1, 0
	}
	if n > 0 {
		n = least
	}
	return n, wait
}

func (w *Warmer) limits() map[string]Limits {
	sites := make(map[string]Limits)
	if w.o.Sites != nil {
		for name, l := range w.o.Sites() {
			sites[name] = l
		}
	}
	return sites
}

func (w *Warmer) share() (rank, nodes int) {
	if w.o.Share == nil {
		return 0, 1
	}
	return w.o.Share()
}

func (w *Warmer) visiting(site string) int {
	if w.o.Visiting == nil {
		return 0
	}
	return w.o.Visiting(site)
}

// shareOf is this node's part of a site's limits.
func (w *Warmer) shareOf(site string) Limits {
	var l Limits
	if w.o.Sites != nil {
		l = w.o.Sites()[site]
	}
	rank, nodes := w.share()
	return l.share(rank, nodes)
}

// pace returns a site's Pace. w.mu is held.
func (w *Warmer) pace(site string) *Pace {
	p := w.paces[site]
	if p == nil {
		p = NewPace()
		w.paces[site] = p
	}
	return p
}

// take takes up to n jobs of sites that may be asked. Room that comes while it
// waits at a site that it has passed over ends it with context.Canceled.
func (w *Warmer) take(ctx context.Context, n int) ([]store.Job, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.mu.Lock()
	w.passed, w.interrupt = false, cancel
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.interrupt = nil
		w.mu.Unlock()
	}()
	return w.queue.Take(ctx, n, func(site string) bool {
		l, visiting := w.shareOf(site), w.visiting(site)
		w.mu.Lock()
		defer w.mu.Unlock()
		v, _ := w.pace(site).Ask(time.Now(), l, visiting)
		w.passed = w.passed || v == Full
		return v != Go
	})
}

// begin notes that a job's fetch begins, and returns the limits it has, and
// whether its origin is down and tried by it.
func (w *Warmer) begin(j store.Job) (l Limits, probe bool) {
	l = w.shareOf(j.Site)
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.pace(j.Site)
	p.Begin(time.Now(), l)
	w.taken[j.ID] = j
	return l, p.tryIn > 0
}

// do fetches a job and settles it.
func (w *Warmer) do(ctx context.Context, j store.Job, l Limits, probe bool) {
	began := time.Now()
	r := Result{Outcome: store.Outcome{State: store.Again}}
	if ctx.Err() == nil {
		fetching, cancel := context.WithTimeout(ctx, l.Timeout)
		r = w.o.Fetch(fetching, j)
		cancel()
	}
	if r.Took == 0 {
		r.Took = time.Since(began)
	}
	w.ended(j, l, r.Origin)
	switch {
	case ctx.Err() != nil && (r.State == store.Again || r.State == store.Failed):
		r.Outcome = store.Outcome{State: store.Again} // handed back
	case r.State != store.Again:
	case j.Taken+1 >= mostTries, j.Taken+1 >= maxTries && !(probe && r.Origin.Failed):
		r.State, r.After = store.Failed, 0
	default:
		r.After = max(min(r.After, mostHeld), retryIn(j.Taken))
		w.counts.again(j.Site)
	}
	parting, cancel := context.WithTimeout(context.WithoutCancel(ctx), partingWithin)
	defer cancel()
	if r.State != store.Again {
		w.counts.settled(j.Site, &r)
		if w.o.Settled != nil {
			w.o.Settled(j, &r)
		}
	}
	if err := w.queue.Settle(parting, j, r.Outcome); err != nil && !errors.Is(err, store.ErrClosed) {
		// Its lease ends, and whoever takes it then finds it fresh.
		w.counts.queueErrors.Inc()
		w.log.Warn("warming: could not settle", "url", j.URL, "error", err)
	}
}

// retryIn is when a job that was taken so often before is tried again.
func retryIn(taken int) time.Duration {
	d := min(firstRetry<<(2*min(taken, 10)), lastRetry)
	return d*3/4 + rand.N(d/2)
}

// ended notes that a fetch is over.
func (w *Warmer) ended(j store.Job, l Limits, e End) {
	w.mu.Lock()
	w.pace(j.Site).End(time.Now(), l, e)
	delete(w.taken, j.ID)
	w.roomier()
	w.mu.Unlock()
}

// roomier tells that there may be room. w.mu is held.
func (w *Warmer) roomier() {
	if w.passed && w.interrupt != nil {
		w.interrupt()
	}
	select {
	case w.room <- struct{}{}:
	default:
	}
}

// Visitor tells how a visitor's fetch from a site's origin went.
func (w *Warmer) Visitor(site string, took time.Duration, failed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.pace(site)
	down := p.tryIn > 0
	p.Visitor(time.Now(), took, failed)
	if down && p.tryIn == 0 {
		w.roomier()
	}
}
