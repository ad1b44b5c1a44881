package warm_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/store"
	"surrogate/warm"
)

// A troubled queue fails in what is named in its trouble.
type troubled struct {
	store.Queue
	trouble atomic.Pointer[string]
}

var errTrouble = errors.New("no Redis")

func (q *troubled) fails(what string) { q.trouble.Store(&what) }

func (q *troubled) in(what string) error {
	if t := q.trouble.Load(); t != nil && strings.Contains(*t, what) {
		return errTrouble
	}
	return nil
}

func (q *troubled) Begin(ctx context.Context, r store.Run) (string, bool, error) {
	if err := q.in("begin"); err != nil {
		return "", false, err
	}
	return q.Queue.Begin(ctx, r)
}

func (q *troubled) Add(ctx context.Context, run string, jobs []store.Job) (int, int, error) {
	if err := q.in("add"); err != nil {
		return 0, 0, err
	}
	return q.Queue.Add(ctx, run, jobs)
}

func (q *troubled) Seal(ctx context.Context, run, why string) error {
	if err := q.in("seal"); err != nil {
		return err
	}
	return q.Queue.Seal(ctx, run, why)
}

func (q *troubled) Progress(ctx context.Context, run string) (store.Progress, error) {
	if err := q.in("progress"); err != nil {
		return store.Progress{}, err
	}
	return q.Queue.Progress(ctx, run)
}

// TestRewarmRidesTroubleOut: whatever fails for a minute, what fell is queued,
// the run is sealed, and the purge is told when its pages are back. Others are
// not kept from it for longer.
func TestRewarmRidesTroubleOut(t *testing.T) {
	for _, trouble := range []string{"begin", "add", "seal", "progress", "begin add seal progress"} {
		t.Run(trouble, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := &troubled{}
				b := newBringerOn(t, func(to store.Queue) store.Queue { q.Queue = to; return q })
				defer b.stop()
				q.fails(trouble)
				for _, p := range []string{"p", "q"} {
					b.Fell(purged(p, 0), swept(b.ask(store.Key("http://shop.example/"+p), 5)))
					b.Over(p, 0)
				}
				time.Sleep(time.Minute)
				if len(b.done()) > 0 {
					t.Errorf("done: %v", b.done())
				}
				q.fails("")
				time.Sleep(10 * time.Second)
				if got := b.take(); !slices.Equal(got, []string{"http://shop.example/p", "http://shop.example/q"}) && !slices.Equal(got, []string{"http://shop.example/q", "http://shop.example/p"}) {
					t.Errorf("queued: %v", got)
				}
				time.Sleep(time.Second)
				if got := b.done(); len(got) != 2 || b.Tally() != (warm.RewarmTally{Purges: 2, Keys: 2, Jobs: 2}) {
					t.Errorf("done: %v, %+v", got, b.Tally())
				}
			})
		})
	}
}

// sealedRun is what became of a run that has to be over, but for what is queued.
func (b *bringer) sealedRun(id string) store.Progress {
	b.Helper()
	p, err := b.queue.Progress(b.Context(), id)
	if err != nil || !p.Sealed {
		b.Fatalf("run %q: %+v, %v", id, p, err)
	}
	return p
}

// TestRewarmGivesUp: what cannot be queued for long is missed, and its run is
// sealed with the reason; the purge's pages are not said to be back.
func TestRewarmGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &troubled{}
		b := newBringerOn(t, func(to store.Queue) store.Queue { q.Queue = to; return q })
		defer b.stop()
		q.fails("add")
		b.Fell(purged("p", 0), swept(b.ask("http://shop.example/", 5)))
		b.Over("p", 0)
		time.Sleep(time.Minute)
		if p, err := b.queue.Progress(t.Context(), "rewarm-p"); err != nil || p.Sealed {
			t.Errorf("given up already: %+v, %v", p, err)
		}
		time.Sleep(10 * time.Minute)
		p := b.sealedRun("rewarm-p")
		if !p.Done() || len(p.Failures) != 1 || p.Failures[0].Why != "1 pages could not be queued: no Redis" {
			t.Errorf("%+v", p)
		}
		if b.Tally().Missed != 1 || len(b.done()) != 0 {
			t.Errorf("%+v, done %v", b.Tally(), b.done())
		}
	})
}

