package warm_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/store"
	"surrogate/warm"
)

// A bringer is a Rewarmer at work in a bubble.
type bringer struct {
	*testing.T
	*warm.Rewarmer
	queue *warm.MemQueue
	heat  *warm.Heat
	n     int
	end   func() // of the Rewarmer
	stop  func() // and of the queue

	mu    sync.Mutex // guards what follows
	ended []string
	began map[string]string
}

// done is which purges' pages are back.
func (b *bringer) done() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.ended)
}

// run is the run of a purge.
func (b *bringer) run(purge string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.began[purge]
}

func newBringer(t *testing.T) *bringer {
	return newBringerOn(t, func(q store.Queue) store.Queue { return q })
}

// newBringerOn has a bringer work with what wrap makes of its queue.
func newBringerOn(t *testing.T, wrap func(store.Queue) store.Queue) *bringer {
	b := &bringer{T: t, queue: warm.NewMemQueue(warm.MemQueueOptions{}), heat: warm.NewHeat(warm.HeatOptions{}), began: map[string]string{}, n: 100}
	b.Rewarmer = warm.NewRewarmer(warm.RewarmOptions{
		Queue: wrap(b.queue), Heat: b.heat,
		Site: func(k store.Key) (string, int, bool) {
			site, _, _ := strings.Cut(k.Host(), ".")
			return site, b.n, site != "gone"
		},
		Began: func(purge, run string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.began[purge] = run
		},
		Done: func(purge string) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.ended = append(b.ended, purge)
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error)
	go func() { over <- b.Rewarmer.Run(ctx) }()
	b.end = func() {
		cancel()
		<-over
	}
	b.stop = func() {
		b.end()
		_ = b.queue.Close()
	}
	return b
}

// ask has a key asked for so often.
func (b *bringer) ask(key store.Key, times int) store.Key {
	for range times {
		b.heat.Asked(key, "", "", time.Now())
	}
	return key
}

func swept(keys ...store.Key) []store.Swept {
	out := make([]store.Swept, len(keys))
	for i, k := range keys {
		out[i] = store.Swept{Key: k, Entries: 1}
	}
	return out
}

func purged(id string, rewarm int) store.Event {
	return store.Event{Purge: store.Purge{ID: id, Rewarm: rewarm}}
}

// take returns what is queued, in the order in which it is handed out.
func (b *bringer) take() (urls []string) {
	b.Helper()
	for _, j := range b.jobs() {
		urls = append(urls, j.URL+strings.TrimSpace(string(j.Pick)))
	}
	return urls
}

func (b *bringer) jobs() []store.Job {
	b.Helper()
	synctest.Wait()
	st, err := b.queue.Stats(context.Background())
	if err != nil || st.Queued == 0 {
		return nil
	}
	jobs, err := b.queue.Take(context.Background(), st.Queued, nil)
	if err != nil {
		b.Fatal(err)
	}
	for _, j := range jobs {
		if err := b.queue.Settle(context.Background(), j, store.Outcome{State: store.Warmed}); err != nil {
			b.Fatal(err)
		}
	}
	return jobs
}

func TestRewarmHottestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBringer(t)
		defer b.stop()
		b.n = 3
		var keys []store.Key
		for i := range 10 {
			keys = append(keys, b.ask(store.Key(fmt.Sprintf("http://shop.example/%d", i)), 2*i))
		}
		other := b.ask("http://blog.example/", 1)
		b.Fell(purged("p", 0), swept(append(keys, other, "http://shop.example/unknown", b.ask("http://gone.example/", 50))...))
		b.Over("p", 0)
		want := []string{"http://shop.example/9", "http://shop.example/8", "http://shop.example/7", "http://blog.example/"}
		if got := b.take(); !slices.Equal(got, want) {
			t.Errorf("queued: %v", got)
		}
		time.Sleep(time.Second)
		if !slices.Equal(b.done(), []string{"p"}) || b.run("p") != "rewarm-p" {
			t.Errorf("done: %v, runs %v", b.done(), b.run("p"))
		}
		if p, err := b.queue.Progress(t.Context(), "rewarm-p"); err != nil || !p.Done() || p.Total != 4 || p.Kind != "purge" || p.What != "p" {
			t.Errorf("%+v: %v", p, err)
		}
		if got := b.Tally(); got != (warm.RewarmTally{Purges: 1, Keys: 4, Jobs: 4}) {
			t.Errorf("%+v", got)
		}
	})
}

