package redisstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// What was registered for warming by entity is a hash of the control plane: it
// stays until it is ended, for as long as Redis keeps its data.
func (s *Store) entitiesKey() string { return s.control("entities") } // hash: entity to what is registered for it

// SetEntity keeps what is registered for an entity, in place of what was before;
// nil ends it.
func (s *Store) SetEntity(ctx context.Context, entity string, says []byte) error {
	err := s.guard(ctx, "set entity", func(ctx context.Context) error {
		if says == nil {
			return s.rdb.HDel(ctx, s.entitiesKey(), entity).Err()
		}
		return s.rdb.HSet(ctx, s.entitiesKey(), entity, says).Err()
	})
	if err != nil {
		return fmt.Errorf("redisstore: set entity: %w", err)
	}
	return nil
}

// Entity returns what is registered for an entity; nil for nothing.
func (s *Store) Entity(ctx context.Context, entity string) ([]byte, error) {
	var says []byte
	err := s.guard(ctx, "entity", func(ctx context.Context) (err error) {
		says, err = s.rdb.HGet(ctx, s.entitiesKey(), entity).Bytes()
		if errors.Is(err, redis.Nil) {
			says, err = nil, nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("redisstore: entity: %w", err)
	}
	return says, nil
}

// Entities returns what is registered, by entity.
func (s *Store) Entities(ctx context.Context) (map[string]string, error) {
	var all map[string]string
	err := s.guard(ctx, "entities", func(ctx context.Context) (err error) {
		all, err = s.rdb.HGetAll(ctx, s.entitiesKey()).Result()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("redisstore: entities: %w", err)
	}
	return all, nil
}
