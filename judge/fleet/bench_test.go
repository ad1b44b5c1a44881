package fleet

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// How long a purge takes from asking one node to the answer that it is in force
// on all three, by how many objects carry the tag. The purges are soft, so that
// every one of them finds as many objects as the first; the last is hard. Twenty
// a second, so that it is told what a purge takes beside the sweeping of those
// before, and not how many can be swept at once:
//
//	go test ./judge/fleet -run '^$' -bench Purge -benchtime 300x
func BenchmarkPurgeEverywhere(b *testing.B) {
	for _, objects := range []int{1, 1_000, 100_000} {
		b.Run(fmt.Sprintf("objects=%d", objects), func(b *testing.B) {
			f := &fleet{t: b}
			f.start(func(string) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Cache-Control", "max-age=36000, stale-while-revalidate=36000")
					w.Header().Set("Surrogate-Key", "many")
					fmt.Fprint(w, "small")
				})
			}, "--set", "cache.memory=512MiB", "--set", "log.level=warn")
			f.fill(b, objects)
			if n := f.redis.now.Do("DBSIZE"); n.(int64) < int64(objects) {
				b.Fatalf("Redis has %d keys for %d objects", n, objects)
			}
			soft := map[string]any{"tags": []string{"many"}, "mode": "soft", "wait": "10s"}
			var took []time.Duration
			for i := 0; b.Loop(); i++ {
				took = append(took, f.timed(b, i, soft))
				time.Sleep(50 * time.Millisecond) // paces; it is not in the figures
			}
			slices.Sort(took)
			b.ReportMetric(ms(took[len(took)/2]), "p50-ms")
			b.ReportMetric(ms(took[len(took)*99/100]), "p99-ms")
			b.ReportMetric(ms(f.timed(b, 0, map[string]any{"tags": []string{"many"}, "wait": "10s"})), "hard-ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// timed purges at one node, and wants it to be in force on all three.
func (f *fleet) timed(b *testing.B, i int, what map[string]any) time.Duration {
	began := time.Now()
	status, rec, err := f.nodes[i%len(f.nodes)].purge(ask{json: what})
	took := time.Since(began)
	if err != nil || status != http.StatusOK || !rec.Complete {
		b.Fatalf("purge: %d %+v %v", status, rec, err)
	}
	return took
}

// fill has so many pages stored, each through one of the nodes.
func (f *fleet) fill(b *testing.B, objects int) {
	b.Helper()
	const clients = 12
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			n := f.nodes[c%len(f.nodes)]
			for i := c; i < objects; i += clients {
				if err := n.get(fmt.Sprintf("/%d", i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}
