package redisstore

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"surrogate/store"
	"surrogate/store/redisstore/redistest"
)

// BenchmarkPurgeEverywhere is a purge of one tag over three nodes, from asking to knowing
// that all have heard it. It does not depend on what carries the tag: no entry
// is looked at.
func BenchmarkPurgeEverywhere(b *testing.B) {
	r := redistest.StartTCP(b)
	nodes := trioOf(b, r.URL, 5*time.Second)
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		n := nodes[i%3]
		began := time.Now()
		ev, err := n.Purge(b.Context(), store.Purge{Names: []store.Name{store.Name(fmt.Sprint("t", i%100))}})
		if err != nil {
			b.Fatal(err)
		}
		if _, ok, err := n.Await(b.Context(), ev.Seq); !ok || err != nil {
			b.Fatal(ok, err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	for _, p := range []int{50, 99} {
		b.ReportMetric(float64(took[min(len(took)*p/100, len(took)-1)].Microseconds())/1000, fmt.Sprintf("p%d-ms", p))
	}
}

// BenchmarkPurgeOfManyNames is a purge of as many names as there are, and the
// longest that another client of the same Redis had to wait meanwhile.
func BenchmarkPurgeOfManyNames(b *testing.B) {
	for _, n := range []int{1_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			r := redistest.StartTCP(b)
			nodes := trioOf(b, r.URL, 5*time.Second)
			names := make([]store.Name, n)
			for i := range names {
				names[i] = store.Name(fmt.Sprint("product:", i))
			}
			ctx, stop := context.WithCancel(b.Context())
			worst := make(chan time.Duration)
			go func() {
				var w time.Duration
				for ctx.Err() == nil {
					began := time.Now()
					_ = nodes[2].rdb.Get(context.Background(), "x").Err()
					w = max(w, time.Since(began))
				}
				worst <- w
			}()
			for b.Loop() {
				ev, err := nodes[0].Purge(b.Context(), store.Purge{Names: names})
				if err != nil {
					b.Fatal(err)
				}
				if _, ok, err := nodes[0].Await(b.Context(), ev.Seq); !ok || err != nil {
					b.Fatal(ok, err)
				}
			}
			stop()
			b.ReportMetric(float64((<-worst).Microseconds())/1000, "worst-wait-ms")
		})
	}
}

func trioOf(b *testing.B, url string, maxDeaf time.Duration) []*Store {
	var nodes []*Store
	for i := range 3 {
		nodes = append(nodes, start(b, Options{Redis: Redis{URL: url}, Node: fmt.Sprint("n", i), MaxDeaf: maxDeaf}))
	}
	// Purges are not confirmed before the leases of an incarnation before this
	// one have ended.
	nodes[0].awaited(b, "first")
	return nodes
}
