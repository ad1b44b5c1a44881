package warm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/store"
	"surrogate/store/storetest"
)

func TestMemQueueContract(t *testing.T) {
	const tick = time.Second
	queue := func(t *testing.T, o MemQueueOptions) store.Queue {
		o.Lease = storetest.QueueLease * tick
		q := NewMemQueue(o)
		t.Cleanup(func() { q.check(t) })
		return q
	}
	storetest.RunQueue(t, storetest.QueueConfig{
		New: func(t *testing.T) store.Queue { return queue(t, MemQueueOptions{}) },
		NewSmall: func(t *testing.T) store.Queue {
			return queue(t, MemQueueOptions{MaxJobs: storetest.QueueJobs, MaxURLs: storetest.QueueURLs, MaxRuns: storetest.QueueRuns})
		},
		Tick:   tick,
		Bubble: true,
	})
}

// check looks whether what the queue knows of itself is so.
func (q *MemQueue) check(t *testing.T) {
	t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	all := map[*memJob]bool{}
	held := 0
	heap := func(what string, h *jobHeap) {
		for i, j := range h.jobs {
			all[j] = true
			if int(j.at[h.slot]) != i {
				t.Errorf("%s: %s is at %d and believes in %d", what, j.URL, i, j.at[h.slot])
			}
			if i > 0 && h.before(j, h.jobs[(i-1)/2]) {
				t.Errorf("%s: %s is behind what it comes before", what, j.URL)
			}
		}
	}
	for s, h := range q.sites {
		heap("site "+s, h)
		if h.Len() == 0 {
			t.Errorf("site %s has nothing", s)
		}
	}
	heap("coldest", &q.coldest)
	heap("timed", &q.timed)
	var bytes int64
	for j := range all {
		bytes += j.size()
		if j.state == jobTaken {
			held++
		}
	}
	if held != q.taken || bytes != q.bytes || len(all) != q.waiting()+q.taken {
		t.Errorf("%d taken, %d bytes, %d jobs; it believes in %d, %d, %d", held, bytes, len(all), q.taken, q.bytes, q.waiting()+q.taken)
	}
}

func TestMemQueueIsBoundedByBytes(t *testing.T) {
	q := NewMemQueue(MemQueueOptions{MaxBytes: 10 << 10})
	ctx := t.Context()
	_, _, _ = q.Begin(ctx, store.Run{ID: "r"})
	page := func(path string, heat float64, n int) store.Job {
		return store.Job{Site: "s", URL: "http://shop.test/" + path + strings.Repeat("x", n), Heat: heat}
	}
	add := func(j store.Job, added int) {
		t.Helper()
		if a, d, err := q.Add(ctx, "r", []store.Job{j}); a != added || d != 1-added || err != nil {
			t.Fatalf("Add: %d, %d, %v", a, d, err)
		}
	}
	for i := range 8 {
		add(page(fmt.Sprint(i), float64(i), 900), 1)
	}
	// It would find room only if what is hotter went too: nothing goes.
	add(page("big", 4.5, 8<<10), 0)
	if st, _ := q.Stats(ctx); st.Queued != 8 {
		t.Fatalf("%+v", st)
	}
	add(page("hot", 9, 8<<10), 1)
	if st, _ := q.Stats(ctx); st.Queued >= 8 || st.Dropped != uint64(8-st.Queued+1+1) {
		t.Fatalf("%+v", st)
	}
	q.check(t)
}

func TestMemQueueForgetsRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewMemQueue(MemQueueOptions{})
		ctx := t.Context()
		_, _, _ = q.Begin(ctx, store.Run{ID: "r"})
		time.Sleep(23 * time.Hour)
		if _, _, err := q.Add(ctx, "r", []store.Job{{Site: "s", URL: "http://shop.test/"}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(23 * time.Hour)
		if _, err := q.Progress(ctx, "r"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if _, err := q.Progress(ctx, "r"); !errors.Is(err, store.ErrNoRun) {
			t.Fatalf("%v", err)
		}
		// Its jobs are done all the same.
		js, err := q.Take(ctx, 1, nil)
		if err != nil || len(js) != 1 {
			t.Fatalf("%v, %v", js, err)
		}
		if err := q.Settle(ctx, js[0], store.Outcome{}); err != nil {
			t.Fatal(err)
		}
		if _, created, err := q.Begin(ctx, store.Run{ID: "r"}); !created || err != nil {
			t.Fatalf("%v, %v", created, err)
		}
		q.check(t)
	})
}

// BenchmarkMemQueue is what a job costs from Add, 1,000 at once, to Settle, in a
// queue of about 100,000.
func BenchmarkMemQueue(b *testing.B) {
	for _, n := range []int{1, 32} {
		b.Run(fmt.Sprint("take-", n), func(b *testing.B) {
			q := NewMemQueue(MemQueueOptions{MaxURLs: 1 << 40})
			ctx := context.Background()
			_, _, _ = q.Begin(ctx, store.Run{ID: "r"})
			jobs := 0
			add := func(n int) {
				js := make([]store.Job, n)
				for i := range js {
					jobs++
					js[i] = store.Job{Site: "s", URL: fmt.Sprint("http://shop.test/products/", jobs), Heat: float64(jobs * 7919 % 1000)}
				}
				if a, _, err := q.Add(ctx, "r", js); a != n || err != nil {
					b.Fatal(a, err)
				}
			}
			add(99_000)
			b.ReportAllocs()
			var held []store.Job
			left := 0
			for b.Loop() {
				if left == 0 {
					add(1000)
					left = 1000
				}
				if len(held) == 0 {
					var err error
					if held, err = q.Take(ctx, n, nil); err != nil {
						b.Fatal(err)
					}
				}
				_ = q.Settle(ctx, held[0], store.Outcome{})
				held = held[1:]
				left--
			}
		})
	}
}
