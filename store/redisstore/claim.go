package redisstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
)

var releaseScript = joinScript("", "release")

const (
	maxWaits    = 10_000                 // claims of others that this node waits for
	pollClaims  = 100 * time.Millisecond // how often it looks whether they are gone
	pollBatch   = 256                    // how many at once
	maxAsks     = 3                      // how often a claim is asked for where one is woken at once
	pollsInVain = 5                      // after so many without an answer nobody waits any more
)

// claims are the claims of other nodes that somebody here waits for.
type claims struct {
	mu    sync.Mutex // guards what follows
	waits map[string]*wait
}

// A wait ends with its claim.
type wait struct {
	over  chan struct{}
	until time.Time // when the claim ends at the latest
}

func (c *claims) init() { c.waits = make(map[string]*wait) }

// wait returns what is closed when the claim under key is gone, nil where too
// many wait already.
func (c *claims) wait(key string, ttl time.Duration) *wait {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.waits[key]
	if w == nil {
		if len(c.waits) >= maxWaits {
			return nil
		}
		w = &wait{over: make(chan struct{})}
		c.waits[key] = w
	}
	if until := time.Now().Add(ttl); until.After(w.until) {
		w.until = until
	}
	return w
}

func (c *claims) wake(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.waits[key]; w != nil {
		delete(c.waits, key)
		close(w.over)
	}
}

// gone wakes those who wait with w. Whoever has begun to wait under its key since
// may wait for another claim.
func (c *claims) gone(key string, w *wait) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waits[key] == w {
		delete(c.waits, key)
		close(w.over)
	}
}

// some returns keys that are waited for, and wakes those whose time is over.
func (c *claims) some() (keys []string, waits []*wait) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for k, w := range c.waits {
		if now.After(w.until) {
			delete(c.waits, k)
			close(w.over)
		} else if len(keys) < pollBatch {
			keys, waits = append(keys, k), append(waits, w)
		}
	}
	return keys, waits
}

// isOver reports whether those who wait have been woken.
func (w *wait) isOver() bool {
	select {
	case <-w.over:
		return true
	default:
		return false
	}
}

// A claim is a store.Claim.
type claim struct {
	s           *Store
	key, token  string
	began, ends time.Time // from when until when, at the latest, it is this node's
}

// Claim implements store.Fleet. In Redis a claim stands for claimLease at a time,
// and is renewed until it is released or ttl is over.
func (s *Store) Claim(ctx context.Context, id string, ttl time.Duration) (store.Claim, <-chan struct{}, error) {
	inc := s.inc.Load()
	if inc == nil {
		return nil, nil, fmt.Errorf("redisstore: claim: %w", errNotReady)
	}
	sum := sha256.Sum256([]byte(id))
	// Who is woken before he has an answer knows nothing: the poll may have asked
	// before there was a claim at all. So he asks again.
	for try := 1; ; try++ {
		c, w, err := s.claim(ctx, inc, hex.EncodeToString(sum[:16]), ttl)
		switch {
		case err != nil:
			return nil, nil, err
		case c != nil:
			return c, nil, nil
		case !w.isOver() || try == maxAsks:
			return nil, w.over, nil
		}
	}
}

// claim asks for a claim once, and returns what to wait with if it is another's.
func (s *Store) claim(ctx context.Context, inc *incarnation, id string, ttl time.Duration) (*claim, *wait, error) {
	now := time.Now()
	c := &claim{s: s, key: inc.key("claim", id), token: strconv.FormatUint(rand.Uint64(), 36), began: now, ends: now.Add(ttl)}
	// It waits before it asks: a release in between would not be noticed.
	w := s.claims.wait(c.key, ttl)
	if w == nil {
		return nil, nil, fmt.Errorf("redisstore: claim: %w: too many wait", ErrUnavailable)
	}
	holder := ""
	err := s.guardAt(ctx, "claim", c.key, func(ctx context.Context) (err error) {
		// With GET, because a retry may find what the first attempt has set.
		holder, err = s.rdb.SetArgs(ctx, c.key, c.token, redis.SetArgs{Mode: "NX", Get: true, TTL: min(ttl, s.opt.claimLease)}).Result()
		return err
	})
	switch {
	case err != nil && !errors.Is(err, redis.Nil):
		return nil, nil, err
	case err == nil && holder != "" && holder != c.token:
		return nil, w, nil
	}
	s.own.add(c)
	return c, nil, nil
}

// Release implements store.Claim.
func (c *claim) Release(ctx context.Context) {
	c.s.own.drop(c)
	// If it fails the claim runs out.
	_ = c.s.guardPatient(ctx, "release", func(ctx context.Context) error {
		return releaseScript.Run(ctx, c.s.rdb, []string{c.key}, c.token, c.s.channel("claims"), c.key).Err()
	})
	c.s.claims.wake(c.key)
}

// listen takes what the other nodes say, until ctx ends. Nothing depends on
// hearing all of it: whoever waits also asks, now and then.
func (s *Store) listen(ctx context.Context) {
	sub := s.ctl.Subscribe(ctx, s.channel("acks"), s.channel("claims"), s.channel("warm"))
	defer func() { _ = sub.Close() }()
	said := sub.Channel(redis.WithChannelSize(1024))
	tick := time.NewTicker(pollClaims)
	defer tick.Stop()
	vain := 0
	for {
		select {
		case <-ctx.Done():
			return
		case m, ok := <-said:
			switch {
			case !ok:
				return
			case m.Channel == s.channel("acks"):
				s.acks.take(m.Payload)
			case m.Channel == s.channel("warm"):
				s.warmed.tell()
			default:
				s.claims.wake(m.Payload)
			}
		case <-tick.C:
			vain = s.pollClaims(ctx, vain)
		}
	}
}

// pollClaims wakes those whose claim has run out, or was released unheard. It is
// told how often it has asked in vain lately, and tells. Without Redis nobody
// learns what has become of a claim, and reads fail open: whoever waits fetches
// for himself. Not at the first failure, because a thousand clients at once make
// Redis late, and they are whom claims are for.
func (s *Store) pollClaims(ctx context.Context, vain int) int {
	keys, waits := s.claims.some()
	if len(keys) == 0 {
		return 0
	}
	gone := make([]*redis.IntCmd, len(keys))
	err := s.guard(ctx, "claims", func(ctx context.Context) error {
		_, err := s.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, k := range keys {
				gone[i] = p.Exists(ctx, k)
			}
			return nil
		})
		return err
	})
	if vain++; err == nil {
		vain = 0
	}
	for i, k := range keys {
		if err == nil && gone[i].Val() == 0 || vain >= pollsInVain {
			s.claims.gone(k, waits[i])
		}
	}
	return vain
}
