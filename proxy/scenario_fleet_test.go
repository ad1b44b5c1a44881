package proxy_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/store"
	"surrogate/store/memstore"
	"surrogate/store/redisstore"
	"surrogate/store/redisstore/redistest"
	"surrogate/store/tierstore"
)

// notOverRedis are the scenarios that cannot be played over Redis, and why.
var notOverRedis = map[string]string{
	"p_category_500": "five hundred are stored at once, and some of them kept in memory alone, where its receipt's count does not reach",
	"p_soft_swr":     "a window counts from a soft purge, whose time is Redis's",
	"p_soft_sie":     "a window counts from a soft purge, whose time is Redis's",
}

// TestScenariosOverRedis plays the scenarios over a memory tier and a real Redis:
// all on one server, each under a prefix of its own, some at once. In the house
// time is fake; see beyond for what that leaves out.
func TestScenariosOverRedis(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Redis: not with -short")
	}
	srv := redistest.Start(t)
	paths, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scenarios in testdata/scenarios: %v", err)
	}
	// The nodes end together, for each takes a while to.
	ctx, cancel := context.WithCancel(context.Background())
	var nodes sync.WaitGroup
	defer nodes.Wait()
	defer cancel()
	t.Run("all", func(t *testing.T) {
		for i, path := range paths {
			name := strings.TrimSuffix(filepath.Base(path), ".txt")
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s, err := readScript(path)
				if err != nil {
					t.Fatal(err)
				}
				if why := notOverRedis[name]; why != "" {
					t.Skip(why)
				}
				f := nodeOver(t, ctx, &nodes, srv, fmt.Sprintf("s%d", i))
				jobs := make(chan func())
				var beside sync.WaitGroup
				beside.Go(func() { outside(jobs) })
				opened := time.Now()
				synctest.Test(t, func(t *testing.T) { s.playOn(t, enter(f, jobs, opened)) })
				close(jobs)
				beside.Wait()
			})
		}
	})
	for name := range notOverRedis {
		if !slices.Contains(paths, filepath.Join("testdata", "scenarios", name+".txt")) {
			t.Errorf("there is no scenario %s", name)
		}
	}
}

// nodeOver runs a node of a fleet of its own, until ctx ends.
func nodeOver(t *testing.T, ctx context.Context, running *sync.WaitGroup, srv *redistest.Server, prefix string) store.Fleet {
	t.Helper()
	redis, err := redisstore.New(redisstore.Options{
		Redis: redisstore.Redis{URL: srv.URL}, Prefix: prefix,
		// A busy machine is not a Redis in trouble.
		Budget: 20 * time.Second, MaxDeaf: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	f := tierstore.New(tierstore.Options{Below: redis, Memory: memstore.Options{MaxBytes: 64 << 20}}).(*tierstore.Fleet)
	running.Go(func() {
		if err := f.Run(ctx); err != nil {
			panic(err) // its test may be over
		}
		_ = f.Close()
	})
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(20 * time.Second); !f.Hears(); <-again.C {
		if time.Now().After(end) {
			t.Fatal("the node never hears")
		}
	}
	// Nothing is confirmed in a fleet as young as this, for the sake of nodes that
	// it may not know. There are none.
	srv.Do("HSET", "{"+prefix+"}:state", "since", "0")
	return f
}
