package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"surrogate/store"
)

var queueTakeCases = []queueCase{
	{name: "HottestFirst", run: func(l *queueLab) {
		l.begin("r")
		l.add("r", job("/cold", 0), job("/nan", math.NaN()), job("/1", 1), job("/100", 100), job("/10", 10))
		l.add("r", job("/1000", 1000), job("/1b", 1))
		l.inOrder(l.takeAll(l.q, 7), "/1000", "/100", "/10", "/1", "/1b", "/cold", "/nan")
	}},
	{name: "HottestFirstOfAllSites", run: func(l *queueLab) {
		l.begin("r")
		a, b, c := job("/a", 1), job("/b", 100), job("/c", 10_000)
		a.Site, b.Site, c.Site = "a", "b", "a"
		l.add("r", a, b, c)
		l.inOrder(l.takeAll(l.q, 3), "/c", "/b", "/a")
	}},
	{name: "TakeHandsOutUpToN", run: func(l *queueLab) {
		l.begin("r")
		l.add("r", many("a", 5, 1)...)
		if js := l.take(l.q, 3); len(js) != 3 {
			l.Errorf("%d jobs", len(js))
		}
		if js := l.take(l.q, 10); len(js) != 2 {
			l.Errorf("%d jobs", len(js))
		}
		l.holds(0, 5)
		if js, err := l.q.Take(l.Context(), 0, nil); len(js) > 0 || err != nil {
			l.Errorf("Take of 0: %v, %v", js, err)
		}
	}},
	{name: "TakeWaits", run: func(l *queueLab) {
		l.begin("r")
		got := make(chan []store.Job, 2)
		for range 2 {
			go func() { got <- l.take(l.o, 1) }()
		}
		l.pass(3)
		l.add("r", jobs(1, "/a", "/b")...)
		took := pathsOf(append(<-got, <-got...))
		slices.Sort(took)
		if !slices.Equal(took, []string{"/a", "/b"}) {
			l.Errorf("%v", took)
		}
	}},
	{name: "TakeEndsWithItsContext", run: func(l *queueLab) {
		ctx, cancel := context.WithCancel(l.Context())
		done := make(chan error, 1)
		go func() {
			_, err := l.q.Take(ctx, 1, nil)
			done <- err
		}()
		l.pass(1)
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			l.Errorf("%v", err)
		}
		l.begin("r")
		l.add("r", job("/a", 1))
		if js, err := l.q.Take(ctx, 1, nil); len(js) > 0 || !errors.Is(err, context.Canceled) {
			l.Errorf("Take with a context that has ended: %v, %v", js, err)
		}
		l.holds(1, 0)
	}},
	{name: "SkippedSitesKeepTheirPlace", run: func(l *queueLab) {
		l.begin("r")
		a, b, c := job("/a", 100), job("/b", 1), job("/c", 10)
		a.Site, b.Site, c.Site = "slow", "fine", "slow"
		l.add("r", a, b, c)
		slow := func(site string) bool { return site == "slow" }
		js, err := l.q.Take(l.Context(), 5, slow)
		if err != nil {
			l.Fatal(err)
		}
		l.inOrder(js, "/b")
		l.none(l.o, slow)
		l.inOrder(l.takeAll(l.o, 2), "/a", "/c")
	}},
	{name: "SkipIsAskedAgain", run: func(l *queueLab) {
		l.begin("r")
		l.add("r", job("/a", 1))
		over := time.Now().Add(l.ticks(4))
		js, err := l.o.Take(l.Context(), 1, func(string) bool { return time.Now().Before(over) })
		if err != nil || len(js) != 1 || time.Now().Before(over) {
			l.Errorf("%v, %v", js, err)
		}
	}},
	{name: "PutBackJobsAreSkippedToo", run: func(l *queueLab) {
		l.begin("r")
		l.add("r", job("/a", 1))
		l.settle(l.q, l.take(l.q, 1)[0], store.Outcome{State: store.Again})
		l.none(l.q, func(string) bool { return true })
		l.inOrder(l.take(l.q, 1), "/a")
	}},
	{name: "AgainComesBackLater", run: func(l *queueLab) {
		l.begin("r")
		l.add("r", job("/a", 100))
		j := l.take(l.q, 1)[0]
		l.settle(l.q, j, store.Outcome{State: store.Again, After: l.ticks(8)})
		put := time.Now()
		l.add("r", job("/b", 1))
		l.inOrder(l.take(l.o, 1), "/b")
		l.none(l.o, nil)
		l.holds(1, 1)
		back := l.take(l.o, 1)[0]
		if passed := time.Since(put); passed < l.ticks(7.5) {
			l.Errorf("back after %v, not %v", passed, l.ticks(8))
		}
		if back.URL != j.URL || back.Taken != 1 {
			l.Errorf("%+v", back)
		}
		l.settle(l.o, back, store.Outcome{State: store.Again})
		if back = l.take(l.q, 1)[0]; back.Taken != 2 || back.Heat != 100 || back.Run != "r" {
			l.Errorf("%+v", back)
		}
		l.settle(l.q, back, warmed)
		l.counts("r", 2, 1, 0, 0, 0, 0)
	}},
	{name: "PutBackJobsCompeteByHeat", run: func(l *queueLab) {
		l.begin("r")
		l.add("r", job("/mid", 50))
		l.settle(l.q, l.take(l.q, 1)[0], store.Outcome{State: store.Again})
		l.add("r", job("/cold", 1), job("/hot", 1000))
		l.inOrder(l.takeAll(l.q, 3), "/hot", "/mid", "/cold")
	}},
	{name: "LapsedLeasesAreTakenOver", run: func(l *queueLab) {
		l.begin("r")
		l.add("r", job("/a", 1))
		a := l.take(l.q, 1)[0]
		l.none(l.o, nil)
		b := l.take(l.o, 1)[0] // waits for the lease to run out
		if b.URL != a.URL || a.Taken != 0 || b.Taken != 1 {
			l.Errorf("%+v, then %+v", a, b)
		}
		l.holds(0, 1)
		// Both say what became of it: it counts once, and not what came later.
		l.settle(l.q, a, warmed)
		l.settle(l.o, b, store.Outcome{State: store.Failed, Why: "too late"})
		l.settle(l.q, a, warmed)
		if p := l.counts("r", 1, 1, 0, 0, 0, 0); len(p.Failures) > 0 {
			l.Errorf("%+v", p)
		}
		l.holds(0, 0)
	}},
	{name: "WhoLostAJobCannotPutItBack", run: func(l *queueLab) {
		l.begin("r")
		l.add("r", job("/a", 1))
		a := l.take(l.q, 1)[0]
		b := l.take(l.o, 1)[0]
		l.settle(l.q, a, store.Outcome{State: store.Again})
		if err := l.q.Renew(l.Context(), []store.Job{a}); err != nil {
			l.Fatal(err)
		}
		l.none(l.q, nil)
		l.settle(l.o, b, warmed)
		l.counts("r", 1, 1, 0, 0, 0, 0)
	}},
	{name: "WhoLostAJobCannotRenewIt", run: func(l *queueLab) {
		l.begin("r")
		l.add("r", job("/a", 1))
		a := l.take(l.q, 1)[0]
		l.take(l.o, 1)
		taken := time.Now()
		l.pass(QueueLease * 0.7)
		if err := l.q.Renew(l.Context(), []store.Job{a}); err != nil {
			l.Fatal(err)
		}
		if c := l.take(l.o, 1)[0]; c.Taken != 2 || time.Since(taken) > l.ticks(QueueLease*1.6) {
			l.Errorf("%+v after %v", c, time.Since(taken))
		}
	}},
	{name: "ALapsedLeaseIsRenewedIfNobodyTookTheJob", run: func(l *queueLab) {
		l.begin("r")
		l.add("r", job("/a", 1))
		j := l.take(l.q, 1)[0]
		l.pass(QueueLease)
		l.none(l.o, func(string) bool { return true }) // it waits again
		if err := l.q.Renew(l.Context(), []store.Job{j}); err != nil {
			l.Fatal(err)
		}
		l.holds(0, 1)
		l.none(l.o, nil)
		l.settle(l.q, j, warmed)
		l.counts("r", 1, 1, 0, 0, 0, 0)
		l.holds(0, 0)
	}},
	{name: "RenewProlongs", run: func(l *queueLab) {
		l.begin("r")
		l.add("r", jobs(1, "/a", "/b")...)
		js := l.takeAll(l.q, 2)
		taken := time.Now()
		for range 3 {
			l.pass(QueueLease / 2)
			if err := l.q.Renew(l.Context(), js[:1]); err != nil {
				l.Fatal(err)
			}
		}
		l.inOrder(l.take(l.o, 2), "/b")
		l.settle(l.q, js[0], warmed)
		if time.Since(taken) < l.ticks(QueueLease*1.4) {
			l.Errorf("not longer than a lease: %v", time.Since(taken))
		}
		l.none(l.o, nil)
		l.counts("r", 2, 1, 0, 0, 0, 0)
	}},
	{name: "WhatIsSettledIsNotRenewed", run: func(l *queueLab) {
		l.begin("r")
		l.add("r", job("/a", 1))
		j := l.take(l.q, 1)[0]
		l.settle(l.q, j, warmed)
		if err := l.q.Renew(l.Context(), []store.Job{j}); err != nil {
			l.Fatal(err)
		}
		l.holds(0, 0)
		l.pass(QueueLease + 2)
		l.none(l.o, nil)
	}},
	{name: "CloseEndsTake", run: func(l *queueLab) {
		done := make(chan error, 1)
		go func() {
			_, err := l.q.Take(l.Context(), 1, nil)
			done <- err
		}()
		l.pass(1)
		if err := l.q.Close(); err != nil {
			l.Fatal(err)
		}
		if err := <-done; !errors.Is(err, store.ErrClosed) {
			l.Errorf("%v", err)
		}
		if _, err := l.q.Take(l.Context(), 1, nil); !errors.Is(err, store.ErrClosed) {
			l.Errorf("Take after Close: %v", err)
		}
		if err := l.q.Close(); err != nil {
			l.Errorf("the second Close: %v", err)
		}
	}},
	{name: "ProgressIsRightThroughout", run: progressThroughout},
}

