package memstore

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"surrogate/store"
)

// List implements store.Store. The cursor is the number of the last record:
// whatever comes and goes, what stays is met once. A page costs a look at each
// of the name's members, in batches.
func (s *Store) List(ctx context.Context, n store.Name, cursor string, limit int) ([]store.Entry, string, error) {
	after := uint64(0)
	if cursor != "" {
		var err error
		if after, err = strconv.ParseUint(cursor, 10, 32); err != nil {
			return nil, "", fmt.Errorf("memstore: %q is not a cursor of a list", cursor)
		}
	}
	limit = max(limit, 1)
	var page []store.Entry
	for {
		ids, err := s.lowest(ctx, n, uint32(after), limit-len(page)+1)
		if err != nil {
			return nil, "", err
		}
		w := s.walk(n)
		s.mu.Lock()
		if s.closed.Load() {
			s.mu.Unlock()
			return nil, "", store.ErrClosed
		}
		for i, id := range ids {
			if len(page) == limit {
				s.mu.Unlock()
				return page, strconv.FormatUint(uint64(ids[i-1]), 10), nil
			}
			after = uint64(id)
			if b := s.block(id); b != nil && w.carries(b) && !s.deadAlready(b) {
				e := b.entry()
				e.Head = e.Head.With(s.commons.text(b.common))
				page = append(page, e)
			}
		}
		s.mu.Unlock()
		if len(ids) == 0 {
			return page, "", nil
		}
		if len(page) == limit {
			return page, strconv.FormatUint(after, 10), nil
		}
	}
}

// lowest returns the lowest count numbers above after of records that may
// carry a name, in order.
func (s *Store) lowest(ctx context.Context, n store.Name, after uint32, count int) ([]uint32, error) {
	var best, ids []uint32
	cut := func() {
		slices.Sort(best)
		best = slices.Compact(best)
		best = best[:min(len(best), count)]
	}
	w := s.walk(n)
	if w.all {
		w.at = after // they come in order
	}
	for more := true; more && !(w.all && len(best) >= count); {
		if err := s.usable(ctx); err != nil {
			return nil, err
		}
		s.mu.Lock()
		if ids = ids[:0]; !s.closed.Load() {
			ids, more = w.next(ids, 4096)
		}
		s.mu.Unlock()
		for _, id := range ids {
			if id > after {
				best = append(best, id)
			}
		}
		if len(best) > 4096+2*count {
			cut()
		}
	}
	cut()
	return best, nil
}
