package memstore

import "sync/atomic"

const slabChunk = 1 << 8

// A slab hands out slots by number. A number is half a pointer, lists of
// numbers are invisible to the garbage collector, and growing copies nothing
// but a short directory. Number 0 is never handed out: it means none.
//
// take and free need the owner's lock. at does not: a slot never moves, and
// the directory is replaced, not written to.
type slab[T any] struct {
	dir   atomic.Pointer[[]*[slabChunk]T]
	_     [128]byte // who only reads has no part in what is written here
	fresh uint32    // the lowest number never handed out, less one
	freed []uint32  // numbers to hand out again
}

// at returns the slot with a number that was handed out.
func (s *slab[T]) at(id uint32) *T {
	return &(*s.dir.Load())[id/slabChunk][id%slabChunk]
}

// peek is at for those who cannot know that the number was handed out: nil if
// it was not, or has been dropped.
func (s *slab[T]) peek(id uint32) *T {
	dir := s.dir.Load()
	if dir == nil || int(id/slabChunk) >= len(*dir) {
		return nil
	}
	return &(*dir)[id/slabChunk][id%slabChunk]
}

// take hands out a slot that holds the zero T, or what free left in it.
func (s *slab[T]) take() uint32 {
	if n := len(s.freed); n > 0 {
		id := s.freed[n-1]
		s.freed = s.freed[:n-1]
		return id
	}
	s.fresh++
	if s.fresh == 1 || s.fresh%slabChunk == 0 {
		s.grow()
	}
	return s.fresh
}

func (s *slab[T]) grow() {
	var dir []*[slabChunk]T
	if p := s.dir.Load(); p != nil {
		dir = *p
	}
	// append may write behind the end of the directory that readers hold. No
	// reader looks past its own header's length.
	dir = append(dir, new([slabChunk]T))
	s.dir.Store(&dir)
}

// free takes a slot back. The caller has cleared what must not be kept alive.
func (s *slab[T]) free(id uint32) { s.freed = append(s.freed, id) }

// last is the highest number handed out so far.
func (s *slab[T]) last() uint32 { return s.fresh }

// drop forgets all slots.
func (s *slab[T]) drop() {
	s.dir.Store(nil)
	s.fresh, s.freed = 0, nil
}
