package fleet

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// The property that all of this serves: whoever asks after a purge has been
// confirmed is never shown what it killed, by any node.
//
// A test that never fails shows nothing, so try these when touching the fleet.
// Each must make it fail:
//
//	A  fleet.when_deaf = "serve": a node that answers from memory while deaf.
//	   TestServingWhileDeafIsFound tries this one each time.
//	B  purge/fleet.go, heardBy: return map[string]store.Seq{}, true before
//	   Await, so that a purge does not wait for the others
func TestNoNodeShowsWhatWasPurged(t *testing.T) {
	f := newFleet(t, *seed)
	stop := f.load(4, 8)
	ctx, cancel := context.WithTimeout(t.Context(), *longRun)
	defer cancel()
	if *longRun > 0 {
		ctx = f.untilEnough(t.Context(), 200_000, 2_000)
	}
	began := time.Now()

	var nodes error
	var both sync.WaitGroup
	both.Go(func() { nodes = f.afflict(ctx, atNodes, true, rand.New(rand.NewPCG(f.seed, 1))) })
	// Here, because what starts and stops Redis may end the test.
	redis := f.afflict(ctx, atRedis, false, rand.New(rand.NewPCG(f.seed, 2)))
	both.Wait()
	for _, err := range []error{nodes, redis} {
		if err != nil {
			t.Errorf("seed %d: %v", f.seed, err)
		}
	}
	stop()
	f.lastLook()
	t.Logf("seed %d, %v\n%s", f.seed, time.Since(began).Round(time.Second), &f.tally)
	f.served(t)
}

// untilEnough ends when the long run has gone on for long enough and has done
// what it is to do.
func (f *fleet) untilEnough(ctx context.Context, reads, purges int64) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	end := time.Now().Add(*longRun)
	go func() {
		defer cancel()
		for ctx.Err() == nil && (time.Now().Before(end) || f.tally.row("all").served() < reads || f.confirmations.Load() < purges) {
			pause(ctx, 100*time.Millisecond)
		}
	}()
	return ctx
}

// lastLook reads every page at every node, once all is quiet.
func (f *fleet) lastLook() {
	r := rand.New(rand.NewPCG(f.seed, 3))
	for _, p := range f.pages {
		for _, n := range f.nodes {
			f.read(n, p, r)
		}
	}
}

// served fails the test if under some fault nobody was served, or somebody by a
// node that was there was not.
func (f *fleet) served(t *testing.T) {
	f.failMu.Lock()
	defer f.failMu.Unlock()
	if f.errors > 0 || f.violations > 0 {
		t.Errorf("%d violations; %d reads not served by a node that was there", f.violations, f.errors)
	}
	f.tally.mu.Lock()
	defer f.tally.mu.Unlock()
	for name, r := range f.tally.rows {
		if r.served() == 0 {
			t.Errorf("nobody was served: %s", name)
		}
	}
}

// A node that shows what it has while it is deaf breaks the promise, so readers
// have to notice: mutation A.
func TestServingWhileDeafIsFound(t *testing.T) {
	f := newFleet(t, *seed, "--set", "fleet.when_deaf=serve")
	noticed := make(chan string, 100)
	f.complain = func(what string) {
		select {
		case noticed <- what:
		default:
		}
	}
	stop := f.load(4, 8)
	f.nodes[1].link.set(weather{cut: true})
	select {
	case what := <-noticed:
		t.Log(what)
	case <-time.After(patient):
		t.Error("a node was deaf and answered from memory, and no reader noticed")
	}
	stop()
}
