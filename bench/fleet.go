package main

import (
	"context"
	"fmt"
)

// A fleetResult is what purges took until they were in force on three nodes, in ms.
type fleetResult struct{ p50, p99, hard float64 }

// fleetPurges runs the fleet's own benchmark of that, over fleetObjects under the tag.
func (b *bench) fleetPurges(ctx context.Context) error {
	if !has("redis-server") {
		b.say("no redis-server: left out")
		return nil
	}
	name := fmt.Sprintf("objects=%d", b.o.fleet)
	found, err := b.goBench(ctx, "./judge/fleet", "^BenchmarkPurgeEverywhere$/^"+name+"$", fmt.Sprint(b.o.fleetPurges, "x"))
	if err != nil {
		return err
	}
	v, ok := found[name]
	if !ok || v["p99-ms"] == 0 {
		return fmt.Errorf("the fleet's benchmark says nothing of %s: %v", name, found)
	}
	b.fleet = &fleetResult{v["p50-ms"], v["p99-ms"], v["hard-ms"]}
	return nil
}
