package main

import (
	"context"
	"fmt"
	"time"
)

// A memoryResult is what a server holds for one small object beyond its bytes.
type memoryResult struct {
	name   string
	beyond float64 // bytes
	of     int     // bytes that are stored: URL, head, tags, body
}

// rememberers are the servers whose memory grows with what they store. HAProxy takes
// all of its cache's when it starts.
var rememberers = []string{surrogateName, nginxName, varnishName}

// memoryPerObject fills one server after another, and compares what it holds with
// what it held when it had started.
func (b *bench) memoryPerObject(ctx context.Context) error {
	origin, source, err := b.startOrigin(ctx)
	if err != nil {
		return err
	}
	for _, name := range rememberers {
		if !b.there(name) {
			continue
		}
		r, err := b.memoryOf(ctx, name, origin)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		b.say("%s: %.0f bytes beyond an object's %d", name, r.beyond, r.of)
		b.remembered = append(b.remembered, r)
	}
	return b.end(source)
}

func (b *bench) memoryOf(ctx context.Context, name, origin string) (memoryResult, error) {
	// Room for all of them as each needs it, as whoever sizes a cache would give.
	each := 4 << 10
	if name == surrogateName {
		each = 5 << 9
	}
	x, err := b.launch(ctx, name, origin, max(64, min(b.o.memory*each>>20, 4095)))
	if err != nil {
		return memoryResult{}, err
	}
	// Three tags: one on all, one on a hundred, one of its own.
	path := func(i int) string {
		return pathOf(kindHit, 1<<10, fmt.Sprintf("product+category:%d+product:%d", i/100, i), i)
	}
	few := func(i int) string { return fmt.Sprint(path(0), "-warm-", i) }
	if err := fill(ctx, x.addr, 100, few); err != nil {
		return memoryResult{}, err
	}
	before, err := x.kept()
	if err != nil {
		return memoryResult{}, err
	}
	if err := fill(ctx, x.addr, b.o.memory, path); err != nil {
		return memoryResult{}, err
	}
	// All of it has to be there.
	step := max(1, b.o.memory/1000)
	gone, err := askedBy(origin, func() error {
		return fill(ctx, x.addr, b.o.memory/step, func(i int) string { return path(i * step) })
	})
	if err != nil {
		return memoryResult{}, err
	}
	if gone > 0 {
		return memoryResult{}, fmt.Errorf("%d of %d objects are not there any more", gone, b.o.memory/step)
	}
	if err := sleep(ctx, b.o.settle); err != nil {
		return memoryResult{}, err
	}
	if b.o.profiles != "" && name == surrogateName {
		if err := b.heap(ctx, x); err != nil {
			return memoryResult{}, err
		}
	}
	after, err := x.kept()
	if err != nil {
		return memoryResult{}, err
	}
	wire, _ := appendMeant(path(b.o.memory / 2))
	of := len(wire) + len("http://"+x.addr+path(b.o.memory/2))
	return memoryResult{name, float64(after-before)/float64(b.o.memory) - float64(of), of}, b.end(x.process)
}

// sleep waits, but not beyond ctx.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
