package memstore

import (
	"context"
	"iter"
	"runtime"
	"time"

	"surrogate/store"
)

// A sweep holds Store.mu for a quantum at a time, and looks at the clock after
// each few records: what one costs depends on its names and its picks. Who sweeps
// rests in between, see store.Store.
//
// It makes no garbage that grows with what it finds. Collecting that is what hits
// would pay for: on one core the collector's own sweep is always runnable, and while
// something is, the scheduler does not ask the network poller.
const (
	quantum = 100 * time.Microsecond
	few     = 16
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

// A bitmap marks records by number, in pages that are there when one of theirs is
// marked. A number that is handed out again during the sweep goes to an entry younger
// than the purge, which is no concern of it.
type bitmap []*[64]uint64

func (b *bitmap) set(id uint32) {
	page := int(id / 4096)
	if more := page + 1 - len(*b); more > 0 {
		*b = append(*b, make(bitmap, more)...)
	}
	if (*b)[page] == nil {
		(*b)[page] = new([64]uint64)
	}
	(*b)[page][id/64%64] |= 1 << (id % 64)
}

func (b bitmap) has(id uint32) bool {
	page := int(id / 4096)
	return page < len(b) && b[page] != nil && b[page][id/64%64]&(1<<(id%64)) != 0
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
			for w, more := s.walk(n), true; more; {
				if err := s.usable(ctx); err != nil {
					yield(store.Swept{}, err)
					return
				}
				began := time.Now()
				more = sw.batch(w, began)
				for _, x := range sw.out {
					if !yield(x, nil) {
						return
					}
				}
				if len(sw.out) == 0 && more {
					time.Sleep(time.Since(began)) // nobody else can: nothing was yielded
				} else {
					runtime.Gosched() // those who wait for Store.mu come first
				}
			}
		}
	}
}

// batch looks at the next records of a walk, for a quantum.
func (sw *sweep) batch(w *walk, began time.Time) (more bool) {
	s := sw.s
	s.mu.Lock()
	defer s.mu.Unlock()
	sw.out = sw.out[:0]
	for more = true; more && !s.closed.Load(); {
		sw.ids, more = w.next(sw.ids[:0], few)
		for _, id := range sw.ids {
			// An earlier one's key may have taken this one with it.
			if b := s.block(id); b != nil && b.ticket < sw.ev.Seq && w.carries(b) {
				sw.key(id, b.key())
			}
		}
		if time.Since(began) >= quantum {
			break
		}
	}
	return more
}

// key deals with everything that fell under a key, so that the key comes
// once. A name of the purge led to the record found. The caller holds Store.mu.
func (sw *sweep) key(found uint32, key string) {
	s := sw.s
	x := store.Swept{Key: store.Key(key)}
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
