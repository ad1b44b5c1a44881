package memstore

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// BoundGarbage keeps what the garbage collector leaves lying about near an
// allowance until ctx ends: 48 MiB, or a twelfth of a store's MaxBytes where that
// is more. GOGC is a ratio, which is too much garbage for a full store
// (as much again) and too many collections for an empty one; so after each
// collection the ratio is set anew from what is alive. A memory limit stands
// behind it for the time between.
//
// It sets what the whole process runs with. The program calls it once.
func BoundGarbage(ctx context.Context, maxBytes int64) {
	allowance := max(48<<20, maxBytes/12)
	percent := debug.SetGCPercent(100)
	limit := debug.SetMemoryLimit(-1)
	defer debug.SetGCPercent(percent)
	if limit == math.MaxInt64 {
		// Not the operator's. Twice the allowance leaves room for stacks and
		// what is in flight before the collector is pressed.
		debug.SetMemoryLimit(maxBytes + maxBytes/8 + 4*allowance)
		defer debug.SetMemoryLimit(limit)
	}
	collected := make(chan struct{}, 1)
	var again func(*[4]uint64)
	again = func(*[4]uint64) {
		select {
		case collected <- struct{}{}:
		default:
		}
		if ctx.Err() == nil {
			runtime.SetFinalizer(new([4]uint64), again)
		}
	}
	again(nil)
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	for now := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-collected:
		}
		metrics.Read(live)
		p := int(min(max(allowance*100/max(int64(live[0].Value.Uint64()), 1), 5), 800))
		// Setting it stops the world for a moment.
		if p < now-now/16 || p > now+now/16 {
			debug.SetGCPercent(p)
			now = p
		}
	}
}
