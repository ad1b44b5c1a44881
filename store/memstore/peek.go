package memstore

import (
	"time"

	"surrogate/store"
)

// Peek implements store.Peeker: it is Get without what takes time.
func (s *Store) Peek(key store.Key, ask store.Picker, f *store.Found) bool {
	if s.closed.Load() {
		return false
	}
	// As in Get, the ticket comes first.
	ticket := s.book.Seq()
	sh, _, hash := s.shardOf(string(key))
	var w want
	var x sight
	for {
		s.seek(sh, hash, string(key), &w, &x, &f.Entry)
		if x.block == nil || f.Entry.Vary == w.vary {
			break
		}
		w.vary = f.Entry.Vary
		var ok bool
		if w.pick, ok = ask.PickFor(w.vary); !ok {
			return false
		}
		w.hash = s.pickHash(w.pick)
	}
	f.Ticket, f.Fell = ticket, time.Time{}
	if x.block == nil || !s.look(x.block, &f.Entry, f) || f.Doubt {
		return false
	}
	f.Hit, f.Vary, f.Bodyless, f.Entry.Body = true, w.vary, false, x.content()
	return true
}
