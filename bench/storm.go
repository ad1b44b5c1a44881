package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	stormTags  = 10   // that are purged in turn
	stormRate  = 100  // purges a second
	stormHits  = 2000 // hits a second meanwhile
	stormPages = 1000 // that are hit, none of them under those tags
)

// A stormResult is what hits took, quiet and while purges fell, sorted.
type stormResult struct {
	objects     int
	quiet, loud []time.Duration
	purges      []time.Duration
	asked       int // purges that should have been
}

// purgeStorm measures hits at a steady rate while tags with many objects under each
// are purged, soft: what falls so is still there to fall again, and each purge has
// them all to sweep.
func (b *bench) purgeStorm(ctx context.Context) error {
	origin, source, err := b.startOrigin(ctx)
	if err != nil {
		return err
	}
	x, err := b.launch(ctx, surrogateName, origin, cacheMegabytes)
	if err != nil {
		return err
	}
	var tags []string
	for i := range stormTags {
		tags = append(tags, fmt.Sprint("storm:", i))
	}
	under := strings.Join(tags, "+")
	if err := fill(ctx, x.addr, b.o.stormed, func(i int) string { return pathOf(kindHit, 100, under, i) }); err != nil {
		return err
	}
	page := func(i int) string { return pathOf(kindHit, 1<<10, "calm", i%stormPages) }
	if err := fill(ctx, x.addr, stormPages, page); err != nil {
		return err
	}
	asked0, err := asked(origin)
	if err != nil {
		return err
	}
	const conns = 8
	res := &stormResult{objects: b.o.stormed, asked: int(b.o.storm.Seconds() * stormRate)}
	if _, err := paced(ctx, x.addr, stormHits, conns, b.o.storm/5, page); err != nil { // warm
		return err
	}
	if res.quiet, err = paced(ctx, x.addr, stormHits, conns, b.o.storm, page); err != nil {
		return err
	}
	var wg sync.WaitGroup
	var purgeErr error
	wg.Go(func() { res.purges, purgeErr = soft(ctx, x, tags, b.o.storm) })
	res.loud, err = paced(ctx, x.addr, stormHits, conns, b.o.storm, page)
	wg.Wait()
	if err == nil {
		err = purgeErr
	}
	if err != nil {
		return err
	}
	asked1, err := asked(origin)
	if err != nil {
		return err
	}
	if asked1 != asked0 {
		return fmt.Errorf("the origin was asked %d times for what was not purged", asked1-asked0)
	}
	b.stormed = res
	return b.end(x.process, source)
}

// soft purges tags in turn at stormRate, for a while.
func soft(ctx context.Context, x *server, tags []string, d time.Duration) (took []time.Duration, err error) {
	c, err := dial(x.addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	due := time.Now()
	end := due.Add(d)
	for i := 0; due.Before(end) && ctx.Err() == nil; i++ {
		time.Sleep(time.Until(due))
		t, err := purgeOn(c, requestOf("PURGE", x.addr, "/", "Surrogate-Key", tags[i%len(tags)], "Surrogate-Purge", "soft"))
		if err != nil {
			return took, err
		}
		took = append(took, t)
		if due = due.Add(time.Second / stormRate); time.Since(due) > time.Second {
			due = time.Now() // it cannot keep up, which the count will say
		}
	}
	return took, ctx.Err()
}
