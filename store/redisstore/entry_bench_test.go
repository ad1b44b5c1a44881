package redisstore

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"surrogate/store"
	"surrogate/store/redisstore/redistest"
)

func benchEntry(s *Store, i, size int, tags ...store.Name) *store.Entry {
	return &store.Entry{
		Key: store.Key(fmt.Sprint("http://shop.test/", i)), Status: 200,
		Head: store.HeadText("Content-Type: text/html; charset=utf-8\r\nCache-Control: max-age=60\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\nEtag: \"abcdef\"\r\n"),
		Body: bytes.Repeat([]byte("x"), size), Tags: store.NamesOf(tags...),
		Life: store.Life{Born: time.Now(), TTL: time.Hour}, Ticket: s.heard(),
	}
}

// BenchmarkHit prints how a hit compares with a bare GET, of as many bytes, by
// the same client in the same run: the two take turns.
func BenchmarkHit(b *testing.B) {
	const each = 200
	s := start(b, fresh(redistest.Start(b).URL))
	for _, size := range []int{1 << 10, 10 << 10} {
		e := benchEntry(s, size, size, "a", "b", "c")
		if err := s.Put(b.Context(), e); err != nil {
			b.Fatal(err)
		}
		meta := s.rdb.HGet(b.Context(), s.inc.Load().entries(placeOf(e.Key)), pickID{}.field("m")).Val()
		s.rdb.Set(b.Context(), "bare", bytes.Repeat([]byte("x"), size+len(meta)), 0)
		calls := [...]func() error{
			func() error { return s.rdb.Get(b.Context(), "bare").Err() },
			func() error {
				f, err := s.Get(b.Context(), e.Key, nil)
				if err == nil && !f.Hit {
					err = fmt.Errorf("a miss of %s", e.Key)
				}
				return err
			},
		}
		for _, clients := range []int{1, 16} {
			b.Run(fmt.Sprintf("%dKiB,clients=%d", size>>10, clients), func(b *testing.B) {
				var took [len(calls)]time.Duration
				for b.Loop() {
					for i, f := range calls {
						began := time.Now()
						var n atomic.Int64
						done := make(chan error, clients)
						for range clients {
							go func() {
								var err error
								for err == nil && n.Add(1) <= each {
									err = f()
								}
								done <- err
							}()
						}
						for range clients {
							if err := <-done; err != nil {
								b.Fatal(err)
							}
						}
						took[i] += time.Since(began)
					}
				}
				per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(b.N) / each }
				b.ReportMetric(per(took[0]), "ns/GET")
				b.ReportMetric(per(took[1]), "ns/hit")
				b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "of-GET")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

func BenchmarkGet(b *testing.B) {
	s := start(b, fresh(redistest.Start(b).URL))
	for _, size := range []int{1 << 10, 10 << 10, 1 << 20, 50 << 20} {
		e := benchEntry(s, size, size, "a")
		if err := s.Put(b.Context(), e); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if f, err := s.Get(b.Context(), e.Key, nil); err != nil || !f.Hit {
					b.Fatal(f.Hit, err)
				}
			}
		})
	}
}

func BenchmarkPut(b *testing.B) {
	s := start(b, fresh(redistest.Start(b).URL))
	put := func(b *testing.B, e *store.Entry) {
		if err := s.Put(b.Context(), e); err != nil {
			b.Fatal(err)
		}
	}
	for _, size := range []int{1 << 10, 10 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB,3tags", size>>10), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				put(b, benchEntry(s, i%1000, size, "a", "b", "c"))
			}
		})
	}
	b.Run("1KiB,1tag,1dep", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			e := benchEntry(s, i%1000, 1<<10, "a")
			e.Deps = store.NamesOf(store.URLName("http://shop.test/up"))
			put(b, e)
		}
	})
}

// BenchmarkMany is what does not depend on how many entries carry a tag, and a
// sweep, which does.
func BenchmarkMany(b *testing.B) {
	s := start(b, fresh(redistest.Start(b).URL))
	for _, n := range []int{100, 10_000} {
		tag := store.Name(fmt.Sprint("n", n))
		for i := range n {
			e := benchEntry(s, i, 100, tag)
			e.Key = store.Key(fmt.Sprintf("http://%s.test/%d", tag, i))
			if err := s.Put(b.Context(), e); err != nil {
				b.Fatal(err)
			}
		}
		y := benchEntry(s, n, 100)
		y.Deps = store.NamesOf(store.URLName(store.Key(fmt.Sprintf("http://%s.test/7", tag))))
		if err := s.Put(b.Context(), y); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint("Count,entries=", n), func(b *testing.B) {
			for b.Loop() {
				if c, err := s.Count(b.Context(), tag); err != nil || c.Entries != n {
					b.Fatal(c, err)
				}
			}
		})
		b.Run(fmt.Sprint("Dependents,entries=", n), func(b *testing.B) {
			for b.Loop() {
				if ns, err := s.Dependents(b.Context(), []store.Name{tag}); err != nil || len(ns) != 1 {
					b.Fatal(ns, err)
				}
			}
		})
		b.Run(fmt.Sprint("Sweep,soft,entries=", n), func(b *testing.B) {
			ev := store.Event{Purge: store.Purge{Names: []store.Name{tag}, Soft: true}, Seq: 1 << 40}
			for b.Loop() {
				k := 0
				for _, err := range s.Sweep(b.Context(), ev) {
					if k++; err != nil {
						b.Fatal(err)
					}
				}
				if k != n {
					b.Fatal(k)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/key")
		})
	}
}
