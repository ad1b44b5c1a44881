package redisstore

import (
	"fmt"
	"testing"

	"surrogate/store"
	"surrogate/store/redisstore/redistest"
)

// BenchmarkQueue is what a job costs: added 1,000 at once, taken 32 at once,
// settled one by one.
func BenchmarkQueue(b *testing.B) {
	srv := redistest.Start(b)
	run := func(what string, f func(b *testing.B, q store.Queue, add func(n int))) {
		b.Run(what, func(b *testing.B) {
			q := ends{}.queue(b, fresh(srv.URL), QueueOptions{MaxURLs: 1 << 40, MaxJobs: 1 << 30, MaxBytes: 1 << 40})
			if _, _, err := q.Begin(b.Context(), store.Run{ID: "r"}); err != nil {
				b.Fatal(err)
			}
			jobs := 0
			f(b, q, func(n int) {
				js := make([]store.Job, n)
				for i := range js {
					jobs++
					js[i] = store.Job{Site: "s", URL: fmt.Sprint("http://shop.test/products/", jobs), Heat: float64(jobs * 7919 % 1000)}
				}
				if a, _, err := q.Add(b.Context(), "r", js); a != n || err != nil {
					b.Fatal(a, err)
				}
			})
		})
	}
	take := func(b *testing.B, q store.Queue) []store.Job {
		js, err := q.Take(b.Context(), 32, nil)
		if err != nil {
			b.Fatal(err)
		}
		return js
	}
	run("add-1000", func(b *testing.B, q store.Queue, add func(int)) {
		for b.Loop() {
			add(1000)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/job")
	})
	run("take-32", func(b *testing.B, q store.Queue, add func(int)) {
		for n := 32 * b.N; n > 0; n -= 1000 {
			add(min(n, 1000))
		}
		b.ResetTimer()
		for range b.N {
			if n := len(take(b, q)); n != 32 {
				b.Fatal(n)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/32, "ns/job")
	})
	run("settle", func(b *testing.B, q store.Queue, add func(int)) {
		for n := b.N; n > 0; n -= 1000 {
			add(min(n, 1000))
		}
		var held []store.Job
		for len(held) < b.N {
			held = append(held, take(b, q)...)
		}
		b.ResetTimer()
		for i := range b.N {
			if err := q.Settle(b.Context(), held[i], store.Outcome{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	run("settle-parallel", func(b *testing.B, q store.Queue, add func(int)) {
		for n := b.N; n > 0; n -= 1000 {
			add(min(n, 1000))
		}
		held := make(chan store.Job, b.N)
		for len(held) < b.N {
			for _, j := range take(b, q) {
				held <- j
			}
		}
		b.SetParallelism(16)
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := q.Settle(b.Context(), <-held, store.Outcome{}); err != nil {
					b.Error(err)
				}
			}
		})
	})
}
