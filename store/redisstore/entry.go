package redisstore

import "context"

// data is the state of the data plane.
type data struct{}

func (d *data) init(s *Store) {}

// runData does the data plane's periodic work until ctx ends.
func (s *Store) runData(ctx context.Context) {}
