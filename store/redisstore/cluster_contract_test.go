package redisstore

import (
	"testing"
	"time"

	"surrogate/store"
	"surrogate/store/redisstore/redistest"
	"surrogate/store/storetest"
)

// TestContractOnCluster: a command that touched two slots would be refused.
func TestContractOnCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster takes a while to start")
	}
	c := redistest.StartCluster(t)
	storetest.Run(t, storetest.Config{
		New: func(t *testing.T) store.Store { return start(t, fresh(c.URL)) },
		NewSmall: func(t *testing.T) store.Store {
			opt := fresh(c.URL)
			opt.MaxFences = storetest.Fences
			opt.Purges = storetest.PurgeLog
			opt.MaxEdges = storetest.Edges
			opt.MaxPicks = storetest.Picks
			return start(t, opt)
		},
		Tick:      50 * time.Millisecond,
		Histories: 3,
	})
}
