package proxy

import (
	"hash/maphash"
	"sync"
	"time"

	"surrogate/store"
)

// unshared remembers the keys whose answers turned out not to be kept, so that
// their next requests do not wait for each other ("hit-for-miss"). Any of those
// requests may still turn out to be storable, and then the key is forgotten. It
// holds so many keys at most; when a shard is full, it forgets some.
type unshared struct {
	seed   maphash.Seed
	shards [16]unsharedShard
}

type unsharedShard struct {
	mu    sync.Mutex // guards until
	until map[store.Key]time.Time
}

const unsharedPerShard = 4096

func newUnshared() *unshared { return &unshared{seed: maphash.MakeSeed()} }

func (u *unshared) shard(k store.Key) *unsharedShard {
	return &u.shards[maphash.String(u.seed, string(k))%uint64(len(u.shards))]
}

// has reports whether k is remembered.
func (u *unshared) has(k store.Key, now time.Time) bool {
	s := u.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.until[k]
	if ok && !now.Before(t) {
		delete(s.until, k)
		return false
	}
	return ok
}

// add remembers k until t.
func (u *unshared) add(k store.Key, t time.Time) {
	s := u.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil {
		s.until = make(map[store.Key]time.Time)
	}
	if len(s.until) >= unsharedPerShard {
		n := 0
		for old := range s.until { // in random order
			delete(s.until, old)
			if n++; n >= unsharedPerShard/8 {
				break
			}
		}
	}
	s.until[k] = t
}

// remove forgets k.
func (u *unshared) remove(k store.Key) {
	s := u.shard(k)
	s.mu.Lock()
	delete(s.until, k)
	s.mu.Unlock()
}
