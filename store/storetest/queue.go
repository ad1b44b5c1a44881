package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/store"
)

// A QueueConfig says how to test one kind of queue.
type QueueConfig struct {
	// New returns a fresh, empty queue whose lease is QueueLease ticks.
	New func(t *testing.T) store.Queue
	// NewSmall returns one with the bounds below, and the same lease.
	NewSmall func(t *testing.T) store.Queue
	// Another returns another node's end of a queue. Where it is nil all takers
	// are of one node.
	Another func(t *testing.T, q store.Queue) store.Queue
	// Tick is how long one unit of the suite's time takes.
	Tick time.Duration
	// Bubble runs each case in a bubble of fake time (testing/synctest).
	Bubble bool
}

// Bounds of the queue that QueueConfig.NewSmall makes, and the lease of both.
const (
	QueueLease = 10 // ticks
	QueueJobs  = 8  // jobs that may wait
	QueueURLs  = 24 // jobs that a run may have
	QueueRuns  = 4  // runs that are known
)

// A queueLab is what a case works with: two ends of a queue, which may be the
// same, and the shortest words for what is done to them.
type queueLab struct {
	*testing.T
	c    QueueConfig
	q, o store.Queue
}

type queueCase struct {
	name  string
	small bool
	run   func(l *queueLab)
}

// RunQueue holds a queue to its contract.
func RunQueue(t *testing.T, c QueueConfig) {
	for _, tc := range slices.Concat(queueRunCases, queueTellCases, queueTakeCases, queueFleetCases) {
		t.Run(tc.name, func(t *testing.T) {
			run := func(t *testing.T) {
				l := &queueLab{T: t, c: c}
				if tc.small {
					l.q = c.NewSmall(t)
				} else {
					l.q = c.New(t)
				}
				l.o = l.another()
				tc.run(l)
			}
			if c.Bubble {
				synctest.Test(t, run)
			} else {
				run(t)
			}
		})
	}
}

func (l *queueLab) another() store.Queue {
	if l.c.Another == nil {
		return l.q
	}
	return l.c.Another(l.T, l.q)
}

func (l *queueLab) pass(n float64) { time.Sleep(l.ticks(n)) }

func (l *queueLab) ticks(n float64) time.Duration { return time.Duration(n * float64(l.c.Tick)) }

func (l *queueLab) begin(id string) string {
	l.Helper()
	got, created, err := l.q.Begin(l.Context(), store.Run{ID: id, Kind: "list", What: "list of " + id, By: "test", Sum: "sum of " + id})
	if err != nil || !created || id != "" && got != id {
		l.Fatalf("Begin %q: %q, %v, %v", id, got, created, err)
	}
	return got
}

// job makes a job of a path.
func job(path string, heat float64) store.Job {
	return store.Job{Site: "shop", URL: "http://shop.test" + path, Heat: heat}
}

func jobs(heat float64, paths ...string) (out []store.Job) {
	for _, p := range paths {
		out = append(out, job(p, heat))
	}
	return out
}

// many makes n jobs with URLs of their own.
func many(prefix string, n int, heat float64) (out []store.Job) {
	for i := range n {
		out = append(out, job(fmt.Sprintf("/%s/%d", prefix, i), heat))
	}
	return out
}

// add adds jobs, all of which have to be taken.
func (l *queueLab) add(run string, jobs ...store.Job) {
	l.Helper()
	l.adds(run, jobs, len(jobs), 0)
}

func (l *queueLab) adds(run string, jobs []store.Job, added, dropped int) {
	l.Helper()
	a, d, err := l.q.Add(l.Context(), run, jobs)
	if err != nil || a != added || d != dropped {
		l.Fatalf("Add: %d added, %d dropped, %v; want %d, %d", a, d, err, added, dropped)
	}
}

// patience bounds what has to come: in a bubble it costs nothing.
const patience = 20 * time.Second

// take takes up to n jobs, and fails if there is none.
func (l *queueLab) take(q store.Queue, n int) []store.Job {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), max(patience, l.ticks(100)))
	defer cancel()
	js, err := q.Take(ctx, n, nil)
	if err != nil || len(js) == 0 || len(js) > n {
		l.Fatalf("Take %d: %d jobs, %v", n, len(js), err)
	}
	return js
}

// takeAll takes n jobs, in as many turns as it takes.
func (l *queueLab) takeAll(q store.Queue, n int) (out []store.Job) {
	l.Helper()
	for len(out) < n {
		out = append(out, l.take(q, n-len(out))...)
	}
	return out
}

// none says that there is nothing to take.
func (l *queueLab) none(q store.Queue, skip func(string) bool) {
	l.Helper()
	ctx, cancel := context.WithTimeout(l.Context(), l.ticks(2))
	defer cancel()
	if js, err := q.Take(ctx, 10, skip); len(js) > 0 || !errors.Is(err, context.DeadlineExceeded) {
		l.Fatalf("Take of what is empty: %v, %v", js, err)
	}
}

func (l *queueLab) settle(q store.Queue, j store.Job, o store.Outcome) {
	l.Helper()
	if err := q.Settle(l.Context(), j, o); err != nil {
		l.Fatalf("Settle %s: %v", j.URL, err)
	}
}

func (l *queueLab) seal(run string) {
	l.Helper()
	if err := l.q.Seal(l.Context(), run, ""); err != nil {
		l.Fatalf("Seal: %v", err)
	}
}

func (l *queueLab) progress(run string) store.Progress {
	l.Helper()
	p, err := l.o.Progress(l.Context(), run)
	if err != nil {
		l.Fatalf("Progress: %v", err)
	}
	return p
}

// counts says what a run's figures are: total, warmed, fresh, unkept, failed, dropped.
func (l *queueLab) counts(run string, want ...int) store.Progress {
	l.Helper()
	p := l.progress(run)
	if got := []int{p.Total, p.Warmed, p.Fresh, p.Unkept, p.Failed, p.Dropped}; !slices.Equal(got, want) {
		l.Fatalf("run %s: total, warmed, fresh, unkept, failed, dropped are %v, want %v", run, got, want)
	}
	return p
}

func (l *queueLab) holds(queued, taken int) store.QueueStats {
	l.Helper()
	st, err := l.o.Stats(l.Context())
	if err != nil || st.Queued != queued || st.Taken != taken {
		l.Fatalf("Stats: %+v, %v; want %d queued, %d taken", st, err, queued, taken)
	}
	return st
}

func pathsOf(js []store.Job) (out []string) {
	for _, j := range js {
		out = append(out, j.URL[len("http://shop.test"):])
	}
	return out
}

func (l *queueLab) inOrder(js []store.Job, want ...string) {
	l.Helper()
	if got := pathsOf(js); !slices.Equal(got, want) {
		l.Fatalf("took %v, want %v", got, want)
	}
}
