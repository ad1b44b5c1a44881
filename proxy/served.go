package proxy

import (
	"time"

	"surrogate/store"
)

// A Served says which entry a visitor's response was given from: for counting
// how often each is asked for. It comes by value and its strings may be part of
// the store's memory, so that telling costs the hit path no allocation; who
// keeps a string keeps a copy.
type Served struct {
	Key  store.Key
	Vary string     // as in Entry.Vary
	Pick store.Pick // the entry's own: a visitor that selected it by its Alt asked for this pick as well
	Born time.Time  // of the entry: tells two that follow each other under one pick apart
	At   time.Time  // when it was asked for
	Hit  bool       // it was there: the visitor did not wait for the origin
}

// serve tells that a visitor is given e.
func (p *Proxy) serve(e *store.Entry, at time.Time, hit bool) {
	if p.served != nil {
		p.served(Served{e.Key, e.Vary, e.Pick, e.Life.Born, at, hit})
	}
}
