package memstore

import (
	"context"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// BoundGarbage keeps what the garbage collector leaves lying about near an
// allowance until ctx ends: 64 MiB, or an eighth of a store's MaxBytes where
// that is more. GOGC is a ratio, which is too much garbage for a full store (as
// much again) and too many collections for an empty one; so after each
// collection the ratio is set anew from what is alive.
//
// Unless the operator has set one (GOMEMLIMIT), a memory limit stands behind
// it for the time between two collections, in which what is alive may double: what
// the store was given, and twice the allowance. Where what is alive is more than
// the store's, because of a great many fences or connections, the limit rises with it:
// a limit below what is alive would keep the collector running, and free nothing.
//
// It sets what the whole process runs with. The program calls it once.
func BoundGarbage(ctx context.Context, maxBytes int64) {
	percent := debug.SetGCPercent(100)
	limit := debug.SetMemoryLimit(-1)
	ours := limit == math.MaxInt64
	defer func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}()
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
	m := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/memory/classes/metadata/mcache/inuse:bytes"},
		{Name: "/memory/classes/metadata/mspan/inuse:bytes"},
		{Name: "/memory/classes/metadata/other:bytes"},
	}
	for now, most := int64(0), int64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-collected:
		}
		metrics.Read(m)
		alive, other := int64(m[0].Value.Uint64()), int64(0)
		for _, x := range m[1:] {
			other += int64(x.Value.Uint64())
		}
		// Setting either stops the world for a moment.
		if p := gcPercent(maxBytes, alive); apart(p, now) {
			debug.SetGCPercent(int(p))
			now = p
		}
		if l := memoryLimit(maxBytes, alive, other); ours && apart(l, most) {
			debug.SetMemoryLimit(l)
			most = l
		}
	}
}

// apart reports whether a differs from b by more than a sixteenth.
func apart(a, b int64) bool { return a < b-b/16 || a > b+b/16 }

// garbage is the allowance for a store of maxBytes.
func garbage(maxBytes int64) int64 { return max(64<<20, maxBytes/8) }

// gcPercent is the GOGC by which garbage is as much as is allowed when that
// much is alive.
func gcPercent(maxBytes, alive int64) int64 {
	return min(max(garbage(maxBytes)*100/max(alive, 1), 5), 800)
}

// memoryLimit is the limit when that much is alive, and the runtime needs other
// memory besides. A sixteenth is for the gaps between what is alive.
func memoryLimit(maxBytes, alive, other int64) int64 {
	held := max(maxBytes, alive)
	return held + held/16 + 2*garbage(maxBytes) + other
}
