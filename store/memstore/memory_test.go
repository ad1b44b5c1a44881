package memstore_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"surrogate/store"
	"surrogate/store/memstore"
)

// A crowd is how many small objects of which size a store is filled with, and
// the bound that they just fit in, which garbage is bounded by.
type crowd struct {
	n        int
	body     int
	maxBytes int64
}

var crowds = []crowd{{400_000, 1 << 10, 592 << 20}, {4_000_000, 100, 2300 << 20}}

// run calls bench for each crowd, but for the large one with -short.
func (c crowd) run(b *testing.B, bench func(b *testing.B)) {
	b.Run(fmt.Sprintf("objects=%d", c.n), func(b *testing.B) {
		if testing.Short() && c.n > 1_000_000 {
			b.Skip("takes gigabytes")
		}
		bench(b)
	})
}

func (c crowd) object(i int) *store.Entry {
	e := object(i)
	e.Body = e.Body[:c.body]
	return e
}

// fill returns a store with the crowd in it, its garbage bound as the server
// has it, and how much its objects hold.
func (c crowd) fill(b *testing.B) (s *memstore.Store, content int64) {
	s = memstore.New(memstore.Options{MaxBytes: c.maxBytes})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		memstore.BoundGarbage(ctx, c.maxBytes)
	}()
	b.Cleanup(func() {
		cancel()
		<-done
		_ = s.Close()
	})
	for i := range c.n {
		e := c.object(i)
		put(b, s, e)
		content += e.Bytes()
	}
	if st, err := s.Stats(b.Context()); err != nil || st.Entries != c.n {
		b.Fatalf("%d entries, %v", st.Entries, err)
	}
	return s, content
}

// BenchmarkMemory fills a store with small objects with three tags, one
// that all carry, one that a hundred do, one of its own, and reports what the
// process's resident memory has become beyond their heads and bodies. It counts
// once, however often it runs:
//
//	go test ./store/memstore -run xxx -bench BenchmarkMemory -benchtime 1x
func BenchmarkMemory(b *testing.B) {
	for _, c := range crowds {
		c.run(b, func(b *testing.B) {
			debug.FreeOSMemory()
			before := resident(b)
			s, content := c.fill(b)
			for b.Loop() {
			}
			after := resident(b)
			n := float64(c.n)
			st, _ := s.Stats(b.Context())
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(after-content)/n, "B/object-beyond-content")
			b.ReportMetric(float64(before)/n, "B/object-at-start")
			b.ReportMetric(float64(st.Bytes-content)/n, "B/object-accounted")
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			b.ReportMetric((float64(m.HeapAlloc)-float64(content))/n, "B/object-alive")
		})
	}
}

// BenchmarkCollector is what the garbage collector takes of a full store under
// load, of which every sixteenth lookup is a page fetched again: its share of
// the CPU that was used, and the longest it stopped everything. Run it for
// some seconds:
//
//	go test ./store/memstore -run xxx -bench BenchmarkCollector -benchtime 3s
func BenchmarkCollector(b *testing.B) {
	for _, c := range crowds {
		c.run(b, func(b *testing.B) {
			s, _ := c.fill(b)
			b.Run("load", func(b *testing.B) {
				before := collected()
				b.ResetTimer()
				c.load(b, s)
				b.StopTimer()
				after := collected()
				b.ReportMetric(100*(after.gc-before.gc)/(after.used-before.used), "%gc-cpu")
				b.ReportMetric((after.count-before.count)/b.Elapsed().Seconds(), "collections/s")
				b.ReportMetric(worst(before.pauses, after.pauses)*1e3, "worst-pause-ms")
				b.ReportMetric(float64(resident(b))/(1<<20), "MiB-resident")
			})
		})
	}
}

// load asks for the crowd's objects, and stores every sixteenth anew.
func (c crowd) load(b *testing.B, s store.Store) {
	var turn atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		key := []byte("http://shop.test/products/")
		bare := len(key)
		for i := int(turn.Add(1)) * 1_000_003; pb.Next(); i += 7919 {
			if i%16 == 0 {
				put(b, s, c.object(i%c.n))
				continue
			}
			key = strconv.AppendInt(key[:bare], int64(i%c.n), 10)
			if f, _ := s.Get(context.Background(), store.Key(key), nil); !f.Hit {
				b.Errorf("%s is a miss", key)
			}
		}
	})
}

// A collection is what the runtime tells of its garbage collector.
type collection struct {
	gc, used float64 // CPU, in seconds
	count    float64
	pauses   *metrics.Float64Histogram
}

func collected() collection {
	m := []metrics.Sample{
		{Name: "/cpu/classes/gc/total:cpu-seconds"},
		{Name: "/cpu/classes/total:cpu-seconds"},
		{Name: "/cpu/classes/idle:cpu-seconds"},
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/sched/pauses/total/gc:seconds"},
	}
	runtime.GC() // they are as of the last collection
	metrics.Read(m)
	return collection{
		gc:     m[0].Value.Float64(),
		used:   m[1].Value.Float64() - m[2].Value.Float64(),
		count:  float64(m[3].Value.Uint64()),
		pauses: m[4].Value.Float64Histogram(),
	}
}

// worst is the upper end of the highest bucket that something came into.
func worst(before, after *metrics.Float64Histogram) float64 {
	for i := len(after.Counts) - 1; i >= 0; i-- {
		if after.Counts[i] > before.Counts[i] {
			if end := after.Buckets[i+1]; !math.IsInf(end, 1) {
				return end
			}
			return after.Buckets[i]
		}
	}
	return 0
}

// resident is VmRSS, in bytes.
func resident(tb testing.TB) int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		tb.Skip("no /proc here")
	}
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(v), "kB")), 10, 64)
			if err != nil {
				tb.Fatal(err)
			}
			return kb << 10
		}
	}
	tb.Skip("no VmRSS here")
	return 0
}