// TestTooManyPurgesAtOnce: one that finds no room is counted once, whatever the
// number of batches that its sweep comes in.
func TestTooManyPurgesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBringer(t)
		defer b.stop()
		hot := swept(b.ask("http://shop.example/", 5))
		for i := range 1000 {
			b.Fell(purged(fmt.Sprint(i), 0), hot)
		}
		for range 3 {
			b.Fell(purged("a", 0), hot)
			b.Fell(purged("b", 0), hot)
		}
		b.Over("a", 0)
		b.Over("b", 1)
		b.Over("c", 1)
		if got := b.Tally().Missed; got != 3 {
			t.Errorf("%d of 3 purges were missed", got)
		}
	})
}

// TestRewarmSealsWhatItLeaves: when the node stops in the middle of a sweep, when
// a sweep ends without a word, and when somebody cancels it.
func TestRewarmSealsWhatItLeaves(t *testing.T) {
	begun := func(t *testing.T) *bringer {
		b := newBringer(t)
		b.Fell(purged("p", 1), swept(b.ask("http://shop.example/", 5)))
		time.Sleep(time.Second)
		if p, err := b.queue.Progress(t.Context(), "rewarm-p"); err != nil || p.Sealed || p.Total != 1 {
			t.Fatalf("%+v, %v", p, err)
		}
		return b
	}
	synctest.Test(t, func(t *testing.T) {
		b := begun(t)
		b.end()
		if p := b.sealedRun("rewarm-p"); p.Done() || len(p.Failures) != 1 || !strings.Contains(p.Failures[0].Why, "the node stopped") {
			t.Errorf("%+v", p)
		}
		_ = b.queue.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		b := begun(t)
		defer b.stop()
		time.Sleep(11 * time.Minute)
		b.sealedRun("rewarm-p")
		b.take()
		time.Sleep(time.Second)
		if !slices.Equal(b.done(), []string{"p"}) {
			t.Errorf("done: %v", b.done())
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := begun(t)
		defer b.stop()
		if err := b.queue.Cancel(t.Context(), "rewarm-p"); err != nil {
			t.Fatal(err)
		}
		b.n = 5
		b.Fell(purged("p", 0), swept(b.ask("http://blog.example/", 5)))
		b.Over("p", 0)
		time.Sleep(time.Second)
		if b.Tally().Missed != 0 || len(b.take()) != 0 {
			t.Errorf("%+v", b.Tally())
		}
	})
}

// TestAListIsSealedLater: by the schedule's turn, if the queue failed just then.
func TestAListIsSealedLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &troubled{Queue: warm.NewMemQueue(warm.MemQueueOptions{})}
		plan := &warm.SitePlan{Name: "shop", Base: "http://shop.example"}
		in := warm.NewIntake(warm.IntakeOptions{
			Queue: q, Site: func(string) *warm.SitePlan { return plan }, Sites: func() []*warm.SitePlan { return []*warm.SitePlan{plan} },
		})
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error)
		go func() { over <- in.RunSchedules(ctx) }()
		defer func() {
			stop()
			<-over
			_ = q.Close()
		}()
		q.fails("seal")
		if a, err := in.Warm(t.Context(), warm.Ask{ID: "r", URLs: []string{"/a", "nonsense"}}); err != nil || a.Added != 1 {
			t.Fatalf("%+v, %v", a, err)
		}
		time.Sleep(3 * time.Minute)
		if p, err := q.Progress(t.Context(), "r"); err != nil || p.Sealed {
			t.Errorf("%+v, %v", p, err)
		}
		q.fails("")
		time.Sleep(2 * time.Minute)
		if p, err := q.Progress(t.Context(), "r"); err != nil || !p.Sealed || len(p.Failures) != 1 || !strings.Contains(p.Failures[0].Why, "nonsense") {
			t.Errorf("%+v, %v", p, err)
		}
	})
}
