package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
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

// A stormResult is what hits took, quiet and while purges fell, and what those took.
type stormResult struct {
	objects             int
	quiet, loud, purges []spread // by round
	late                int      // purges that were not sent for want of time
}

// A spread is how long answers took, in ms.
type spread struct{ p50, p99, p999 float64 }

func spreadOf(took []time.Duration) spread {
	slices.Sort(took)
	return spread{at(took, 0.5), at(took, 0.99), at(took, 0.999)}
}

// medianSpread is that of each of its figures, over the rounds.
func medianSpread(rounds []spread) spread {
	of := func(figure func(spread) float64) float64 {
		var xs []float64
		for _, r := range rounds {
			xs = append(xs, figure(r))
		}
		return median(xs)
	}
	return spread{of(func(s spread) float64 { return s.p50 }), of(func(s spread) float64 { return s.p99 }), of(func(s spread) float64 { return s.p999 })}
}

func (s spread) String() string { return fmt.Sprintf("%.2f / %.2f / %.2f ms", s.p50, s.p99, s.p999) }

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
	res := &stormResult{objects: b.o.stormed}
	n, err := askedBy(origin, func() error {
		return b.pinned(func() error {
			for range b.o.rounds {
				if err := b.stormRound(ctx, x, tags, page, res); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err == nil && n > 0 {
		err = fmt.Errorf("the origin was asked %d times for what was not purged", n)
	}
	if err != nil {
		return err
	}
	b.stormed = res
	return b.end(x.process, source)
}

func (b *bench) stormRound(ctx context.Context, x *server, tags []string, page func(i int) string, res *stormResult) error {
	const conns = 8
	if _, err := paced(ctx, x.addr, stormHits, conns, b.o.storm/5, page); err != nil { // warm
		return err
	}
	quiet, err := paced(ctx, x.addr, stormHits, conns, b.o.storm, page)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	var purges []time.Duration
	var purgeErr, traceErr error
	wg.Go(func() { purges, purgeErr = soft(ctx, x, tags, b.o.storm) })
	if b.o.profiles != "" && len(res.loud) == 0 {
		wg.Go(func() { traceErr = b.trace(ctx, x) })
	}
	loud, err := paced(ctx, x.addr, stormHits, conns, b.o.storm, page)
	wg.Wait()
	if err = errors.Join(err, purgeErr, traceErr); err != nil {
		return err
	}
	res.quiet, res.loud = append(res.quiet, spreadOf(quiet)), append(res.loud, spreadOf(loud))
	res.late += int(b.o.storm.Seconds()*stormRate) - len(purges)
	res.purges = append(res.purges, spreadOf(purges))
	return swept(ctx, x)
}

// swept waits until nothing of the last purge is left to sweep.
func swept(ctx context.Context, x *server) error {
	for range 3000 {
		a, err := get(x.admin, "/v1/purges?limit=1")
		if err != nil {
			return err
		}
		if bytes.Contains(a.body, []byte(`"state":"swept"`)) {
			return nil
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("the last purge is not swept after a minute")
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
