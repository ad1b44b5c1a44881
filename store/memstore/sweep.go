package memstore

import (
	"context"
	"iter"
	"runtime"
	"strings"
	"time"

	"surrogate/store"
)

// sweepBatch is how many records are looked at under one hold of Store.mu. After
// sweepRest batches the sweep sleeps for a moment: on one core a goroutine that
// only yields is always runnable, and while one is, the scheduler seldom asks
// the network poller, so that those who come meanwhile wait for up to 10 ms.
const (
	sweepBatch = 128
	sweepRest  = 8
	restTime   = 50 * time.Microsecond
)

// A sweep visits what one purge killed or made stale.
type sweep struct {
	s      *Store
	ev     store.Event
	names  map[store.Name]bool
	prefix []*walk
	done   bitmap // soft: records whose key has been yielded
	ids    []uint32
	out    []store.Swept
}

// A bitmap marks records by number. A number that is handed out again during
// the sweep goes to an entry younger than the purge, which is no concern of it.
type bitmap []uint64

func (b *bitmap) set(id uint32) {
	for int(id/64) >= len(*b) {
		*b = append(*b, 0)
	}
	(*b)[id/64] |= 1 << (id % 64)
}

func (b bitmap) has(id uint32) bool {
	return int(id/64) < len(b) && b[id/64]&(1<<(id%64)) != 0
}

// Sweep implements store.Store. What it goes by is the event, not the fences,
// which may have been dropped or raised again since.
func (s *Store) Sweep(ctx context.Context, ev store.Event) iter.Seq2[store.Swept, error] {
	return func(yield func(store.Swept, error) bool) {
		sw := sweep{s: s, ev: ev, names: map[store.Name]bool{store.CatchAllName: true}}
		for _, n := range ev.Names {
			sw.names[n] = true
			if _, ok := n.Prefix(); ok {
				sw.prefix = append(sw.prefix, s.walk(n))
			}
		}
		for n := range sw.names {
			for w, more, batches := s.walk(n), true, 1; more; batches++ {
				if err := s.usable(ctx); err != nil {
					yield(store.Swept{}, err)
					return
				}
				more = sw.batch(w)
				for _, x := range sw.out {
					if !yield(x, nil) {
						return
					}
				}
				if runtime.Gosched(); more && batches%sweepRest == 0 { // those who wait for Store.mu come first
					time.Sleep(restTime)
				}
			}
		}
	}
}

// batch looks at the next few records of a walk.
func (sw *sweep) batch(w *walk) (more bool) {
	s := sw.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return false
	}
	sw.out = sw.out[:0]
	sw.ids, more = w.next(sw.ids[:0], sweepBatch)
	for _, id := range sw.ids {
		// An earlier one's key may have taken this one with it.
		if b := s.block(id); b != nil && b.ticket < sw.ev.Seq && w.carries(b) {
			sw.key(id, b.key())
		}
	}
	return more
}

// key deals with everything that fell under a key, so that the key comes
// once. A name of the purge led to the record found. The caller holds Store.mu.
func (sw *sweep) key(found uint32, key string) {
	s := sw.s
	x := store.Swept{Key: store.Key(strings.Clone(key))} // of its own: the block is let go of
	for id := s.first(string(x.Key)); id != 0; {
		b := s.block(id)
		next := b.next.Load()
		if b.ticket < sw.ev.Seq && !sw.done.has(id) && (id == found || sw.covers(b)) {
			if sw.ev.Soft {
				sw.done.set(id)
			}
			if sw.ev.Soft && s.deadAlready(b) {
				id = next
				continue
			}
			x.Entries++
			x.Bytes += b.held()
			if !sw.ev.Soft {
				if r := s.recs.at(id); r.uses.Load() > 0 || r.where == main {
					s.ghosts.add(uint32(b.shard), b.hash, s.count) // when it is fetched again it is not new
				}
				s.remove(id)
				s.swept++
			}
		}
		id = next
	}
	if x.Entries > 0 {
		sw.out = append(sw.out, x)
	}
}

// covers reports whether the event's names cover the entry.
func (sw *sweep) covers(b *block) bool {
	if sw.names[store.AllName] {
		return true
	}
	e := b.entry()
	for n := range e.Names() {
		if sw.names[n] {
			return true
		}
	}
	for _, w := range sw.prefix {
		if w.carries(b) {
			return true
		}
	}
	return false
}

// deadAlready reports whether an entry is past its end or fell hard.
func (s *Store) deadAlready(b *block) bool {
	e := b.entry()
	f := store.Found{Ticket: s.book.Seq()}
	return !s.look(b, &e, &f)
}
