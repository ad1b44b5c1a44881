package warm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/store"
)

// full makes a town whose queue has room for so many jobs.
func (w *town) full(jobs int) {
	w.queue = NewMemQueue(MemQueueOptions{MaxJobs: jobs})
	w.in.queue = w.queue
}

// TestALongListWaitsForItsOwn: one of more URLs than the queue has room for loses
// none, whatever the queue's size, as long as those before go on.
func TestALongListWaitsForItsOwn(t *testing.T) {
	for _, room := range []int{1, 10, 700} {
		synctest.Test(t, func(t *testing.T) {
			w := newTown(t)
			w.full(room)
			ctx, stop := context.WithCancel(t.Context())
			var working sync.WaitGroup
			defer working.Wait()
			defer stop()
			working.Go(func() {
				for ctx.Err() == nil {
					jobs, err := w.queue.Take(ctx, 5, nil)
					time.Sleep(time.Second)
					for _, j := range jobs {
						_ = w.queue.Settle(t.Context(), j, store.Outcome{})
					}
					if err != nil {
						return
					}
				}
			})
			a := w.warm(Ask{List: strings.NewReader(pagesOf(2000)), Patient: true})
			if a.Added != 2000 || a.Dropped != 0 {
				t.Errorf("room for %d: %+v", room, a)
			}
		})
	}
}

func pagesOf(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "https://shop.example/%d\n", i)
	}
	return b.String()
}

// TestALongListDoesNotWaitForOthers: where all that is queued is hotter and of
// others, it is dropped and counted; and whoever gives up waiting leaves what is
// queued queued, and a run that is sealed.
func TestALongListDoesNotWaitForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		w.full(100)
		w.warm(Ask{List: strings.NewReader(pagesOf(100)), Heat: 10})
		began := time.Now()
		a := w.warm(Ask{List: strings.NewReader(pagesOf(2000)), Patient: true})
		if a.Added != 0 || a.Dropped != 2000 || time.Since(began) > 0 {
			t.Errorf("after %v: %+v", time.Since(began), a)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		w.full(100)
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		a, err := w.in.Warm(ctx, Ask{List: strings.NewReader(pagesOf(2000)), Patient: true})
		if !errors.Is(err, context.DeadlineExceeded) || a.Added != 100 {
			t.Errorf("%+v, %v", a, err)
		}
		if p := w.progress(a.ID); !p.Sealed || p.Total-p.Settled() != 100 || !strings.Contains(p.Failures[0].Why, "couldn't wait for room") {
			t.Errorf("%+v", p)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		w.full(100)
		var stopping atomic.Bool
		w.in.o.Stopping = stopping.Load
		time.AfterFunc(time.Minute, func() { stopping.Store(true) })
		began := time.Now()
		if a, err := w.in.Warm(t.Context(), Ask{List: strings.NewReader(pagesOf(2000)), Patient: true}); !errors.Is(err, errStopping) || a.Added != 100 {
			t.Errorf("%+v, %v", a, err)
		}
		if took := time.Since(began); took < time.Minute || took > time.Minute+time.Second {
			t.Errorf("a node that stops after a minute waited %v", took)
		}
	})
}
