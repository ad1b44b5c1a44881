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