// progressThroughout lets some takers work on two runs while others add, and
// checks at every moment what can be said of the figures.
func progressThroughout(l *queueLab) {
	const each, adders, takers = 300, 2, 4
	l.begin("r")
	l.begin("s")
	ctx, cancel := context.WithCancel(l.Context())
	var adding, taking, watching sync.WaitGroup
	for a := range adders {
		adding.Go(func() {
			for i := 0; i < each; i += 50 {
				for _, run := range []string{"r", "s"} {
					// Overlaps with what the others add: in all 2/3 of it is new.
					js := many("x", 0, 0)
					for k := range 50 {
						js = append(js, job(fmt.Sprintf("/%d", a*each/2+i+k), float64(k)))
					}
					if _, _, err := l.q.Add(ctx, run, js); err != nil {
						l.Errorf("Add: %v", err)
					}
				}
			}
		})
	}
	for t := range takers {
		q := l.q
		if t%2 == 1 {
			q = l.o
		}
		taking.Go(func() {
			for n := 0; ; {
				js, err := q.Take(ctx, 7, nil)
				if err != nil {
					if !errors.Is(err, context.Canceled) {
						l.Errorf("Take: %v", err)
					}
					return
				}
				for _, j := range js {
					o := store.Outcome{State: store.OutcomeState(n % 4), Bytes: 3}
					if n++; j.Taken == 0 && n%5 == 0 {
						o = store.Outcome{State: store.Again, After: l.ticks(0.1)}
					}
					if err := q.Settle(l.Context(), j, o); err != nil {
						l.Errorf("Settle: %v", err)
					}
				}
			}
		})
	}
	watch := make(chan struct{})
	watching.Go(func() {
		last := map[string]store.Progress{}
		for {
			for _, run := range []string{"r", "s"} {
				p, err := l.o.Progress(l.Context(), run)
				was := last[run]
				if err != nil || p.Settled() > p.Total || p.Total < was.Total || p.Settled() < was.Settled() || p.Bytes < was.Bytes {
					l.Errorf("%+v, %v; before %+v", p, err, was)
				}
				last[run] = p
			}
			select {
			case <-watch:
				return
			case <-time.After(l.ticks(0.1)):
			}
		}
	})
	adding.Wait()
	l.seal("r")
	l.seal("s")
	const total = each * 3 / 2
	for end := time.Now().Add(patience); ; l.pass(0.5) {
		if r, s := l.progress("r"), l.progress("s"); r.Done() && s.Done() || l.Failed() {
			break
		} else if time.Now().After(end) {
			l.Errorf("not done: %+v, %+v", r, s)
			break
		}
	}
	cancel()
	close(watch)
	taking.Wait()
	watching.Wait()
	for _, run := range []string{"r", "s"} {
		if p := l.progress(run); p.Total != total || p.Settled() != total || p.Dropped != 0 || p.Bytes != 3*total || p.Ended.IsZero() {
			l.Errorf("at the end: %+v", p)
		}
	}
	l.holds(0, 0)
}
