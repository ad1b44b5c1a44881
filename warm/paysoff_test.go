package warm_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/purge"
)

// TestTheShopComesBack: a product, its category and the homepage fall together,
// and the first visitor of each gets a hit, of what they are now.
func TestTheShopComesBack(t *testing.T) {
	for _, soft := range []bool{false, true} {
		t.Run(fmt.Sprintf("soft=%t", soft), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := openShop(t, 100, 8, 16)
				defer s.stop()
				pages := []string{"/products/100", "/categories/shoes", "/"}
				for range 3 {
					for _, path := range append(pages, "/products/7") {
						s.visit(path)
					}
				}
				s.edit()
				r, err := s.purger.Purge(context.Background(), purge.Request{Tags: []string{"product:100"}, Soft: soft})
				if err != nil || r.Entries != 3 {
					t.Fatalf("%+v: %v", r, err)
				}
				r = s.rewarmed(r.ID)
				if r.WarmRun != "rewarm-"+r.ID {
					t.Errorf("%+v", r)
				}
				for _, path := range pages {
					if body, cache, took := s.visit(path); body != "version 2" || !strings.HasPrefix(cache, "surrogate; hit") || took > 0 {
						t.Errorf("%s: %q, %s, after %v", path, body, cache, took)
					}
				}
				if s.fetches != 4+3 {
					t.Errorf("%d fetches: what did not fall was fetched, or what did twice", s.fetches)
				}
				if got := s.marks.Tally(); got.Used != 3 || got.Waiting != 0 {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

// A rush is what visitors of a shop see in the ten seconds after a category with
// 500 of its 2,500 products was purged.
type rush struct {
	visitors int
	waited   int             // for the origin, to see what others had seen before
	later    int             // of them after the first second
	misses   []time.Duration // how long visitors' own fetches took, in line included
	fetches  int
	warming  int // fetches for warming at once, at most
}

func (r *rush) share() float64 { return 100 * float64(r.waited) / float64(r.visitors) }

// rushOf has perSecond visitors come steadily, who ask for products by Zipf's
// law, one in twenty for a page that nobody has asked for before.
func rushOf(t testing.TB, rewarm, concurrency, workers, perSecond int) (out rush) {
	s := openShop(t, rewarm, concurrency, workers)
	defer s.stop()
	r := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(r, 1.1, 3, 2499)
	shuffled := r.Perm(2500) // what is popular is of any category
	never := 0
	page := func() string {
		if r.IntN(20) == 0 {
			never++
			return fmt.Sprintf("/articles/%d", never)
		}
		return fmt.Sprintf("/products/%d", shuffled[zipf.Uint64()])
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var purged time.Time
	come := func(d time.Duration, count bool) {
		for until := time.Now().Add(d); time.Now().Before(until); time.Sleep(time.Second / time.Duration(perSecond)) {
			path := page()
			began := time.Now()
			all.Go(func() {
				_, _, took := s.visit(path)
				if count {
					mu.Lock()
					defer mu.Unlock()
					out.visitors++
					if took > 0 && !strings.HasPrefix(path, "/articles/") {
						out.waited++
						if began.Sub(purged) > time.Second {
							out.later++
						}
					}
				}
			})
		}
	}
	for i := range 2500 {
		all.Go(func() { s.visit(fmt.Sprintf("/products/%d", i)) })
		time.Sleep(20 * time.Millisecond)
	}
	come(3*time.Minute, false)
	s.edit()
	s.mu.Lock()
	s.fetches, s.took, s.peak = 0, nil, map[bool]int{}
	s.mu.Unlock()
	if rc, err := s.purger.PurgeTags(context.Background(), "category:shoes"); err != nil || rc.Entries != 500 {
		t.Fatalf("%+v: %v", rc, err)
	}
	purged = time.Now()
	come(10*time.Second, true)
	all.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	out.misses, out.fetches, out.warming = s.took, s.fetches, s.peak[true]
	return out
}

const rushConcurrency = 8

// rushes returns a rush without rewarming and one with it.
func rushes(t *testing.T, perSecond, workers int) (without, with rush) {
	synctest.Test(t, func(t *testing.T) { without = rushOf(t, 0, rushConcurrency, workers, perSecond) })
	synctest.Test(t, func(t *testing.T) { with = rushOf(t, 500, rushConcurrency, workers, perSecond) })
	return without, with
}

// TestRewarmingPaysOff: with rewarming fewer visitors wait, the origin never has
// more fetches for warming than was configured, and those that visitors make take
// not a tenth longer, even where it can do no more at once than that. Run it with
// -v to see by how much.
func TestRewarmingPaysOff(t *testing.T) {
	cases := []struct{ perSecond, workers int }{{100, 64}, {100, 10}, {100, 8}}
	if testing.Short() {
		cases = cases[2:]
	}
	for _, c := range cases {
		without, with := rushes(t, c.perSecond, c.workers)
		t.Logf("%d visitors a second, %d workers: %.1f %% of visitors wait for the origin, %.1f %% with rewarming; after the first second %d and %d of them; fetches %d and %d, for warming at most %d at once; visitors' own fetches take %v and %v on the average, p95 %v and %v",
			c.perSecond, c.workers, without.share(), with.share(), without.later, with.later, without.fetches, with.fetches, with.warming,
			mean(without.misses), mean(with.misses), quantile(without.misses, 0.95), quantile(with.misses, 0.95))
		if with.share() > 0.7*without.share() {
			t.Errorf("%.1f %% instead of %.1f %%", with.share(), without.share())
		}
		if with.warming > rushConcurrency {
			t.Errorf("%d fetches for warming at once, %d configured", with.warming, rushConcurrency)
		}
		if a, b := mean(without.misses), mean(with.misses); float64(b) > 1.1*float64(a) {
			t.Errorf("visitors' own fetches took %v, and %v with rewarming", a, b)
		}
	}
}