func TestRewarmAsAsked(t *testing.T) {
	for _, c := range []struct {
		name   string
		rewarm int
		n      int
		queued int
		done   bool
	}{
		{"as configured", 0, 3, 3, true},
		{"none configured", 0, 0, 0, false},
		{"so many", 5, 3, 5, true},
		{"so many, though none configured", 5, 0, 5, true},
		{"none, though configured", store.NoRewarm, 3, 0, false},
		{"more than there is", 1000, 3, 10, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBringer(t)
				defer b.stop()
				b.n = c.n
				var keys []store.Key
				for i := range 10 {
					keys = append(keys, b.ask(store.Key(fmt.Sprintf("http://shop.example/%d", i)), i+1))
				}
				b.Fell(purged("p", c.rewarm), swept(keys...))
				b.Over("p", c.rewarm)
				if got := b.take(); len(got) != c.queued {
					t.Errorf("queued: %v", got)
				}
				time.Sleep(time.Second)
				if done := len(b.done()) > 0; done != c.done {
					t.Errorf("done: %t", done)
				}
			})
		})
	}
}

// TestRewarmNothingHot: who asked for it learns that it is done.
func TestRewarmNothingHot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBringer(t)
		defer b.stop()
		old := b.ask("http://shop.example/old", 1)
		time.Sleep(time.Hour)
		b.Fell(purged("p", 0), swept(old))
		b.Over("p", 0)
		b.Fell(purged("q", 5), nil)
		b.Over("q", 5)
		time.Sleep(time.Second)
		if got := b.take(); got != nil || !slices.Equal(b.done(), []string{"q"}) {
			t.Errorf("queued %v, done %v", got, b.done())
		}
	})
}

func TestRewarmPicks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBringer(t)
		defer b.stop()
		ask := func(pick store.Pick, times int) {
			for range times {
				b.heat.Asked("http://shop.example/", "accept-language", pick, time.Now())
			}
		}
		ask("accept-language: it\n", 1)
		time.Sleep(time.Hour)
		ask("accept-language: de\n", 9)
		ask("accept-language: fr\n", 3)
		b.Fell(purged("p", 0), swept("http://shop.example/"))
		b.Over("p", 0)
		jobs := b.jobs()
		if len(jobs) != 2 || jobs[0].Pick != "accept-language: de\n" || jobs[1].Pick != "accept-language: fr\n" || jobs[0].Vary != "accept-language" || jobs[0].Site != "shop" {
			t.Errorf("queued: %+v", jobs)
		}
	})
}

// TestRewarmBeforeTheSweepEnds: what is hot need not wait for all that is not,
// and no more is queued than was asked for.
func TestRewarmBeforeTheSweepEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBringer(t)
		defer b.stop()
		b.n = 20
		var hot, rest []store.Key
		for i := range 10 {
			hot = append(hot, b.ask(store.Key(fmt.Sprintf("http://shop.example/hot/%d", i)), 100+i))
		}
		for i := range 2000 {
			rest = append(rest, b.ask(store.Key(fmt.Sprintf("http://shop.example/%d", i)), 1+i%7))
		}
		b.Fell(purged("p", 0), swept(append(slices.Clone(rest[:500]), hot...)...))
		time.Sleep(200 * time.Millisecond)
		first := b.take()
		if len(first) < 10 || len(first) > 20 || !strings.HasPrefix(first[0], "http://shop.example/hot/") {
			t.Errorf("after 200 ms: %d, %.200v", len(first), first)
		}
		for i := 500; i < 2000; i += 500 {
			time.Sleep(time.Second)
			b.Fell(purged("p", 0), swept(rest[i:i+500]...))
		}
		time.Sleep(time.Second)
		b.Over("p", 0)
		time.Sleep(time.Second)
		if later := b.take(); len(first)+len(later) != 20 {
			t.Errorf("then %d more: %.200v", len(later), later)
		}
		time.Sleep(time.Second)
		if len(b.done()) != 1 {
			t.Errorf("done: %v", b.done())
		}
	})
}

// TestRewarmIDUsedBefore: what an earlier purge of the same ID fetched again does
// not keep a later one from it.
func TestRewarmIDUsedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBringer(t)
		defer b.stop()
		key := b.ask("http://shop.example/", 3)
		for range 2 {
			b.Fell(purged("p", 0), swept(key))
			b.Over("p", 0)
			if got := b.take(); len(got) != 1 {
				t.Errorf("queued: %v", got)
			}
			time.Sleep(time.Second)
		}
		if len(b.done()) != 2 {
			t.Errorf("done: %v", b.done())
		}
	})
}

// Of a hundred thousand keys that fall a hundred times a second few are hot.
func TestRewarmAllocatesNothingForWhatIsNotHot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBringer(t)
		defer b.stop()
		var keys []store.Key
		for i := range 100 {
			keys = append(keys, b.ask(store.Key(fmt.Sprintf("http://shop.example/%d", i)), 1))
		}
		time.Sleep(time.Hour)
		fell := swept(keys...)
		if n := testing.AllocsPerRun(100, func() { b.Fell(purged("p", 0), fell) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}
