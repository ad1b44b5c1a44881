package warm_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/store"
	"surrogate/warm"
)

// A crew is a Warmer at work in a bubble, on an origin that is imagined.
type crew struct {
	*testing.T
	*warm.Warmer
	queue  *warm.MemQueue
	fetch  func(ctx context.Context, j store.Job) warm.Result // nil: takes 200 ms
	limits map[string]warm.Limits
	stop   context.CancelFunc
	done   chan error

	mu     sync.Mutex // guards what follows
	urls   map[string]int
	order  []string
	inside map[string]int
	peak   map[string]int
}

func newCrew(t *testing.T, edit func(c *crew, o *warm.Options)) *crew {
	c := &crew{
		T: t, queue: warm.NewMemQueue(warm.MemQueueOptions{}), done: make(chan error, 1),
		urls: map[string]int{}, inside: map[string]int{}, peak: map[string]int{},
		limits: map[string]warm.Limits{"shop": {}, "blog": {Concurrency: 2}},
	}
	o := warm.Options{
		Queue: c.queue, Fetch: c.fetched,
		Sites: func() map[string]warm.Limits { return c.limits },
	}
	if edit != nil {
		edit(c, &o)
	}
	c.Warmer = warm.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	c.stop = cancel
	go func() { c.done <- c.Warmer.Run(ctx) }()
	return c
}

func (c *crew) fetched(ctx context.Context, j store.Job) warm.Result {
	c.mu.Lock()
	c.urls[j.URL]++
	c.order = append(c.order, j.URL)
	c.inside[j.Site]++
	c.peak[j.Site] = max(c.peak[j.Site], c.inside[j.Site])
	fetch := c.fetch
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.inside[j.Site]--
	}()
	if fetch == nil {
		fetch = func(ctx context.Context, j store.Job) warm.Result { return takes(ctx, 200*time.Millisecond) }
	}
	return fetch(ctx, j)
}

func takes(ctx context.Context, d time.Duration) warm.Result {
	began := time.Now()
	select {
	case <-time.After(d):
		return warm.Result{Outcome: store.Outcome{State: store.Warmed, Bytes: 10}, Origin: warm.End{Asked: true, Took: d}}
	case <-ctx.Done():
		return warm.Result{
			Outcome: store.Outcome{State: store.Again, Why: context.Cause(ctx).Error()},
			Origin:  warm.End{Asked: true, Failed: true, Took: time.Since(began)},
		}
	}
}

// close stops it and checks that it does so at once.
func (c *crew) close() {
	c.Helper()
	began := time.Now()
	c.stop()
	if err := <-c.done; err != nil || time.Since(began) > time.Second {
		c.Errorf("stopped after %v: %v", time.Since(began), err)
	}
	_ = c.queue.Close()
}

func jobsOf(site string, n int) []store.Job {
	jobs := make([]store.Job, n)
	for i := range jobs {
		jobs[i] = store.Job{Site: site, URL: fmt.Sprintf("http://%s.example/%d", site, i)}
	}
	return jobs
}

func (c *crew) start(jobs []store.Job) string {
	c.Helper()
	id, _, err := c.queue.Begin(context.Background(), store.Run{Kind: "list"})
	if err == nil {
		_, _, err = c.queue.Add(context.Background(), id, jobs)
	}
	if err == nil {
		err = c.queue.Seal(context.Background(), id, "")
	}
	if err != nil {
		c.Fatal(err)
	}
	return id
}

// over waits for a run to be done.
func (c *crew) over(run string) store.Progress {
	c.Helper()
	for range 100_000 {
		p, err := c.queue.Progress(context.Background(), run)
		if err != nil {
			c.Fatal(err)
		}
		if p.Done() {
			return p
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.Fatal("the run does not end")
	return store.Progress{}
}

func TestWarmerWarmsEachOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, nil)
		defer c.close()
		began := time.Now()
		run := c.start(jobsOf("shop", 1000))
		p := c.over(run)
		if p.Warmed != 1000 || p.Total != 1000 || p.Bytes != 10_000 || !p.Sealed {
			t.Errorf("%+v", p)
		}
		if took := time.Since(began); took > 30*time.Second { // 25 s at eight at once
			t.Errorf("it took %v", took)
		}
		if c.peak["shop"] != 8 || len(c.urls) != 1000 {
			t.Errorf("%d at once, %d URLs", c.peak["shop"], len(c.urls))
		}
		st, err := c.Stats(t.Context())
		if err != nil || st.Warmed != 1000 || st.Bytes != 10_000 || len(st.Sites) == 0 {
			t.Errorf("%+v: %v", st, err)
		}
	})
}

// TestWarmerDoesNotHoldSitesUp: a site that is slow, down or busy leaves others
// as fast as they are.
func TestWarmerDoesNotHoldSitesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, nil)
		defer c.close()
		c.fetch = func(ctx context.Context, j store.Job) warm.Result {
			if j.Site == "blog" {
				return takes(ctx, 10*time.Second)
			}
			return takes(ctx, 100*time.Millisecond)
		}
		slow := c.start(jobsOf("blog", 20))
		time.Sleep(time.Second)
		began := time.Now()
		quick := c.start(jobsOf("shop", 400))
		c.over(quick)
		if took := time.Since(began); took > 10*time.Second { // 5 s at eight at once
			t.Errorf("the quick one took %v", took)
		}
		c.over(slow)
		if c.peak["blog"] != 2 || c.peak["shop"] != 8 {
			t.Errorf("at once: %v", c.peak)
		}
	})
}

func TestWarmerTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, nil)
		defer c.close()
		c.fetch = func(ctx context.Context, j store.Job) warm.Result {
			n := c.tries(j.URL)
			if j.URL == "http://shop.example/1" || j.URL == "http://shop.example/2" && n < 3 {
				return warm.Result{Outcome: store.Outcome{State: store.Again, Why: "not now"}, Origin: warm.End{Asked: true, Failed: true}}
			}
			return takes(ctx, time.Millisecond)
		}
		p := c.over(c.start(jobsOf("shop", 4)))
		if p.Warmed != 3 || p.Failed != 1 || len(p.Failures) != 1 || p.Failures[0] != (store.URLFailure{URL: "http://shop.example/1", Why: "not now"}) {
			t.Errorf("%+v", p)
		}
		if c.urls["http://shop.example/1"] != 5 || c.urls["http://shop.example/2"] != 3 || c.urls["http://shop.example/3"] != 1 {
			t.Errorf("tries: %v", c.urls)
		}
	})
}

// TestWarmerLosesNothingToAnOutage: what is tried while the origin is down is not
// given up for it, not even the hottest.
func TestWarmerLosesNothingToAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		c := newCrew(t, func(c *crew, _ *warm.Options) {
			c.fetch = func(ctx context.Context, j store.Job) warm.Result {
				if down.Load() {
					return warm.Result{Outcome: store.Outcome{State: store.Again, Why: "no answer"}, Origin: warm.End{Asked: true, Failed: true}}
				}
				return takes(ctx, 200*time.Millisecond)
			}
		})
		defer c.close()
		jobs := jobsOf("shop", 50)
		for i := range jobs {
			jobs[i].Heat = float64(len(jobs) - i)
		}
		run := c.start(jobs)
		time.Sleep(30 * time.Minute)
		tries := c.tries(jobs[0].URL)
		if tries < 10 || tries > 40 {
			t.Errorf("the hottest was tried %d times", tries)
		}
		down.Store(false)
		if p := c.over(run); p.Warmed != 50 || p.Failed != 0 {
			t.Errorf("%+v", p)
		}
		// But not for ever.
		down.Store(true)
		began := time.Now()
		if p := c.over(c.start(jobsOf("shop", 7)[5:])); p.Failed != 2 || time.Since(began) > 3*time.Hour {
			t.Errorf("after %v: %+v", time.Since(began), p)
		}
	})
}

func (c *crew) tries(url string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.urls[url]
}

// TestWarmerHandsBack: what is under way when it stops is not lost, and stopping
// waits for no origin.
func TestWarmerHandsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, nil)
		c.fetch = func(ctx context.Context, _ store.Job) warm.Result { return takes(ctx, time.Hour) }
		run := c.start(jobsOf("shop", 3))
		time.Sleep(time.Second)
		c.stop()
		if err := <-c.done; err != nil {
			t.Error(err)
		}
		if st, _ := c.queue.Stats(t.Context()); st.Taken != 0 || st.Queued != 3 {
			t.Errorf("%+v", st)
		}
		if p, _ := c.queue.Progress(t.Context(), run); p.Settled() != 0 {
			t.Errorf("%+v", p)
		}
	})
}

// TestWarmerKeepsLeases: a fetch that takes longer than the lease is not begun
// twice.
func TestWarmerKeepsLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, func(c *crew, _ *warm.Options) { c.limits["shop"] = warm.Limits{Timeout: time.Hour} })
		defer c.close()
		c.fetch = func(ctx context.Context, _ store.Job) warm.Result { return takes(ctx, 10*time.Minute) }
		p := c.over(c.start(jobsOf("shop", 3)))
		if p.Warmed != 3 || len(c.order) != 3 {
			t.Errorf("%v: %+v", c.order, p)
		}
	})
}

func TestWarmerGivesUpWhatTakesTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(t, func(c *crew, _ *warm.Options) { c.limits["shop"] = warm.Limits{Timeout: 5 * time.Second} })
		defer c.close()
		c.fetch = func(ctx context.Context, _ store.Job) warm.Result { return takes(ctx, time.Hour) }
		if p := c.over(c.start(jobsOf("shop", 1))); p.Failed != 1 || p.Failures[0].Why != "context deadline exceeded" {
			t.Errorf("%+v", p)
		}
	})
}

// TestWarmerLetsVisitorsFirst: while visitors fetch as much as the origin is to
// bear, nothing is warmed.
func TestWarmerLetsVisitorsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var visitors atomic.Int32
		visitors.Store(64)
		c := newCrew(t, func(_ *crew, o *warm.Options) { o.Visiting = func(string) int { return int(visitors.Load()) } })
		defer c.close()
		run := c.start(jobsOf("shop", 10))
		time.Sleep(10 * time.Second)
		if p, _ := c.queue.Progress(t.Context(), run); p.Settled() != 0 {
			t.Errorf("%+v", p)
		}
		visitors.Store(3)
		began := time.Now()
		c.over(run)
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("then it took %v", took)
		}
	})
}

// TestWarmersShare: over a fleet an origin is asked for no more at once.
func TestWarmersShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := newCrew(t, func(_ *crew, o *warm.Options) { o.Share = func() (int, int) { return 0, 3 } })
		defer first.close()
		for rank := 1; rank < 3; rank++ {
			other := newCrew(t, func(c *crew, o *warm.Options) {
				c.queue, o.Queue, o.Fetch = first.queue, first.queue, first.fetched
				o.Share = func() (int, int) { return rank, 3 }
			})
			defer other.close()
		}
		p := first.over(first.start(jobsOf("shop", 300)))
		q := first.over(first.start(jobsOf("blog", 30)))
		if p.Warmed != 300 || q.Warmed != 30 || first.peak["shop"] != 8 || first.peak["blog"] != 2 {
			t.Errorf("at once %v\n%+v\n%+v", first.peak, p, q)
		}
	})
}
