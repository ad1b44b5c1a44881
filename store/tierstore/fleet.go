package tierstore

import (
	"context"
	"time"

	"surrogate/store"
)

// A Fleet is a Store whose store below is shared by several nodes.
type Fleet struct {
	*Store
	fleet store.Fleet
}

// Node implements store.Fleet.
func (f *Fleet) Node() string { return f.fleet.Node() }

// Nodes implements store.Fleet.
func (f *Fleet) Nodes(ctx context.Context) ([]store.Node, error) { return f.fleet.Nodes(ctx) }

// Await implements store.Fleet.
func (f *Fleet) Await(ctx context.Context, seq store.Seq) (map[string]store.Seq, bool, error) {
	return f.fleet.Await(ctx, seq)
}

// Hears implements store.Fleet.
func (f *Fleet) Hears() bool { return f.fleet.Hears() }

// Claim implements store.Fleet. Whoever has waited in vain for a lookup below does
// not wait again for a claim.
func (f *Fleet) Claim(ctx context.Context, id string, ttl time.Duration) (store.Claim, <-chan struct{}, error) {
	if f.failing.Load() {
		return nil, nil, errFailing
	}
	return f.fleet.Claim(ctx, id, ttl)
}
