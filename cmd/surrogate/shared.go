package main

import (
	"context"
	"encoding/json"
	"time"

	"surrogate/store"
	"surrogate/warm"
)

const (
	shareEvery = time.Second
	// goneAfter is when a node that has said nothing no longer counts.
	goneAfter = 10 * shareEvery
)

// A nodeReport is what a node tells the others of itself.
type nodeReport struct {
	At     time.Time  `json:"at"`
	Total  siteReport `json:"total"`
	Purges uint64     `json:"purges"`
	// What keeps sites from being warmed there, by site.
	Waits map[string]warm.SiteWait `json:"waits,omitempty"`
	// What whoever keeps the leases knows of it; not told by itself.
	Heard store.Seq `json:"heard"` // the last purge it has heard
	Hears bool      `json:"hears"` // whether its lease is in force; a node without is deaf
}

// A fleetReport is what the nodes of a fleet come to together.
type fleetReport struct {
	Node  string                `json:"node"`
	Total siteReport            `json:"total"`
	Nodes map[string]nodeReport `json:"nodes"`
}

// share tells the other nodes every second what requests came to here, until
// ctx ends. While Redis does not answer they do without.
func (n *node) share(ctx context.Context) {
	tick := time.NewTicker(shareEvery)
	defer tick.Stop()
	for {
		if says, err := json.Marshal(n.ownReport()); err == nil { // numbers and a time
			_ = n.redis.Share(ctx, says) // the store says when Redis fails
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (n *node) ownReport() nodeReport {
	r := nodeReport{At: time.Now(), Purges: n.purger.Stats().Purges, Waits: n.warming.warmer.Waits()}
	for _, s := range n.proxy.Stats() {
		one := siteReportOf(&s)
		r.Total.add(&one)
	}
	return r
}

// fleetReport adds up what the nodes have told, and this one's present state;
// nil without a fleet, or while nobody can be asked.
func (n *node) fleetReport(ctx context.Context) *fleetReport {
	if n.fleet == nil {
		return nil
	}
	said, err := n.redis.Shared(ctx)
	if err != nil {
		return nil
	}
	out := &fleetReport{Node: n.fleet.Node(), Nodes: map[string]nodeReport{}}
	var gone []string
	for name, says := range said {
		var r nodeReport
		if json.Unmarshal([]byte(says), &r) != nil || time.Since(r.At) > goneAfter {
			gone = append(gone, name)
			continue
		}
		out.Nodes[name] = r
	}
	out.Nodes[out.Node] = n.ownReport()
	// What nobody knows a lease of is deaf.
	leases, err := n.fleet.Nodes(ctx)
	if err != nil {
		return nil
	}
	for name, r := range out.Nodes {
		out.Total.add(&r.Total)
		r.Hears = false
		for _, l := range leases {
			if l.Name == name {
				r.Heard, r.Hears = l.Heard, l.Leased
			}
		}
		out.Nodes[name] = r
	}
	_ = n.redis.Unshare(ctx, gone...) // the next who asks does it
	return out
}
