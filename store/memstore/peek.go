package memstore

import (
	"surrogate/store"
)

// Peek implements store.Peeker: it is Get without what takes time.
func (s *Store) Peek(key store.Key, ask store.Picker, f *store.Found) bool {
	if s.closed.Load() {
		return false
	}
	// As in Get, the ticket comes first.
	*f = store.Found{Ticket: s.book.Seq()}
	sh, _, hash := s.shardOf(string(key))
	var (
		vary string
		pick store.Pick
		ph   uint32
		r    *record
		body int
		rest []byte
	)
	sh.mu.RLock()
	for {
		id := sh.find(s, hash, string(key))
		if id == 0 {
			sh.mu.RUnlock()
			return false
		}
		r = s.recs.at(id)
		if f.Entry, body, rest = decode(r.blob.slice()); f.Entry.Vary == vary {
			break
		}
		vary = f.Entry.Vary
		sh.mu.RUnlock()
		var ok bool
		if pick, ok = ask.PickFor(vary); !ok {
			return false
		}
		ph = s.pickHash(pick)
		sh.mu.RLock()
	}
	if f.Entry.Pick != pick {
		if r = s.choose(r, pick, ph, ""); r == nil {
			sh.mu.RUnlock()
			return false
		}
		f.Entry, body, rest = decode(r.blob.slice())
	}
	hit := s.look(r, &f.Entry, f)
	big := r.big
	if hit && r.uses.Load() < maxUses {
		r.uses.Add(1)
	}
	sh.mu.RUnlock()
	if !hit || f.Doubt {
		return false
	}
	f.Hit, f.Vary = true, vary
	if big != nil {
		f.Entry.Body = *big
	} else {
		f.Entry.Body = rest[:body:body]
	}
	return true
}
