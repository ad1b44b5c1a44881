package redisstore

import (
	"context"
	"sync"
	"time"
)

// claimLease is how long a claim stands in Redis without being renewed: so long
// does a node that dies hold the others up with what it was fetching.
const claimLease = 2 * time.Second

// ownClaims are this node's own claims.
type ownClaims struct {
	mu     sync.Mutex // guards claims
	claims map[string]*claim
}

func (h *ownClaims) init() { h.claims = make(map[string]*claim) }

func (h *ownClaims) add(c *claim) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.claims[c.key] = c
}

// drop forgets a claim, unless its key is under another by now.
func (h *ownClaims) drop(c *claim) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.claims[c.key] == c {
		delete(h.claims, c.key)
	}
}

// due returns the claims to renew at a time, each with how long it is to go on,
// and forgets those that are not to. Most fetches have ended before their claims
// are due.
func (h *ownClaims) due(now time.Time, lease time.Duration) (claims []*claim, left []time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, c := range h.claims {
		switch rest := c.ends.Sub(now); {
		case rest <= 0:
			delete(h.claims, key)
		case now.Sub(c.began) >= lease/4:
			claims, left = append(claims, c), append(left, min(rest, lease))
		}
	}
	return claims, left
}

// renew renews this node's claims until ctx ends. Those that it cannot renew in
// time run out, and what they are for is fetched by others too.
func (s *Store) renew(ctx context.Context) {
	tick := time.NewTicker(s.opt.claimLease / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.renewAll(ctx, now)
		}
	}
}

func (s *Store) renewAll(ctx context.Context, now time.Time) {
	claims, left := s.own.due(now, s.opt.claimLease)
	calls := make([]call, len(claims))
	for i, c := range claims {
		calls[i] = call{script: renewScript, keys: []string{c.key}, args: []any{c.token, left[i].Milliseconds()}}
	}
	if err := s.guard(ctx, "renew", func(ctx context.Context) error { return s.eval(ctx, calls) }); err != nil {
		return // until the next time
	}
	for i, c := range claims {
		if n, err := calls[i].cmd.Int(); err == nil && n == 0 {
			s.own.drop(c) // it ran out
		}
	}
}
