package redisstore

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// In a cluster every master has a breaker of its own, so that one that is dead
// costs what is in its slots and no more. The Store's own is then that of the
// purges' master. What touches several slots at once, as writes and purges do,
// counts for and against none of them.

// masters are the breakers of a cluster's masters.
type masters struct {
	mu sync.RWMutex // guards by
	by map[string]*master
}

type master struct {
	breaker
	key string // that it had, to ask it by
}

// reachOf is the breaker of who has a key; nil, in a cluster, for what is not
// about one.
func (s *Store) reachOf(ctx context.Context, key string) *breaker {
	c, ok := s.rdb.(*redis.ClusterClient)
	if !ok {
		return &s.reach
	}
	if key == "" {
		return nil
	}
	addr := masterOf(ctx, c, key, s.opt.Budget)
	if addr == "" {
		return nil
	}
	s.masters.mu.RLock()
	m := s.masters.by[addr]
	s.masters.mu.RUnlock()
	if m != nil {
		return &m.breaker
	}
	s.masters.mu.Lock()
	defer s.masters.mu.Unlock()
	if m = s.masters.by[addr]; m == nil {
		if s.masters.by == nil {
			s.masters.by = make(map[string]*master)
		}
		m = &master{key: key}
		m.init("the master at "+addr+" answers", s.log)
		s.masters.by[addr] = m
	}
	return &m.breaker
}

// masterOf is where the master is that has a key, as far as the client knows; ""
// if it knows of none.
func masterOf(ctx context.Context, c *redis.ClusterClient, key string, budget time.Duration) string {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	m, err := c.MasterForKey(ctx, key)
	if err != nil {
		return ""
	}
	return m.Options().Addr
}

// open are the masters that do not answer, by address.
func (ms *masters) open() map[string]*master {
	ms.mu.RLock()
	defer ms.mu.RUnlock()
	var out map[string]*master
	for addr, m := range ms.by {
		if m.breaker.open.Load() {
			if out == nil {
				out = make(map[string]*master)
			}
			out[addr] = m
		}
	}
	return out
}

func (ms *masters) drop(addr string) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	delete(ms.by, addr)
}

// probe asks Redis whether it answers while it did not, so that no request has
// to find out.
func (s *Store) probe(ctx context.Context) {
	tick := time.NewTicker(retryFirst)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.reach.open.Load() && s.reach.allow() {
			_ = s.try(ctx, "ping", s.opt.Budget, false, func(ctx context.Context) error { return s.ping(ctx, s.stateKey()) })
		}
		for addr, m := range s.masters.open() {
			s.probeMaster(ctx, addr, m)
		}
	}
}

// ping asks whoever has a key; where there is but one server, that.
func (s *Store) ping(ctx context.Context, key string) error {
	if _, cluster := s.rdb.(*redis.ClusterClient); cluster {
		return s.rdb.Exists(ctx, key).Err()
	}
	return s.rdb.Ping(ctx).Err()
}

func (s *Store) probeMaster(ctx context.Context, addr string, m *master) {
	c, ok := s.rdb.(*redis.ClusterClient)
	if !ok || !m.allow() {
		return
	}
	if now := masterOf(ctx, c, m.key, s.opt.Budget); now != "" && now != addr {
		s.masters.drop(addr)
		s.log.Info("redisstore: another master has what this one had", "master", addr, "now", now)
		return
	}
	_ = s.tryOn(ctx, &m.breaker, "ping", s.opt.Budget, false, func(ctx context.Context) error { return s.ping(ctx, m.key) })
}
