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

// While its node lives a claim is renewed; when that dies, nobody waits for the
// whole of its time.
func TestAClaimEndsWithItsNode(t *testing.T) {
	r := redistest.Start(t)
	const lease = 200 * time.Millisecond
	opt := Options{Redis: Redis{URL: r.URL}, MaxDeaf: deaf, claimLease: lease}
	owner, die := launch(t, opt)
	other := start(t, opt)
	waitFor(t, "the owner hears", owner.Hears)
	c, _, err := owner.Claim(t.Context(), "key", time.Minute)
	if c == nil || err != nil {
		t.Fatal(err)
	}
	_, over, err := other.Claim(t.Context(), "key", time.Minute)
	if over == nil || err != nil {
		t.Fatal(err)
	}
	select {
	case <-over:
		t.Fatal("the claim of a node that lives ran out")
	case <-time.After(5 * lease): // no renewal can come unnoticed: many are due by then
	}
	began := time.Now()
	die()
	<-over
	if took := time.Since(began); took > lease+5*pollClaims+time.Second {
		t.Errorf("a dead node's claim stood for %v", took)
	}
	if c, _, err := other.Claim(t.Context(), "key", time.Minute); c == nil || err != nil {
		t.Errorf("it cannot be had: %v", err)
	}
}

func TestAClaimIsNotRenewedBeyondItsTime(t *testing.T) {
	h := ownClaims{}
	h.init()
	now := time.Now()
	const lease = 2 * time.Second
	c := &claim{key: "k", began: now, ends: now.Add(3 * time.Second)}
	h.add(c)
	for _, at := range []struct {
		after, goesOn time.Duration // 0: not renewed
	}{
		{100 * time.Millisecond, 0},
		{500 * time.Millisecond, lease},
		{2500 * time.Millisecond, 500 * time.Millisecond},
		{3 * time.Second, 0},
	} {
		claims, left := h.due(now.Add(at.after), lease)
		switch {
		case at.goesOn == 0 && len(claims) > 0, at.goesOn > 0 && (len(claims) != 1 || left[0] != at.goesOn):
			t.Errorf("after %v: %v", at.after, left)
		}
	}
	if len(h.claims) > 0 {
		t.Error("a claim whose time is over is kept")
	}
	h.add(c)
	h.drop(&claim{key: "k"})
	if len(h.claims) != 1 {
		t.Error("an earlier owner took the claim along")
	}
}

// What the poll has found out before somebody began to wait is not about the
// claim that he waits for.
func TestAnOldPollWakesNobodyNew(t *testing.T) {
	var c claims
	c.init()
	first := c.wait("k", time.Minute)
	keys, waits := c.some()
	c.wake("k")
	second := c.wait("k", time.Minute)
	c.gone(keys[0], waits[0])
	if !first.isOver() || second.isOver() {
		t.Errorf("over: the first %v, the second %v; want true and false", first.isOver(), second.isOver())
	}
	keys, waits = c.some()
	c.gone(keys[0], waits[0])
	if !second.isOver() {
		t.Error("the second is not woken by a poll of its own")
	}
}
