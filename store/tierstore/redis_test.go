package tierstore_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"surrogate/store"
	"surrogate/store/memstore"
	"surrogate/store/redisstore"
	"surrogate/store/redisstore/redistest"
	"surrogate/store/storetest"
	"surrogate/store/tierstore"
)

var prefixes atomic.Int64

// join returns a node of a new fleet on a server, once it hears.
func join(t *testing.T, url string, o redisstore.Options, memory memstore.Options) store.Store {
	t.Helper()
	o.Redis.URL = url
	o.Budget = 20 * time.Second // a busy machine is not a Redis in trouble
	o.Prefix = fmt.Sprintf("t%d", prefixes.Add(1))
	redis, err := redisstore.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s := tierstore.New(tierstore.Options{Below: redis, Memory: memory})
	ctx, cancel := context.WithCancel(context.Background())
	var run sync.WaitGroup
	run.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		run.Wait()
		_ = s.Close()
	})
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(10 * time.Second); !s.(store.Fleet).Hears(); <-again.C {
		if time.Now().After(end) {
			t.Fatal("the node never hears")
		}
	}
	return s
}

func TestContractOverRedis(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute of real time")
	}
	srv := redistest.Start(t)
	storetest.Run(t, storetest.Config{
		New: func(t *testing.T) store.Store {
			return join(t, srv.URL, redisstore.Options{}, memstore.Options{})
		},
		NewSmall: func(t *testing.T) store.Store {
			return join(t, srv.URL,
				redisstore.Options{MaxFences: storetest.Fences, Purges: storetest.PurgeLog, MaxEdges: storetest.Edges, MaxPicks: storetest.Picks},
				memstore.Options{MaxEdges: storetest.Edges, MaxPicks: storetest.Picks})
		},
		Tick: 50 * time.Millisecond,
	})
}
