package memstore_test

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"surrogate/store/memstore"
)

// BenchmarkMemory fills a store with 400,000 small objects with three tags, one
// that all carry, one that a hundred do, one of its own, and reports what the
// process's resident memory has become beyond their heads and bodies, with the
// garbage bound as the server has it. It counts once, however often it runs:
//
//	go test ./store/memstore -run xxx -bench BenchmarkMemory -benchtime 1x
func BenchmarkMemory(b *testing.B) {
	const n = 400_000
	const maxBytes = 656 << 20 // just what they fit in: the bound on garbage goes by it
	for b.Loop() {
		before := resident(b)
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan struct{})
		s := memstore.New(memstore.Options{MaxBytes: maxBytes})
		go func() {
			defer close(done)
			memstore.BoundGarbage(ctx, maxBytes)
		}()
		content := int64(0)
		for i := range n {
			e := object(i)
			put(b, s, e)
			content += e.Bytes()
		}
		after := resident(b)
		st, err := s.Stats(b.Context())
		if err != nil || st.Entries != n {
			b.Fatalf("%d entries, %v", st.Entries, err)
		}
		b.ReportMetric(float64(after-content)/n, "B/object-beyond-content")
		b.ReportMetric(float64(before)/n, "B/object-at-start")
		b.ReportMetric(float64(st.Bytes-content)/n, "B/object-accounted")
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric((float64(m.HeapAlloc)-float64(content))/n, "B/object-alive")
		cancel()
		<-done
		_ = s.Close()
	}
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
