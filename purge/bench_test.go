package purge_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"surrogate/purge"
	"surrogate/store"
	"surrogate/store/memstore"
)

// BenchmarkPurgeHTTP is a purge of one tag that covers every object, from
// request to answer over a kept-alive connection on loopback. The first purge
// has all of them to cover, the others find them fallen or being swept; all cost
// the same, because a purge does not look at them. The first is reported apart.
func BenchmarkPurgeHTTP(b *testing.B) {
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprintf("objects=%d", n), func(b *testing.B) {
			if n == 1_000_000 && testing.Short() {
				b.Skip("a million objects need 1 GB")
			}
			s := memstore.New(memstore.Options{MaxBytes: 4 << 30})
			defer s.Close()
			fillStore(b, s, n)
			r := mux.NewRouter()
			p := purge.New(purge.Options{Store: s})
			p.Mount(r)
			run(b, p) // the sweep of the first purge goes on beside the others
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			srv := &http.Server{Handler: r}
			go func() { _ = srv.Serve(l) }()
			defer srv.Close()
			client := &http.Client{}
			ask := func(body string) time.Duration {
				began := time.Now()
				resp, err := client.Post("http://"+l.Addr().String()+"/v1/purge", "application/json", strings.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				_, err = io.Copy(io.Discard, resp.Body)
				if err != nil || resp.Body.Close() != nil || resp.StatusCode != 200 {
					b.Fatal(resp.Status, err)
				}
				return time.Since(began)
			}
			ask(`{"tags":["warm-up"]}`) // opens the connection
			first := ask(`{"tags":["all"]}`)
			var took []time.Duration
			for b.Loop() {
				took = append(took, ask(`{"tags":["all"]}`))
			}
			slices.Sort(took)
			b.ReportMetric(float64(first.Microseconds()), "µs/first")
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs/p50")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs/p99")
		})
	}
}

// BenchmarkSweep is the time from a purge's answer until all that fell is swept,
// while nothing else is to be done.
func BenchmarkSweep(b *testing.B) {
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		for _, mode := range []string{"soft", "hard"} {
			b.Run(fmt.Sprintf("objects=%d/%s", n, mode), func(b *testing.B) {
				if n == 1_000_000 && testing.Short() {
					b.Skip("a million objects need 1 GB")
				}
				for b.Loop() {
					b.StopTimer()
					s := memstore.New(memstore.Options{MaxBytes: 4 << 30})
					fillStore(b, s, n)
					over := make(chan struct{})
					p := purge.New(purge.Options{Store: s, Over: func(string) { close(over) }})
					ctx, cancel := context.WithCancel(b.Context())
					ended := make(chan error)
					go func() { ended <- p.Run(ctx) }()
					b.StartTimer()
					if _, err := p.Purge(ctx, purge.Request{Tags: []string{"all"}, Soft: mode == "soft"}); err != nil {
						b.Fatal(err)
					}
					<-over
					b.StopTimer()
					cancel()
					if err := <-ended; err != nil {
						b.Fatal(err)
					}
					_ = s.Close()
					b.StartTimer()
				}
				b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/sweep")
			})
		}
	}
}

func fillStore(b *testing.B, s store.Store, n int) {
	b.Helper()
	body := make([]byte, 64)
	life := store.Life{Born: time.Now(), TTL: time.Hour}
	for i := range n {
		e := &store.Entry{
			Key: store.Key(fmt.Sprintf("http://shop/product/%d", i)), Status: 200, Body: body, Life: life,
			Tags: store.NamesOf("all", store.Name(fmt.Sprintf("product:%d", i)), store.Name(fmt.Sprintf("category:%d", i%1000))),
		}
		if err := s.Put(context.Background(), e); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPurge is the same without the way there and back, with and without
// a cascade of the depth that a shop has.
func BenchmarkPurge(b *testing.B) {
	for _, c := range []struct{ name, tag string }{{"alone", "category:1"}, {"cascade", "product:1"}} {
		b.Run(c.name, func(b *testing.B) {
			s := memstore.New(memstore.Options{MaxBytes: 1 << 30})
			defer s.Close()
			fillStore(b, s, 10_000)
			for _, page := range []struct{ key, deps string }{
				{"http://shop/category/1", "product:1"}, {"http://shop/", "/category/1"}, {"http://shop/sitemap", "/ /category/1"},
			} {
				put(b, s, page.key, "", page.deps)
			}
			p := purge.New(purge.Options{Store: s})
			for b.Loop() {
				if _, err := p.PurgeTags(b.Context(), c.tag); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
