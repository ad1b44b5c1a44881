package redisstore

import (
	"context"
	"errors"
)

var errChanged = errors.New("changed")

type follower struct{}

func (f *follower) init()    {}
func (f *follower) wakeAll() {}

type lease struct{}
type acks struct{}

func (f *acks) init() {}

type claims struct{}

func (f *claims) init() {}

func (s *Store) listen(ctx context.Context)       {}
func (s *Store) hold(ctx context.Context)         {}
func (s *Store) keep(ctx context.Context)         {}
func (s *Store) leave()                           {}
func (s *Store) follow(ctx context.Context) error { <-ctx.Done(); return nil }
