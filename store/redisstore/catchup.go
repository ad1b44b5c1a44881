package redisstore

import (
	"context"

	"surrogate/store"
)

// catchUp returns once this node has heard every purge that was in Redis when
// it was called. What was written before the call was thus written before any
// purge that this node does not know of.
func (s *Store) catchUp(ctx context.Context, inc *incarnation) error {
	var seq store.Seq
	err := s.guardPatient(ctx, "catch up", func(ctx context.Context) error {
		state, err := s.rdb.HMGet(ctx, s.stateKey(), "inc", "seq").Result()
		if err != nil {
			return err
		}
		if now, _ := state[0].(string); now != inc.id {
			return errChanged
		}
		text, _ := state[1].(string)
		seq = seqOf(text)
		return nil
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*s.opt.Budget)
	defer cancel()
	for {
		news := s.follower.changes()
		switch {
		case s.inc.Load() != inc:
			return errChanged
		case s.heard() >= seq:
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		case <-s.done:
			return store.ErrClosed
		}
	}
}
