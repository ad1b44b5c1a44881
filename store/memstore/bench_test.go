package memstore_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"surrogate/store"
	"surrogate/store/memstore"
)

var small = strings.Repeat("x", 1<<10)

// object is the i-th small object, with a tag that all carry, one that a
// hundred do, and one of its own.
func object(i int) *store.Entry {
	return &store.Entry{
		Key:    store.Key(fmt.Sprintf("http://shop.test/products/%d", i)),
		Status: 200,
		Head: store.HeadText("Content-Type: text/html; charset=utf-8\r\nCache-Control: max-age=3600\r\nEtag: \"5d8c72a5edda8\"\r\n" +
			"Last-Modified: Mon, 02 Jan 2006 15:04:05 GMT\r\nVary: Accept-Encoding\r\nServer: origin/1.0\r\n"),
		Body: []byte(small),
		Tags: store.NamesOf("product", store.Name(fmt.Sprintf("category:%d", i/100)), store.Name(fmt.Sprintf("product:%d", i))),
		Life: store.Life{Born: time.Now(), TTL: time.Hour},
	}
}

func put(tb testing.TB, s store.Store, e *store.Entry) {
	f, err := s.Get(tb.Context(), e.Key, nil)
	if err != nil {
		tb.Fatal(err)
	}
	e.Ticket = f.Ticket
	if err := s.Put(tb.Context(), e); err != nil {
		tb.Fatal(err)
	}
}

// oneOfMany is one of some objects in the store whose heads have much in common.
func oneOfMany(tb testing.TB, s store.Store) *store.Entry {
	var e *store.Entry
	for i := range 4 {
		e = object(i)
		put(tb, s, e)
	}
	return e
}

// BenchmarkPurge is the price of a purge by how many objects carry the tag.
// The three lines must not differ.
func BenchmarkPurge(b *testing.B) {
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("objects=%d", n), func(b *testing.B) {
			s := memstore.New(memstore.Options{MaxBytes: 8 << 30})
			defer s.Close()
			for i := range n {
				e := object(i)
				e.Body = nil
				put(b, s, e)
			}
			p := store.Purge{Names: []store.Name{"product"}}
			for b.Loop() {
				if _, err := s.Purge(b.Context(), p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	s := memstore.New(memstore.Options{})
	defer s.Close()
	e := oneOfMany(b, s)
	b.ReportAllocs()
	for b.Loop() {
		if f, _ := s.Get(b.Context(), e.Key, nil); !f.Hit {
			b.Fatal("a miss")
		}
	}
}

func BenchmarkGetParallel(b *testing.B) {
	s := memstore.New(memstore.Options{})
	defer s.Close()
	var keys []store.Key
	for i := range 10_000 {
		e := object(i)
		put(b, s, e)
		keys = append(keys, e.Key)
	}
	ctx := context.Background()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i += 7 {
			if f, _ := s.Get(ctx, keys[i%len(keys)], nil); !f.Hit {
				b.Error("a miss")
			}
		}
	})
}

// BenchmarkGetOne is one page that every core asks for: with -cpu 1,2,4 the time
// of a hit has to fall as cores are added, for a hit writes nothing that another
// reads.
func BenchmarkGetOne(b *testing.B) {
	s := memstore.New(memstore.Options{})
	defer s.Close()
	e := oneOfMany(b, s)
	ctx := context.Background()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if f, _ := s.Get(ctx, e.Key, nil); !f.Hit {
				b.Error("a miss")
			}
		}
	})
}

// BenchmarkGetAfterPurge is a hit that has to look at its names again, because
// something else was purged. The purge is part of it: compare BenchmarkPurge.
func BenchmarkGetAfterPurge(b *testing.B) {
	for _, n := range []int{1, 64} {
		b.Run(fmt.Sprintf("tags=%d", n), func(b *testing.B) {
			s := memstore.New(memstore.Options{})
			defer s.Close()
			e := object(1)
			var tags []store.Name
			for i := range n {
				tags = append(tags, store.Name(fmt.Sprintf("tag:%d", i)))
			}
			e.Tags = store.NamesOf(tags...)
			put(b, s, e)
			p := store.Purge{Names: []store.Name{"other"}}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Purge(b.Context(), p); err != nil {
					b.Fatal(err)
				}
				if f, _ := s.Get(b.Context(), e.Key, nil); !f.Hit {
					b.Fatal("a miss")
				}
			}
		})
	}
}

