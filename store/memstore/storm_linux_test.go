package memstore_test

import (
	"context"
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"surrogate/store"
	"surrogate/store/memstore"
)

// BenchmarkStorm is what hits on some pages suffer from 100 purges a second of a
// tag that 100,000 others carry, which are swept, and after hard purges stored
// again, as fast as one goroutine can that hardly rests: the 99.9th percentile of
// the time a hit takes, quiet and in the storm, in turns. It takes as long as it
// takes:
//
//	go test ./store/memstore -run xxx -bench BenchmarkStorm -benchtime 1x
func BenchmarkStorm(b *testing.B) {
	for _, soft := range []bool{false, true} {
		b.Run(map[bool]string{false: "hard", true: "soft"}[soft], func(b *testing.B) {
			s := memstore.New(memstore.Options{MaxBytes: 1 << 30})
			defer s.Close()
			var others []*store.Entry
			for i := range 100_000 {
				e := object(i)
				others = append(others, e)
				put(b, s, e)
			}
			var keys []store.Key
			for i := range 10_000 {
				e := object(1_000_000 + i)
				e.Tags = store.NamesOf("page", "section:7")
				put(b, s, e)
				keys = append(keys, e.Key)
			}
			const rounds, turn = 9, 300 * time.Millisecond
			var quiet, storm, ratio []float64
			var purges, swept int
			for range rounds {
				q := hits(b, s, keys, turn)
				ctx, cancel := context.WithCancel(b.Context())
				var wg sync.WaitGroup
				wg.Go(func() { p, n := rage(ctx, s, others, soft); purges += p; swept += n })
				w := hits(b, s, keys, turn)
				cancel()
				wg.Wait()
				quiet, storm, ratio = append(quiet, q), append(storm, w), append(ratio, w/q)
			}
			for b.Loop() {
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(quiet), "ns/quiet-p99.9")
			b.ReportMetric(median(storm), "ns/storm-p99.9")
			b.ReportMetric(median(ratio), "storm/quiet")
			b.ReportMetric(float64(purges)/(rounds*turn.Seconds()), "purges/s")
			b.ReportMetric(float64(swept)/(rounds*turn.Seconds()), "swept/s")
		})
	}
}

// rage purges a hundred times a second until ctx ends, and sweeps after the
// latest purge whenever the sweep before is done.
func rage(ctx context.Context, s store.Store, es []*store.Entry, soft bool) (purges, swept int) {
	var last atomic.Pointer[store.Event]
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			ev, _ := s.Purge(context.Background(), store.Purge{Names: []store.Name{"product"}, Soft: soft})
			last.Store(&ev)
			purges++
			<-tick.C
		}
	})
	for ctx.Err() == nil {
		ev := last.Swap(nil)
		if ev == nil {
			time.Sleep(time.Millisecond)
			continue
		}
		for range s.Sweep(ctx, *ev) {
			if swept++; swept%1000 == 0 {
				time.Sleep(50 * time.Microsecond) // as whoever sweeps has to
			}
		}
		for i := 0; i < len(es) && !soft && ctx.Err() == nil; i++ {
			f, _ := s.Get(ctx, es[i].Key, nil)
			if !f.Hit {
				e := *es[i]
				e.Ticket = f.Ticket
				_ = s.Put(ctx, &e)
			}
		}
	}
	wg.Wait()
	return purges, swept
}

// hits asks for the keys, one after the other, for as long as d, and returns the
// 99.9th percentile of what each took, in nanoseconds. Hits in whose midst the
// kernel gave the core to somebody else are left out: on a machine that others
// use as well they are more than one in a thousand, storm or not.
func hits(b *testing.B, s store.Store, keys []store.Key, d time.Duration) float64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Buckets are a sixteenth of a power of two wide.
	var count [64 * 16]int
	n, interrupted := 0, interruptions(b)
	began := time.Now()
	for i, at := 0, began; at.Sub(began) < d; i++ {
		if f, _ := s.Get(b.Context(), keys[i*7919%len(keys)], nil); !f.Hit || !f.Fell.IsZero() || f.Doubt {
			b.Fatalf("%s: hit %v, fell %v, doubt %v", f.Entry.Key, f.Hit, f.Fell, f.Doubt)
		}
		now := time.Now()
		took := max(now.Sub(at), 16)
		at = now
		if took > 2*time.Microsecond {
			if x := interruptions(b); x != interrupted {
				interrupted, at = x, time.Now()
				continue
			}
			at = time.Now()
		}
		shift := bits.Len64(uint64(took)) - 5
		count[shift<<4|int(took>>shift&15)]++
		n++
	}
	above := n / 1000
	for i := len(count) - 1; i >= 0; i-- {
		if above -= count[i]; above < 0 {
			return float64(uint64(17+i&15) << (i >> 4))
		}
	}
	return 0
}

// interruptions is how often this thread lost its core to another.
func interruptions(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &u); err != nil {
		b.Fatal(err)
	}
	return u.Nivcsw
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}
