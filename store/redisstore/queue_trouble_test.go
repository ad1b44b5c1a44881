package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"surrogate/store"
	"surrogate/store/redisstore/redistest"
)

// A warmth is a queue under test and what was fetched through it.
type warmth struct {
	t  testing.TB
	x  ends
	mu sync.Mutex // guards fetched
	// fetched is how often each URL was.
	fetched map[string]int
	ctx     context.Context
}

func newWarmth(t testing.TB) *warmth {
	ctx, cancel := context.WithCancel(context.Background())
	w := &warmth{t: t, x: ends{}, fetched: map[string]int{}, ctx: ctx}
	t.Cleanup(cancel)
	return w
}

// begin opens the run "r" with n jobs.
func (w *warmth) begin(q store.Queue, n int) {
	w.t.Helper()
	if _, _, err := q.Begin(w.ctx, store.Run{ID: "r"}); err != nil {
		w.t.Fatal(err)
	}
	js := make([]store.Job, n)
	for i := range js {
		js[i] = store.Job{Site: fmt.Sprint("s", i%3), URL: fmt.Sprint("http://shop.test/", i), Heat: float64(i % 100)}
	}
	if a, d, err := q.Add(w.ctx, "r", js); a+d != n || err != nil {
		w.t.Fatal(a, d, err)
	}
}

// work takes and settles until ctx ends. Troubles are counted and do not stop it.
func (w *warmth) work(ctx context.Context, q store.Queue, n int) (troubles int) {
	for {
		js, err := q.Take(ctx, n, nil)
		switch {
		case ctx.Err() != nil, errors.Is(err, store.ErrClosed):
			return troubles
		case err != nil:
			troubles++
		}
		for _, j := range js {
			if ctx.Err() != nil {
				return troubles // it dies with what it has
			}
			w.mu.Lock()
			w.fetched[j.URL]++
			w.mu.Unlock()
			if err := q.Settle(context.WithoutCancel(ctx), j, store.Outcome{State: store.Warmed, Bytes: 1}); err != nil {
				troubles++
			}
		}
	}
}

func (w *warmth) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.fetched)
}

