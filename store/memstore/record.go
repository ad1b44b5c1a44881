package memstore

import (
	"sync"
	"sync/atomic"

	"surrogate/store"
)

// A record is the place of an entry: what stays when the same page is fetched
// again. It is known by its number in the slab.
type record struct {
	// block is the entry, nil while the record is free. It changes with both
	// Store.mu and the shard's lock held; who holds neither loads it once.
	block atomic.Pointer[block]

	// The queue it waits in for its eviction; under Store.mu alone, but for
	// uses, which Get counts up to maxUses.
	prev, after uint32
	uses        atomic.Uint32
	where       queueName
}

// size is what the record costs with its entry.
func (r *record) size() int64 { return r.block.Load().size() }

// block is the entry of a record that is in use.
func (s *Store) block(id uint32) *block { return s.recs.at(id).block.Load() }

// A shard finds the records of its share of the keys. Those who read it take
// no lock and write nothing that others read: they look at version before and
// after, and what they found is how things were if it is even and the same. Only
// where changes come too fast for that they take the lock.
type shard struct {
	mu      sync.Mutex    // held for every change, after Store.mu
	version atomic.Uint64 // odd while something changes
	keys    table         // the newest record under each key
	_       [128]byte     // the next shard has its own cache lines
}

// change begins a change of the shard, of its records' blocks and their next.
// The caller holds Store.mu; done ends it.
func (sh *shard) change() {
	sh.mu.Lock()
	sh.version.Add(1)
}

func (sh *shard) done() {
	sh.version.Add(1)
	sh.mu.Unlock()
}

// find returns the newest record under a key, 0 when there is none. Where it is
// called without Store.mu, the answer may be anything unless version says otherwise.
func (sh *shard) find(s *Store, hash uint32, key string) uint32 {
	return sh.keys.find(hash, func(id uint32) bool {
		b := s.peek(id)
		return b != nil && b.key() == key
	})
}

// peek is the entry of a record, nil if it is free. It takes any number.
func (s *Store) peek(id uint32) *block {
	r := s.recs.peek(id)
	if r == nil {
		return nil
	}
	return r.block.Load()
}

// unchain takes a record out of the list of its key. The shard is changing.
func (sh *shard) unchain(s *Store, id uint32, b *block) {
	head := sh.find(s, b.hash, b.key())
	next := b.next.Load()
	switch {
	case head != id:
		p := s.block(head)
		for p.next.Load() != id {
			p = s.block(p.next.Load())
		}
		p.next.Store(next)
	case next != 0:
		sh.keys.replace(b.hash, id, next)
	default:
		sh.keys.remove(b.hash, id)
	}
}

// tries is how often a reader tries before it waits for the shard's lock.
const tries = 4

// A want is what a request asks a key for.
type want struct {
	vary string
	pick store.Pick
	hash uint32 // of the pick
	alt  store.Pick
}

// A sight is what was seen under a key.
type sight struct {
	rec   *record
	block *block // nil when nothing is there
	body  int    // the body's length
	rest  []byte // what the body begins, unless it is big
}

// seek finds what a key has for w, and makes e the entry without its body. If the
// key is known by another Vary than w's, that is the newest of the key's entries.
func (s *Store) seek(sh *shard, hash uint32, key string, w *want, x *sight, e *store.Entry) {
	for range tries {
		v := sh.version.Load()
		if v%2 != 0 {
			continue
		}
		s.choose(sh, hash, key, w, x, e)
		if sh.version.Load() == v {
			return
		}
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.choose(sh, hash, key, w, x, e)
}

// choose finds the entry with w's pick, or else the newest with the alternative.
func (s *Store) choose(sh *shard, hash uint32, key string, w *want, x *sight, e *store.Entry) {
	id := sh.find(s, hash, key)
	if !x.see(s, id, e) || e.Vary != w.vary || e.Pick == w.pick {
		return
	}
	second := uint32(0)
	// While things change the list may lead anywhere, round in a circle too.
	for n := s.opt.MaxPicks; id != 0 && n > 0; n-- {
		b := s.peek(id)
		switch {
		case b == nil:
			x.see(s, 0, e)
			return
		case b.pick == w.hash && b.entry().Pick == w.pick:
			x.see(s, id, e)
			return
		case second == 0 && w.alt != "" && b.entry().Alt == w.alt:
			second = id
		}
		id = b.next.Load()
	}
	x.see(s, second, e)
}

// see makes x and e what a record holds, if it holds anything.
func (x *sight) see(s *Store, id uint32, e *store.Entry) bool {
	x.block = nil
	if id != 0 {
		if x.rec = s.recs.peek(id); x.rec != nil {
			x.block = x.rec.block.Load()
		}
	}
	if x.block == nil {
		*e = store.Entry{}
		return false
	}
	x.body, _, x.rest = x.block.decode(e)
	if x.block.common != 0 {
		e.Head = e.Head.With(s.commons.text(x.block.common))
	}
	return true
}

// content is the body of what was seen. It counts as a use.
func (x *sight) content() []byte {
	if x.rec.uses.Load() < maxUses {
		x.rec.uses.Add(1)
	}
	if big := x.block.big(); big != nil {
		return big.body
	}
	return x.rest[:x.body:x.body]
}
