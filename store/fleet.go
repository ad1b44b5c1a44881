package store

import (
	"context"
	"time"
)

// A Fleet is a Store that several nodes share. What a Store promises of Purge it
// keeps on the node that purged as soon as Purge returns; on all others once
// Await says so.
type Fleet interface {
	Store

	// Node is this node's name.
	Node() string

	// Nodes returns the nodes that hold a lease, or held one a moment ago.
	Nodes(ctx context.Context) ([]Node, error)

	// Await returns once every node that holds a lease has heard the purge at
	// seq, or ctx ends. It returns how far each has heard and whether all had
	// heard it; a node whose lease ended in the meantime does not count any more.
	Await(ctx context.Context, seq Seq) (heard map[string]Seq, complete bool, err error)

	// Hears reports whether this node knows of every purge that was confirmed
	// before now: its lease is in force. A node that does not hear is deaf; Get
	// then finds everything in doubt.
	Hears() bool

	// Claim makes this node the only one that fetches id, for at most ttl: one
	// fetch over the whole fleet. It returns a nil Claim, and a channel that is
	// closed when it is worth looking in the store again, if another node has it.
	// An error says that there is no agreement to be had; whoever asked fetches
	// for himself.
	Claim(ctx context.Context, id string, ttl time.Duration) (Claim, <-chan struct{}, error)
}

// A Claim is the right to fetch something for the fleet.
type Claim interface {
	// Release gives the claim up, once what was fetched is stored or the fetch
	// has failed, and wakes those who wait. It does nothing when the claim ran
	// out and is somebody else's by now.
	Release(ctx context.Context)
}

// A Node is one member of a fleet.
type Node struct {
	Name   string    `json:"name"`
	Heard  Seq       `json:"heard"`  // the last purge it has heard
	Leased bool      `json:"leased"` // whether it holds a lease, and purges wait for it
	Until  time.Time `json:"until"`  // when its lease ends, by the clock of whoever keeps it
}

// WantsBody is implemented by Fields whose Get can do without an entry's body:
// for a HEAD, or a condition that the head alone decides. A store may then leave
// Body out and say so in Found.Bodyless; Get again for all of it.
type WantsBody interface {
	WantsBody() bool
}