func progressOfRun(t testing.TB, q store.Queue) store.Progress {
	t.Helper()
	p, err := q.Progress(t.Context(), "r")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestOneOfThreeNodesDies: every job is fetched once, those that the dead node had
// taken at most once more, and the figures are right at every look.
func TestOneOfThreeNodesDies(t *testing.T) {
	jobs := 10_000
	if testing.Short() {
		jobs = 2000
	}
	srv := redistest.Start(t)
	w := newWarmth(t)
	opt, o := fresh(srv.URL), QueueOptions{Lease: time.Second}
	a, b, dies := w.x.queue(t, opt, o), w.x.queue(t, opt, o), w.x.queue(t, opt, o)
	w.begin(a, jobs)
	if err := a.Seal(w.ctx, "r", ""); err != nil {
		t.Fatal(err)
	}
	ctx, kill := context.WithCancel(w.ctx)
	living, end := context.WithCancel(w.ctx)
	var all, dead sync.WaitGroup
	for range 4 {
		all.Go(func() { w.work(living, a, 16) })
		all.Go(func() { w.work(living, b, 16) })
		dead.Go(func() { w.work(ctx, dies, 16) })
	}
	waitFor(t, "a third is fetched", func() bool { return w.count() > jobs/3 })
	kill()
	dead.Wait()
	inFlight := len(dies.(*queue).held)
	last := 0
	waitFor(t, "the run is done", func() bool {
		p := progressOfRun(t, b)
		if p.Total != jobs || p.Settled() < last || p.Settled() > jobs {
			t.Fatalf("%+v", p)
		}
		last = p.Settled()
		return p.Done()
	})
	end()
	all.Wait()
	more := 0
	for url, n := range w.fetched {
		if more += n - 1; n > 2 {
			t.Errorf("%s was fetched %d times", url, n)
		}
	}
	if p := progressOfRun(t, b); len(w.fetched) != jobs || more > inFlight || p.Warmed != jobs || p.Bytes != int64(jobs) {
		t.Errorf("%d of %d fetched, %d of them twice with %d in flight; %+v", len(w.fetched), jobs, more, inFlight, p)
	}
	if st, err := b.Stats(w.ctx); err != nil || st.Queued != 0 || st.Taken != 0 {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestAQueueLeavesNothing: what is without a TTL goes with its jobs.
func TestAQueueLeavesNothing(t *testing.T) {
	srv := redistest.Start(t)
	w := newWarmth(t)
	opt := fresh(srv.URL)
	q := w.x.queue(t, opt, QueueOptions{})
	w.begin(q, 1000)
	again := 0
	for range 800 / 50 {
		js, err := q.Take(w.ctx, 50, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range js {
			o := store.Outcome{State: store.Failed, Why: "x"}
			if j.Taken == 0 && again < 20 {
				o = store.Outcome{State: store.Again}
				again++
			}
			if err := q.Settle(w.ctx, j, o); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := q.Cancel(w.ctx, "r"); err != nil {
		t.Fatal(err)
	}
	c := srv.Client()
	defer func() { _ = c.Close() }()
	for key, ttl := range keysOf(t, c) {
		name, ours := strings.CutPrefix(key, "{"+opt.Prefix+":warm}:")
		switch {
		case !ours:
		case name == "run:r", name == "fails:r":
			if ttl < 23*time.Hour || ttl > 24*time.Hour {
				t.Errorf("%s lives for %v", key, ttl)
			}
		case name == "queue", name == "runs", name == "ended":
		default:
			t.Errorf("%s is left", key)
		}
	}
}

// TestARunIsEvicted: its jobs are done all the same, and nothing goes wrong.
func TestARunIsEvicted(t *testing.T) {
	srv := redistest.Start(t)
	w := newWarmth(t)
	opt := fresh(srv.URL)
	q := w.x.queue(t, opt, QueueOptions{Lease: 300 * time.Millisecond})
	w.begin(q, 30)
	js, err := q.Take(w.ctx, 10, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"run:r", "seen:r", "fails:r"} {
		srv.Do("DEL", "{"+opt.Prefix+":warm}:"+k)
	}
	if _, err := q.Progress(w.ctx, "r"); !errors.Is(err, store.ErrNoRun) {
		t.Errorf("%v", err)
	}
	if rs, err := q.Runs(w.ctx, 10); len(rs) != 0 || err != nil {
		t.Errorf("%v, %v", rs, err)
	}
	for i, j := range js[:9] {
		if err := q.Settle(w.ctx, j, store.Outcome{State: store.OutcomeState(i % 6)}); err != nil {
			t.Error(err)
		}
	}
	ctx, end := context.WithCancel(w.ctx)
	done := make(chan int, 1)
	go func() { done <- w.work(ctx, q, 7) }()
	waitFor(t, "nothing is left", func() bool {
		st, err := q.Stats(w.ctx)
		return err == nil && st.Queued == 0 && st.Taken == 0
	})
	end()
	if n := <-done; n > 0 {
		t.Errorf("%d errors", n)
	}
	if n := w.count(); n != 20+1+1 { // never taken, put back, not settled
		t.Errorf("%d were fetched", n)
	}
	if srv.Do("EXISTS", "{"+opt.Prefix+":warm}:run:r") != int64(0) {
		t.Error("a run came back without its TTL")
	}
	if _, created, err := q.Begin(w.ctx, store.Run{ID: "r"}); !created || err != nil {
		t.Errorf("%v, %v", created, err)
	}
}

// TestAGroupIsGone: whoever takes makes it anew, and what was pending is handed
// out again.
func TestAGroupIsGone(t *testing.T) {
	srv := redistest.Start(t)
	w := newWarmth(t)
	opt := fresh(srv.URL)
	q := w.x.queue(t, opt, QueueOptions{Lease: 200 * time.Millisecond})
	w.begin(q, 6)
	js, err := q.Take(w.ctx, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := srv.Client()
	defer func() { _ = c.Close() }()
	for key := range keysOf(t, c) {
		if strings.Contains(key, ":jobs:") {
			srv.Do("XGROUP", "DESTROY", key, "warm")
		}
	}
	// What is settled meanwhile counts.
	if err := q.Settle(w.ctx, js[0], store.Outcome{}); err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(w.ctx)
	done := make(chan int, 1)
	go func() { done <- w.work(ctx, q, 7) }()
	waitFor(t, "all are settled", func() bool { return progressOfRun(t, q).Warmed == 6 })
	end()
	if n := <-done; n > 0 {
		t.Errorf("%d errors", n)
	}
	if n := w.count(); n != 5 {
		t.Errorf("%d were fetched", n)
	}
}

// TestAJobThatDoesNotParse is counted as failed, and holds nobody up.
func TestAJobThatDoesNotParse(t *testing.T) {
	srv := redistest.Start(t)
	w := newWarmth(t)
	opt := fresh(srv.URL)
	q := w.x.queue(t, opt, QueueOptions{})
	w.begin(q, 1)
	srv.Do("XADD", "{"+opt.Prefix+":warm}:jobs:00:s0", "9007199254740000-0", "r", "r", "j", "?")
	js, err := q.Take(w.ctx, 5, nil)
	if err != nil || len(js) != 1 || js[0].URL != "http://shop.test/0" {
		t.Fatalf("%v, %v", js, err)
	}
	if p := progressOfRun(t, q); p.Failed != 1 || len(p.Failures) != 1 {
		t.Errorf("%+v", p)
	}
	if st, err := q.Stats(w.ctx); err != nil || st.Queued != 0 || st.Taken != 1 {
		t.Errorf("%+v, %v", st, err)
	}
}

// TestACancelThatIsBrokenOff: what nobody swept away goes when it is its turn, and
// is counted once.
func TestACancelThatIsBrokenOff(t *testing.T) {
	srv := redistest.Start(t)
	w := newWarmth(t)
	q := w.x.queue(t, fresh(srv.URL), QueueOptions{Lease: 100 * time.Millisecond})
	w.begin(q, 1500)
	js, err := q.Take(w.ctx, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	queued := func(n int) func() bool {
		return func() bool {
			ctx, cancel := context.WithTimeout(w.ctx, 10*time.Millisecond)
			defer cancel()
			_, _ = q.Take(ctx, 1, func(string) bool { return true })
			st, err := q.Stats(w.ctx)
			return err == nil && st.Queued == n && st.Taken == 0
		}
	}
	waitFor(t, "both wait again", queued(1500))
	if v, err := q.(*queue).steady(w.ctx, "cancel", queueCancel, "r"); v != int64(1) || err != nil {
		t.Fatalf("%v, %v", v, err)
	}
	if err := q.Settle(w.ctx, js[0], store.Outcome{}); err != nil {
		t.Fatal(err)
	}
	if err := q.Settle(w.ctx, js[1], store.Outcome{State: store.Again}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(w.ctx, time.Second)
	defer cancel()
	if js, err := q.Take(ctx, 5, nil); len(js) > 0 || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, %v", js, err)
	}
	if p := progressOfRun(t, q); p.Total != 1500 || p.Dropped != 1500 || p.Settled() != 1500 {
		t.Errorf("%+v", p)
	}
	if !queued(0)() {
		t.Error("something is left")
	}
}
