package proxy

import (
	"crypto/sha256"
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
	until map[store.Key]unkept
}

// An unkept is what is remembered of an answer that was not kept.
type unkept struct {
	at, until time.Time
	why       Reason
	status    int // 0 if nobody has noted it
}

const unsharedPerShard = 4096

func newUnshared() *unshared { return &unshared{seed: maphash.MakeSeed()} }

// short is what stands for a key: a long one's digest, so that nobody fills the
// memory with long URLs. Two keys that share one make a page wait for nothing.
func short(k store.Key) store.Key {
	if len(k) <= 256 {
		return k
	}
	sum := sha256.Sum256([]byte(k))
	return store.Key(sum[:])
}

func (u *unshared) shard(k store.Key) *unsharedShard {
	return &u.shards[maphash.String(u.seed, string(k))%uint64(len(u.shards))]
}

// has reports whether k is remembered.
func (u *unshared) has(k store.Key, now time.Time) bool {
	k = short(k)
	s := u.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.until[k]
	if ok && !now.Before(t.until) {
		delete(s.until, k)
		return false
	}
	return ok
}

// get returns what is remembered of k.
func (u *unshared) get(k store.Key) (unkept, bool) {
	k = short(k)
	s := u.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.until[k]
	return t, ok
}

// add remembers from now on, for so long, that and why k was not kept.
func (u *unshared) add(k store.Key, why Reason, now time.Time, d time.Duration) {
	k = short(k)
	s := u.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil {
		s.until = make(map[store.Key]unkept)
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
	s.until[k] = unkept{at: now, until: now.Add(d), why: why}
}

// note notes with what status the answer came that was not kept.
func (u *unshared) note(k store.Key, status int) {
	k = short(k)
	s := u.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.until[k]; ok {
		t.status = status
		s.until[k] = t
	}
}

// remove forgets k.
func (u *unshared) remove(k store.Key) {
	k = short(k)
	s := u.shard(k)
	s.mu.Lock()
	delete(s.until, k)
	s.mu.Unlock()
}

// NotKept returns why the last answer for k was not stored, and when that was,
// as far as it is remembered.
func (p *Proxy) NotKept(k store.Key) (why string, at time.Time, ok bool) {
	u, ok := p.unshared.get(k)
	return u.why.String(), u.at, ok
}
