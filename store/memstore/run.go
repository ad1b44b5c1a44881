package memstore

import (
	"context"
	"time"
)

// Run implements store.Store: once a second it frees some of what has died of
// age, so that every record is looked at about once a minute.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if s.closed.Load() {
			return nil
		}
		s.age(ctx)
	}
}

// age does one second's share of the periodic work.
func (s *Store) age(ctx context.Context) {
	const batch = 256
	now := s.now()
	s.book.Trim(time.Unix(0, now))

	s.mu.Lock()
	last := s.recs.last()
	s.mu.Unlock()
	for share := max(last/64, 4*batch); share > 0 && ctx.Err() == nil; {
		n := min(share, batch)
		share -= n
		s.mu.Lock()
		s.expire(n, now)
		s.graph.expire(int(n), now)
		s.mu.Unlock()
	}
}

// expire frees what has died among the next n records. Store.mu is held.
func (s *Store) expire(n uint32, now int64) {
	for n = min(n, s.recs.last()); n > 0; n-- {
		if s.hand++; s.hand > s.recs.last() {
			s.hand = 1
		}
		if b := s.block(s.hand); b != nil && b.ends <= now {
			s.remove(s.hand)
			s.expired++
		}
	}
}
