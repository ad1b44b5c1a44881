package redisstore

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"surrogate/store"
	"surrogate/store/redisstore/redistest"
)

func TestOneOfTheFleetHasTheClaim(t *testing.T) {
	r := redistest.Start(t)
	nodes := trio(t, r.URL)
	for round := range 20 {
		var has atomic.Int32
		var owner store.Claim
		var over []<-chan struct{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				c, wait, err := nodes[i%3].Claim(t.Context(), "key", time.Minute)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err != nil:
					t.Error(err)
				case c != nil:
					has.Add(1)
					owner = c
				default:
					over = append(over, wait)
				}
			})
		}
		wg.Wait()
		if has.Load() != 1 || len(over) != 11 {
			t.Fatalf("round %d: %d have it, %d wait", round, has.Load(), len(over))
		}
		owner.Release(t.Context())
		for _, w := range over {
			select {
			case <-w:
			case <-time.After(5 * time.Second):
				t.Fatal("nobody woke one who waits")
			}
		}
	}
}

func TestAClaimEndsAndIsSomebodyElses(t *testing.T) {
	r := redistest.Start(t)
	nodes := trio(t, r.URL)
	first, _, err := nodes[0].Claim(t.Context(), "key", 50*time.Millisecond)
	if first == nil || err != nil {
		t.Fatal(err)
	}
	_, over, err := nodes[1].Claim(t.Context(), "key", time.Minute)
	if over == nil || err != nil {
		t.Fatal(err)
	}
	<-over // it ran out; nobody released it
	second, _, err := nodes[1].Claim(t.Context(), "key", time.Minute)
	if second == nil || err != nil {
		t.Fatal(err)
	}
	first.Release(t.Context())
	if c, _, err := nodes[2].Claim(t.Context(), "key", time.Minute); c != nil || err != nil {
		t.Errorf("the first owner released the second's claim: %v", err)
	}
}
