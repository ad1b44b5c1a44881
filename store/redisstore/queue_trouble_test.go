package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
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

// TestAQueueInARedisThatStartsEmpty: who waits goes on waiting, what is settled does
// nothing, and what is queued then is done.
func TestAQueueInARedisThatStartsEmpty(t *testing.T) {
	srv := redistest.Start(t)
	w := newWarmth(t)
	opt := fresh(srv.URL)
	q, o := w.x.queue(t, opt, QueueOptions{}), w.x.queue(t, opt, QueueOptions{})
	w.begin(q, 50)
	js, err := q.Take(w.ctx, 50, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	ctx, end := context.WithCancel(w.ctx)
	for range 3 {
		all.Go(func() {
			if n := w.work(ctx, o, 5); n > 0 {
				t.Errorf("%d errors", n)
			}
		})
	}
	srv.RestartEmpty()
	for _, j := range js {
		if err := q.Settle(w.ctx, j, store.Outcome{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Renew(w.ctx, js); err != nil {
		t.Error(err)
	}
	if _, err := q.Progress(w.ctx, "r"); !errors.Is(err, store.ErrNoRun) {
		t.Errorf("%v", err)
	}
	w.begin(q, 70)
	if err := q.Seal(w.ctx, "r", ""); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the new run is done", func() bool {
		p := progressOfRun(t, q)
		return p.Done() && p.Warmed == 70
	})
	end()
	all.Wait()
}

// TestTakersWaitQuietlyForRedis: they try rarely, and go on when it is back.
func TestTakersWaitQuietlyForRedis(t *testing.T) {
	srv := redistest.Start(t)
	w := newWarmth(t)
	q := w.x.queue(t, fresh(srv.URL), QueueOptions{})
	tried := new(tape)
	q.(*queue).rdb.AddHook(tried)
	var all sync.WaitGroup
	ctx, end := context.WithCancel(w.ctx)
	var troubles atomic.Int64
	for range 8 {
		all.Go(func() { troubles.Add(int64(w.work(ctx, q, 5))) })
	}
	trips := func() int {
		tried.mu.Lock()
		defer tried.mu.Unlock()
		return len(tried.trips)
	}
	// Idle: eight takers look as often as one would.
	before, began := trips(), time.Now()
	time.Sleep(4 * pollQueue)
	if n, most := trips()-before, 2+8+int(time.Since(began)/pollQueue); n > most {
		t.Errorf("%d times in %v, not %d", n, time.Since(began), most)
	}
	srv.Kill()
	before, began = trips(), time.Now()
	time.Sleep(time.Second)
	if n := trips() - before; n > 16+int(time.Since(began)/retryFirst) {
		t.Errorf("%d times in %v while Redis was down", n, time.Since(began))
	}
	srv.Restart()
	w.begin(q, 20)
	waitFor(t, "all are fetched", func() bool { return w.count() == 20 })
	end()
	all.Wait()
	if n := troubles.Load(); n > 0 {
		t.Errorf("%d errors", n)
	}
}

// TestTheQueueWhenMemoryIsFull: nothing is added, and what is there is done.
func TestTheQueueWhenMemoryIsFull(t *testing.T) {
	srv := redistest.Start(t)
	w := newWarmth(t)
	q := w.x.queue(t, fresh(srv.URL), QueueOptions{})
	w.begin(q, 20)
	srv.Do("CONFIG", "SET", "maxmemory", "1mb")
	ctx, cancel := context.WithTimeout(w.ctx, 200*time.Millisecond)
	defer cancel()
	if _, _, err := q.Add(ctx, "r", []store.Job{{Site: "s", URL: "http://shop.test/more"}}); err == nil {
		t.Error("added")
	}
	if err := q.Seal(w.ctx, "r", ""); err != nil {
		t.Error(err)
	}
	ctx, end := context.WithCancel(w.ctx)
	defer end()
	go w.work(ctx, q, 7)
	waitFor(t, "the run is done", func() bool { p := progressOfRun(t, q); return p.Done() && p.Warmed == 20 })
}

// TestTheQueuesClusterLosesAMaster: it may forget the last steps, but no job is lost
// that its copy had, and nobody stops.
func TestTheQueuesClusterLosesAMaster(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster takes a while to start")
	}
	c := redistest.StartCluster(t)
	w := newWarmth(t)
	opt := fresh(c.URL)
	o := QueueOptions{Lease: 2 * time.Second}
	a, b := w.x.queue(t, opt, o), w.x.queue(t, opt, o)
	w.begin(a, 3000)
	if err := a.Seal(w.ctx, "r", ""); err != nil {
		t.Fatal(err)
	}
	var master *redistest.Server
	for _, s := range c.Servers {
		if held(s, a.(*queue).key("queue")) {
			master = s
		}
	}
	if master == nil {
		t.Fatal("nobody has the queue")
	}
	// A failover loses what the copy has not got; that must not be the end of the list.
	client := master.Client()
	defer func() { _ = client.Close() }()
	conn := client.Conn()
	defer func() { _ = conn.Close() }()
	if err := conn.Set(w.ctx, a.(*queue).key("last"), "1", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Wait(w.ctx, 1, 10*time.Second).Result(); n < 1 || err != nil {
		t.Fatalf("the copy lags behind: %v", err)
	}
	var all sync.WaitGroup
	ctx, end := context.WithCancel(w.ctx)
	var troubles atomic.Int64
	for range 2 {
		all.Go(func() { troubles.Add(int64(w.work(ctx, a, 10))) })
		all.Go(func() { troubles.Add(int64(w.work(ctx, b, 10))) })
	}
	waitFor(t, "some are fetched", func() bool { return w.count() > 500 })
	master.Kill()
	var last string
	defer func() {
		if t.Failed() {
			t.Log(last)
		}
	}()
	waitFor(t, "the run is done", func() bool {
		p, err := b.Progress(w.ctx, "r")
		st, _ := b.Stats(w.ctx)
		last = fmt.Sprintf("%+v, %v, %+v", p, err, st)
		return err == nil && p.Done()
	})
	end()
	all.Wait()
	if n := troubles.Load(); n > 0 {
		t.Errorf("%d errors", n)
	}
	if p := progressOfRun(t, b); len(w.fetched) != 3000 || p.Settled() != 3000 {
		t.Errorf("%d fetched, %+v", len(w.fetched), p)
	}
}

// TestWhatTheQueueCosts holds doc.go to its word: a line for each round trip.
func TestWhatTheQueueCosts(t *testing.T) {
	srv := redistest.Start(t)
	w := newWarmth(t)
	q := w.x.queue(t, fresh(srv.URL), QueueOptions{})
	rdb := q.(*queue).rdb
	for _, sc := range queueScripts {
		if err := sc.Load(w.ctx, rdb).Err(); err != nil {
			t.Fatal(err)
		}
	}
	tp := new(tape)
	rdb.AddHook(tp)
	var js []store.Job
	for _, step := range []struct {
		what, costs string
		do          func() error
	}{
		{"begin, add 1,000", "queue_begin.lua | 4×queue_add.lua", func() error { w.begin(q, 1000); return nil }},
		{"take 64", "queue_take.lua", func() (err error) { js, err = q.Take(w.ctx, 64, nil); return err }},
		{"settle", "queue_settle.lua", func() error { return q.Settle(w.ctx, js[0], store.Outcome{}) }},
		{"put back", "queue_back.lua", func() error { return q.Settle(w.ctx, js[1], store.Outcome{State: store.Again}) }},
		{"renew 62", "queue_renew.lua", func() error { return q.Renew(w.ctx, js[2:]) }},
		{"skip none", "queue_take.lua", func() (err error) {
			js, err = q.Take(w.ctx, 64, func(string) bool { return false })
			return err
		}},
		{"seal", "queue_seal.lua", func() error { return q.Seal(w.ctx, "r", "") }},
	} {
		var err error
		got := strings.ReplaceAll(tp.of(func() { err = step.do() }), " | HELLO | 2×CLIENT", "") // another connection
		if got != step.costs || err != nil {
			t.Errorf("%s costs %s, not %s; %v", step.what, got, step.costs, err)
		}
	}
}