func BenchmarkPut(b *testing.B) {
	for _, c := range []struct {
		name string
		max  int64
	}{{"room", 4 << 30}, {"evicting", 32 << 20}} {
		b.Run(c.name, func(b *testing.B) {
			s := memstore.New(memstore.Options{MaxBytes: c.max})
			defer s.Close()
			var es []*store.Entry
			for i := range 200_000 {
				es = append(es, object(i))
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if err := s.Put(b.Context(), es[i%len(es)]); err != nil {
					b.Fatal(err)
				}
				i++
			}
		})
	}
}

// BenchmarkSweep is what it costs to reclaim one object of a hundred thousand.
func BenchmarkSweep(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		b.StopTimer()
		s := memstore.New(memstore.Options{MaxBytes: 1 << 30})
		for i := range n {
			e := object(i)
			e.Body = nil
			put(b, s, e)
		}
		ev, _ := s.Purge(b.Context(), store.Purge{Names: []store.Name{"product"}})
		b.StartTimer()
		swept := 0
		for range s.Sweep(b.Context(), ev) {
			swept++
		}
		if swept != n {
			b.Fatalf("%d swept", swept)
		}
		_ = s.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/object")
}

// A hit without Vary allocates nothing, whether or not something was purged
// since.
func TestHitAllocatesNothing(t *testing.T) {
	s := memstore.New(memstore.Options{})
	defer s.Close()
	e := object(1)
	put(t, s, e)
	hit := func() {
		if f, err := s.Get(t.Context(), e.Key, nil); err != nil || !f.Hit || len(f.Entry.Body) != len(small) {
			t.Fatal("a miss")
		}
	}
	if n := testing.AllocsPerRun(1000, hit); n != 0 {
		t.Errorf("%v allocations a hit", n)
	}
	p := store.Purge{Names: []store.Name{"other", store.HostName("other.test"), store.PrefixName("other.test/")}}
	if _, err := s.Purge(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	purge := testing.AllocsPerRun(1000, func() { _, _ = s.Purge(t.Context(), p) })
	both := testing.AllocsPerRun(1000, func() { _, _ = s.Purge(t.Context(), p); hit() })
	if both > purge {
		t.Errorf("%v allocations a hit after a purge", both-purge)
	}
}

// A sweep allocates nothing for what it finds: what it would is garbage a moment
// later, a hundred megabytes a second in a storm of purges.
func TestSweepAllocatesNothingForAKey(t *testing.T) {
	const n = 20_000
	s := memstore.New(memstore.Options{})
	defer s.Close()
	for i := range n {
		put(t, s, object(i))
	}
	ev, err := s.Purge(t.Context(), store.Purge{Names: []store.Name{"product"}, Soft: true})
	if err != nil {
		t.Fatal(err)
	}
	swept := 0
	const runs = 3
	allocs := testing.AllocsPerRun(runs, func() {
		for range s.Sweep(t.Context(), ev) {
			swept++
		}
	})
	if swept != (runs+1)*n {
		t.Errorf("%d swept, of %d", swept, (runs+1)*n)
	}
	if allocs > n/200 { // pages of a bitmap, a list that grows to a quantum's
		t.Errorf("%v allocations for %d keys", allocs, n)
	}
}

// Hits go on while many write; run with -race it is a test of the locks.
func TestEverythingAtOnce(t *testing.T) {
	s := memstore.New(memstore.Options{MaxBytes: 1 << 20, MaxFences: 50})
	ctx, cancel := context.WithCancel(t.Context())
	var wg, background sync.WaitGroup
	background.Go(func() { _ = s.Run(ctx) })
	background.Go(func() {
		for range s.Events(ctx, 0) {
		}
	})
	for g := range 6 {
		wg.Go(func() {
			for i := range 2000 {
				e := object((i*7 + g) % 1500)
				if i%5 == 0 {
					e.Deps = store.NameList(store.URLName(object(i % 10).Key))
				}
				f, _ := s.Get(ctx, e.Key, nil)
				e.Ticket = f.Ticket
				if !f.Hit {
					_ = s.Put(ctx, e)
				}
				switch {
				case i%50 == 0:
					ev, _ := s.Purge(ctx, store.Purge{Names: []store.Name{store.Name(fmt.Sprintf("category:%d", i%15))}, Soft: i%100 == 0})
					for range s.Sweep(ctx, ev) {
					}
				case i%51 == 0:
					_, _, _ = s.List(ctx, "product", "", 10)
					_, _ = s.Count(ctx, "product")
					_, _ = s.Stats(ctx)
					_, _ = s.Dependents(ctx, []store.Name{"product"})
				}
			}
		})
	}
	wg.Wait()
	if st, _ := s.Stats(ctx); st.Bytes > st.Capacity || st.Evictions == 0 {
		t.Errorf("stats are %+v", st)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	cancel()
	background.Wait()
}
