package redisstore

import "surrogate/store/fences"

// Book is what this node judges tickets by: all the fences it has heard of. A
// memory tier in front judges by it too.
func (s *Store) Book() *fences.Book { return s.book }

// Reachable reports whether Redis answered when it was last asked.
func (s *Store) Reachable() bool { return s.reach.fine() }

// Joined reports whether the node has ever been part of the fleet since its
// start.
func (s *Store) Joined() bool { return s.inc.Load() != nil }
