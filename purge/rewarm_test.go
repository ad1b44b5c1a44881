package purge_test

import (
	"sync"
	"testing"

	"surrogate/purge"
	"surrogate/store"
)

// TestRewarmed: whoever rewarms is told how much and when a purge is over, and
// the receipt tells when it was done.
func TestRewarmed(t *testing.T) {
	for _, c := range []struct {
		json         string
		event, shown int
	}{
		{`{"tags":["a"],"id":"x"}`, 0, 0},
		{`{"tags":["a"],"id":"x","rewarm":7}`, 7, 7},
		{`{"tags":["a"],"id":"x","rewarm":0}`, store.NoRewarm, 0},
	} {
		s := newStore(t)
		put(t, s, "http://shop/1", "a", "")
		put(t, s, "http://shop/2", "a", "")
		var p *purge.Purger
		var mu sync.Mutex
		var got []int
		over := make(chan string, 10)
		p = purge.New(purge.Options{
			Store: s,
			Swept: func(ev store.Event, keys []store.Swept) {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, ev.Rewarm, len(keys))
			},
			Over: func(id string) { over <- id },
		})
		if p.Mine("x") {
			t.Error("it claims what it has not purged")
		}
		req, err := purge.ParseRequest([]byte(c.json))
		if err != nil {
			t.Fatal(err)
		}
		r, err := p.Purge(t.Context(), req)
		if err != nil || r.State != purge.Fenced || r.Rewarm != c.shown || !p.Mine("x") {
			t.Errorf("%s: %+v, %v", c.json, r, err)
		}
		p.Rewarmed("x") // too early
		run(t, p)
		if id := <-over; id != "x" {
			t.Errorf("%q is over", id)
		}
		mu.Lock()
		if len(got) != 2 || got[0] != c.event || got[1] != 2 {
			t.Errorf("%s: handed on %v", c.json, got)
		}
		mu.Unlock()
		if r, _ := p.Receipt("x"); r.State != purge.Swept {
			t.Errorf("%+v", r)
		}
		p.Rewarming("x", "a run")
		p.Rewarmed("x")
		p.Rewarmed("unknown")
		if r, _ := p.Receipt("x"); r.State != purge.Rewarmed || r.WarmRun != "a run" || r.Entries != 2 {
			t.Errorf("%+v", r)
		}
	}
}

// TestExactStaysExact: what was fetched anew before the sweep fell all the same.
func TestExactStaysExact(t *testing.T) {
	s := newStore(t)
	put(t, s, "http://shop/1", "a", "")
	put(t, s, "http://shop/2", "a", "")
	over := make(chan string, 1)
	p := purge.New(purge.Options{Store: s, Over: func(id string) { over <- id }})
	r, err := p.PurgeTags(t.Context(), "a")
	if err != nil || !r.Exact || r.Entries != 2 {
		t.Fatalf("%+v: %v", r, err)
	}
	put(t, s, "http://shop/1", "a", "")
	run(t, p)
	if r, _ := p.Receipt(<-over); r.Entries != 2 || r.State != purge.Swept {
		t.Errorf("%+v", r)
	}
}
