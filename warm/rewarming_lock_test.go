package warm

import (
	"fmt"
	"testing"
	"time"

	"surrogate/store"
)

// TestASweepDoesNotWaitForTheHottest: to look for what is surely among them takes
// long where much is known, and who brings in what fell need not wait for it.
func TestASweepDoesNotWaitForTheHottest(t *testing.T) {
	const n = 100_000
	h := NewHeat(HeatOptions{Keys: n, Bytes: 256 << 20})
	now := time.Now()
	for range 10 {
		h.Asked("http://shop.example/hot", "", "", now)
	}
	for i := range n {
		h.Asked(store.Key(fmt.Sprintf("http://shop.example/%d", i)), "", "", now)
	}
	began := time.Now()
	h.Top(1000, now)
	looking := time.Since(began)
	r := NewRewarmer(RewarmOptions{Queue: NewMemQueue(MemQueueOptions{}), Heat: h, Site: func(store.Key) (string, int, bool) { return "shop", 1000, true }})
	r.Fell(store.Event{Purge: store.Purge{ID: "p"}}, []store.Swept{{Key: "http://shop.example/hot"}})
	due := make(chan bool)
	go func() { due <- r.due(r.purges["p"], now.Add(time.Second)) }()
	var longest time.Duration
	for {
		for since := time.Now(); !r.mu.TryLock(); longest = max(longest, time.Since(since)) {
		}
		r.mu.Unlock()
		select {
		case <-due:
			if longest > looking/2 {
				t.Errorf("the lock was held for %v, and to look for the hottest takes %v", longest, looking)
			}
			return
		default:
		}
	}
}
