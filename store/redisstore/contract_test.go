package redisstore

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"surrogate/store"
	"surrogate/store/redisstore/redistest"
	"surrogate/store/storetest"
)

var prefixes atomic.Int64

// fresh returns options for a store of its own on a server that is well, with
// the patience that a busy machine asks for.
func fresh(url string) Options {
	return Options{Redis: Redis{URL: url}, Prefix: fmt.Sprintf("t%d", prefixes.Add(1)), Budget: 20 * time.Second}
}

func TestContract(t *testing.T) {
	srv := redistest.Start(t)
	storetest.Run(t, storetest.Config{
		New: func(t *testing.T) store.Store { return start(t, fresh(srv.URL)) },
		NewSmall: func(t *testing.T) store.Store {
			opt := fresh(srv.URL)
			opt.MaxFences = storetest.Fences
			opt.Purges = storetest.PurgeLog
			opt.MaxEdges = storetest.Edges
			opt.MaxPicks = storetest.Picks
			return start(t, opt)
		},
		Tick: 50 * time.Millisecond,
	})
}
