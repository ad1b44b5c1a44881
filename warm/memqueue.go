package warm

import (
	"cmp"
	"context"
	"crypto/rand"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"surrogate/store"
)

// MemQueueOptions bound a MemQueue. Zero values have defaults.
type MemQueueOptions struct {
	MaxJobs  int           // jobs that may wait; 100,000
	MaxBytes int64         // what all jobs together may take up in memory; 64 MiB
	MaxURLs  int           // jobs that one run may have; 1,000,000
	MaxRuns  int           // runs that are remembered; 1,000
	Lease    time.Duration // how long a job is its taker's; 1 min
	Keep     time.Duration // how long a run is remembered after its last change; 1 day
}

func (o MemQueueOptions) withDefaults() MemQueueOptions {
	o.MaxJobs = cmp.Or(max(o.MaxJobs, 0), 100_000)
	o.MaxBytes = cmp.Or(max(o.MaxBytes, 0), 64<<20)
	o.MaxURLs = cmp.Or(max(o.MaxURLs, 0), 1_000_000)
	o.MaxRuns = cmp.Or(max(o.MaxRuns, 0), 1000)
	o.Lease = cmp.Or(max(o.Lease, 0), time.Minute)
	o.Keep = cmp.Or(max(o.Keep, 0), 24*time.Hour)
	return o
}

// A MemQueue is a store.Queue within one process: what was queued is gone with
// it. Its order is exact.
//
// A job is in the heap of its site, and while it was never taken in coldest too,
// from which room is made; once taken or put back for later it is in timed.
type MemQueue struct {
	opt  MemQueueOptions
	seed maphash.Seed

	mu      sync.Mutex // guards what follows
	closed  bool
	runs    map[string]*memRun
	sites   map[string]*jobHeap // of what may be taken, the hottest first; those with jobs only
	coldest jobHeap             // of what was never taken, the coldest first
	timed   jobHeap             // of what is taken or put back for later, the next to be due first
	byID    map[string]*memJob  // of what was taken at least once
	taken   int
	bytes   int64
	dropped uint64
	last    uint64        // job that was added last
	news    chan struct{} // closed when there is more to be taken
}

var _ store.Queue = (*MemQueue)(nil)

// A memRun is a run and what became of its jobs.
type memRun struct {
	store.Progress
	why     string // the failure that ended its list
	changed time.Time
	seen    map[uint64]struct{} // which jobs it has had; nil when it is over
	reasons map[string]*store.Reason
	left    map[string]int // jobs that are not settled, by site
}

// NewMemQueue returns an empty queue.
func NewMemQueue(o MemQueueOptions) *MemQueue {
	return &MemQueue{
		opt:     o.withDefaults(),
		seed:    maphash.MakeSeed(),
		runs:    make(map[string]*memRun),
		sites:   make(map[string]*jobHeap),
		coldest: jobHeap{slot: slotColdest, before: colderJob},
		timed:   jobHeap{slot: slotTimed, before: soonerJob},
		byID:    make(map[string]*memJob),
		news:    make(chan struct{}),
	}
}

// tell wakes those who wait in Take.
func (q *MemQueue) tell() {
	close(q.news)
	q.news = make(chan struct{})
}

// Begin implements store.Queue.
func (q *MemQueue) Begin(_ context.Context, r store.Run) (string, bool, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return "", false, store.ErrClosed
	}
	now := time.Now()
	q.forget(now)
	if q.runs[r.ID] != nil {
		return r.ID, false, nil
	}
	if len(q.runs) >= q.opt.MaxRuns && !q.forgetOne() {
		return "", false, store.ErrRuns
	}
	if r.ID == "" {
		r.ID = strings.ToLower(rand.Text())
	}
	if r.At.IsZero() {
		r.At = now
	}
	q.runs[r.ID] = &memRun{
		Progress: store.Progress{Run: r}, changed: now, seen: make(map[uint64]struct{}), left: make(map[string]int),
	}
	return r.ID, true, nil
}

// forget forgets the runs whose last change was long ago. What is left of their
// jobs is handed out nevertheless.
func (q *MemQueue) forget(now time.Time) {
	for id, r := range q.runs {
		if now.Sub(r.changed) >= q.opt.Keep {
			delete(q.runs, id)
		}
	}
}

// forgetOne forgets the run that was the first to be done, if any is.
func (q *MemQueue) forgetOne() bool {
	var first *memRun
	for _, r := range q.runs {
		if !r.Ended.IsZero() && (first == nil || r.Ended.Before(first.Ended)) {
			first = r
		}
	}
	if first == nil {
		return false
	}
	delete(q.runs, first.ID)
	return true
}

