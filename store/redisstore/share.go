package redisstore

import (
	"context"
	"fmt"
)

func (s *Store) sharedKey() string { return s.control("shared") } // hash: node to what it said last

// Share lets the other nodes know what this one has to say about itself, in
// place of what it said before.
func (s *Store) Share(ctx context.Context, says []byte) error {
	err := s.guard(ctx, "share", func(ctx context.Context) error {
		return s.rdb.HSet(ctx, s.sharedKey(), s.opt.Node, says).Err()
	})
	if err != nil {
		return fmt.Errorf("redisstore: share: %w", err)
	}
	return nil
}

// Shared returns what each node said last.
func (s *Store) Shared(ctx context.Context) (map[string]string, error) {
	var said map[string]string
	err := s.guard(ctx, "shared", func(ctx context.Context) (err error) {
		said, err = s.rdb.HGetAll(ctx, s.sharedKey()).Result()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("redisstore: shared: %w", err)
	}
	return said, nil
}

// Unshare forgets what nodes have said that are no more.
func (s *Store) Unshare(ctx context.Context, nodes ...string) error {
	if len(nodes) == 0 {
		return nil
	}
	err := s.guard(ctx, "unshare", func(ctx context.Context) error {
		return s.rdb.HDel(ctx, s.sharedKey(), nodes...).Err()
	})
	if err != nil {
		return fmt.Errorf("redisstore: unshare: %w", err)
	}
	return nil
}
