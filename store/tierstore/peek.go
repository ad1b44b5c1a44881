package tierstore

import (
	"time"

	"surrogate/store"
)

// Peek implements store.Peeker: what Get would answer from memory without
// looking below.
func (s *Store) Peek(key store.Key, ask store.Picker, f *store.Found) bool {
	hears := s.hears() // first: see the package comment
	if !hears || !s.mem.Peek(key, ask, f) || !isFresh(f, time.Now()) || s.doubt(f, hears) {
		return false
	}
	s.count.hits.Add(1)
	return true
}