// run returns a run that is known.
func (q *MemQueue) run(id string) (*memRun, error) {
	if q.closed {
		return nil, store.ErrClosed
	}
	r := q.runs[id]
	if r != nil && time.Since(r.changed) >= q.opt.Keep {
		delete(q.runs, id)
		r = nil
	}
	if r == nil {
		return nil, store.ErrNoRun
	}
	return r, nil
}

// note notes that something of a run has changed, and whether that was its end.
func (r *memRun) note(now time.Time) {
	r.changed = now
	if r.Done() && r.Ended.IsZero() {
		r.Ended = now
		r.seen = nil
	}
}

// settled counts a job that is over.
func (r *memRun) settled(url string, o store.Outcome, now time.Time) {
	switch o.State {
	case store.Warmed:
		r.Warmed++
	case store.Fresh:
		r.Fresh++
	case store.Unkept:
		r.Unkept++
		r.unkept(url, o.Why)
	case store.Dropped:
		r.Dropped++
	default:
		r.Failed++
		if len(r.Failures) < store.MaxFailures {
			r.Failures = append(r.Failures, store.URLFailure{URL: store.Shorten(url), Why: store.Shorten(o.Why)})
		}
	}
	r.Bytes += o.Bytes
	r.note(now)
}

// unkept notes why a page was not kept.
func (r *memRun) unkept(url, why string) {
	why = store.Shorten(why)
	x := r.reasons[why]
	if x == nil && len(r.reasons) >= store.MaxReasons {
		why = ""
		x = r.reasons[why]
	}
	if x == nil {
		if r.reasons == nil {
			r.reasons = make(map[string]*store.Reason)
		}
		x = &store.Reason{Why: why}
		r.reasons[why] = x
	}
	if x.Count++; len(x.URLs) < store.MaxReasonURLs {
		x.URLs = append(x.URLs, store.Shorten(url))
	}
}

// Seal implements store.Queue.
func (q *MemQueue) Seal(_ context.Context, run, why string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	r, err := q.run(run)
	if err != nil {
		return err
	}
	r.Sealed = true
	if r.why == "" {
		r.why = store.Shorten(why)
	}
	r.note(time.Now())
	return nil
}

// Cancel implements store.Queue.
func (q *MemQueue) Cancel(_ context.Context, run string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	r, err := q.run(run)
	if err != nil || r.Done() {
		return err
	}
	now := time.Now()
	r.Sealed, r.Cancelled, r.seen = true, true, nil
	of := func(j *memJob) bool { return j.run == r && j.state != jobTaken }
	gone := q.timed.take(of)
	for _, h := range q.sites {
		gone = append(gone, h.take(of)...)
	}
	for _, j := range gone {
		q.remove(j)
		r.settled("", store.Outcome{State: store.Dropped}, now)
	}
	r.note(now)
	return nil
}

// Progress implements store.Queue.
func (q *MemQueue) Progress(_ context.Context, run string) (store.Progress, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r, err := q.run(run)
	if err != nil {
		return store.Progress{}, err
	}
	p := r.Progress
	p.Failures = nil
	if r.why != "" {
		p.Failures = append(p.Failures, store.URLFailure{Why: r.why})
	}
	p.Failures = append(p.Failures, r.Failures...)
	p.Failures = p.Failures[:min(len(p.Failures), store.MaxFailures)]
	for _, x := range r.reasons {
		p.Reasons = append(p.Reasons, store.Reason{Why: x.Why, Count: x.Count, URLs: slices.Clone(x.URLs)})
	}
	store.SortReasons(p.Reasons)
	p.Left = r.bySite()
	return p, nil
}

// bySite is Progress.Left.
func (r *memRun) bySite() map[string]int {
	if r.Cancelled || len(r.left) == 0 {
		return nil
	}
	return maps.Clone(r.left)
}

// Runs implements store.Queue.
func (q *MemQueue) Runs(_ context.Context, limit int) ([]store.Progress, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, store.ErrClosed
	}
	q.forget(time.Now())
	all := make([]store.Progress, 0, len(q.runs))
	for _, r := range q.runs {
		p := r.Progress
		p.Failures = nil
		p.Left = r.bySite()
		all = append(all, p)
	}
	slices.SortFunc(all, func(a, b store.Progress) int { return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.ID, b.ID)) })
	return all[:min(len(all), max(limit, 0))], nil
}

// Stats implements store.Queue.
func (q *MemQueue) Stats(context.Context) (store.QueueStats, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return store.QueueStats{}, store.ErrClosed
	}
	q.due(time.Now())
	return store.QueueStats{Queued: q.waiting(), Taken: q.taken, Capacity: q.opt.MaxJobs, Dropped: q.dropped, Bytes: q.bytes, MaxBytes: q.opt.MaxBytes}, nil
}

// Close implements store.Queue. Nobody is left to hand anything to.
func (q *MemQueue) Close() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.closed = true
		q.tell()
	}
	return nil
}
