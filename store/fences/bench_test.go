package fences_test

import (
	"fmt"
	"testing"
	"time"

	"surrogate/store"
	"surrogate/store/fences"
)

// tagged is an entry with so many tags.
func tagged(tags int) *store.Entry {
	var names []store.Name
	for i := range tags {
		names = append(names, store.Name(fmt.Sprintf("tag:%d", i)))
	}
	return &store.Entry{Key: "http://shop.test/products/1?colour=blue", Tags: store.NamesOf(names...)}
}

// standing is a Book with so many fences on other names.
func standing(n int) *fences.Book {
	b := fences.New(fences.Options{MaxFences: n + 10, MaxPrefixes: 10, MaxLife: time.Hour})
	var names []store.Name
	for i := range n {
		names = append(names, store.Name(fmt.Sprintf("product:%d", i)))
	}
	b.Raise(names, false, time.Now(), func(store.Seq) {})
	return b
}

// BenchmarkJudge is the fence check: what a hit costs more when something was
// purged since the last hit on the same entry, by how many tags the entry has
// and how many fences stand, on one core and, with -cpu 2, on two at once.
func BenchmarkJudge(b *testing.B) {
	for _, tags := range []int{1, 64} {
		for _, n := range []int{100, 1_000_000} {
			b.Run(fmt.Sprintf("tags=%d/fences=%d", tags, n), func(b *testing.B) {
				book := standing(n)
				e := tagged(tags)
				b.ReportAllocs()
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						v := fences.Verdict{}
						book.Judge(e, &v)
						if v.Last != 0 {
							b.Error("it fell")
						}
					}
				})
			})
		}
	}
}

// BenchmarkRaise is a purge of one name, by how many fences stand.
func BenchmarkRaise(b *testing.B) {
	for _, n := range []int{100, 1_000_000} {
		b.Run(fmt.Sprintf("fences=%d", n), func(b *testing.B) {
			book := standing(n)
			names := []store.Name{"product:7"}
			b.ReportAllocs()
			for b.Loop() {
				book.Raise(names, false, time.Now(), func(store.Seq) {})
			}
		})
	}
}

// Every hit after a purge does it.
func TestJudgeAllocatesNothing(t *testing.T) {
	book := standing(100)
	book.Raise([]store.Name{store.HostName("other.test"), store.PrefixName("other.test/"), "tag:0"}, true, time.Now(), func(store.Seq) {})
	for _, tags := range []int{1, 64} {
		e := tagged(tags)
		e.Deps = store.NamesOf("dep", store.URLName("http://shop.test/"))
		fell := false
		n := testing.AllocsPerRun(1000, func() {
			v := fences.Verdict{}
			book.Judge(e, &v)
			fell = v.Fell != 0
		})
		if n != 0 || !fell {
			t.Errorf("%d tags: %v allocations, fell %v", tags, n, fell)
		}
	}
}
