package redisstore

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
)

// orders reads the versions at some places.
func (s *Store) orders(ctx context.Context, inc *incarnation, at []place) ([][]version, error) {
	cmds := make([]*redis.StringCmd, len(at))
	err := s.guardPatient(ctx, "look", func(ctx context.Context) error {
		return s.pipe(ctx, func(p redis.Pipeliner) {
			for i := range at {
				cmds[i] = p.HGet(ctx, inc.entries(at[i]), "o")
			}
		})
	})
	if err != nil {
		return nil, err
	}
	out := make([][]version, len(at))
	for i, c := range cmds {
		out[i] = versions(c.Val())
	}
	return out, nil
}

func sortMembers(ms []met) {
	slices.SortFunc(ms, func(a, b met) int { return bytes.Compare(a.append(nil), b.append(nil)) })
}

// Count implements store.Store. It costs one look at each set of the name: one,
// or as many as a host has buckets.
func (s *Store) Count(ctx context.Context, n store.Name) (store.Count, error) {
	inc, err := s.ready(ctx)
	if err != nil {
		return store.Count{}, err
	}
	var c store.Count
	if url, ok := n.URL(); ok {
		key := idOf(url)
		orders, err := s.orders(ctx, inc, []place{{key, schemes[0]}, {key, schemes[1]}})
		if err != nil {
			return store.Count{}, wrap("count", err)
		}
		now := time.Now()
		for _, o := range orders {
			for _, v := range o {
				if !v.dead(now) {
					c.Entries++
					c.Bytes += v.held
				}
			}
		}
	}
	sets := inc.sets(n)
	cards := make([]*redis.IntCmd, len(sets))
	sums := make([]*redis.FloatCmd, len(sets))
	err = s.guardPatient(ctx, "count", func(ctx context.Context) error {
		return s.pipe(ctx, func(p redis.Pipeliner) {
			for i, set := range sets {
				cards[i] = p.ZCard(ctx, set)
			}
			for i, set := range sets {
				sums[i] = p.ZScore(ctx, set, "")
			}
		})
	})
	if err != nil {
		return store.Count{}, err
	}
	for i := range sets {
		if card := int(cards[i].Val()); card > 0 {
			c.Entries += card - 1
			c.Bytes -= int64(sums[i].Val())
		}
	}
	return c, nil
}

// Stats implements store.Store. Entries and Bytes are the fleet's, what was
// refused and swept is this node's. Redis bounds what it holds by itself, so
// there is no Capacity.
func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	c, err := s.Count(ctx, store.AllName)
	if err != nil {
		return store.Stats{}, err
	}
	st := store.Stats{
		Entries:    c.Entries,
		Bytes:      c.Bytes,
		Seq:        s.heard(),
		Floor:      s.book.Floor(),
		Fences:     s.book.Len(),
		FenceBytes: s.book.Bytes(),
		Refused:    s.data.refused.Load(),
		Swept:      s.data.swept.Load(),
	}
	st.Names = st.Fences // how many names are carried nobody counts
	if st.Edges, err = s.edges(ctx); err != nil {
		return store.Stats{}, err
	}
	return st, nil
}
