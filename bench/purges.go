package main

import (
	"context"
	"fmt"
	"time"
)

// A purgeSize is how many objects there are under a tag, and how many such tags.
type purgeSize struct{ objects, times int }

// xkeyMost bounds what Varnish is filled with: it would take minutes beyond.
const xkeyMost = 100_000

// A purgeResult is the time from a purge's request to its answer.
type purgeResult struct {
	name    string
	objects int
	took    []float64 // ms
}

// purgeTimes fills the servers that purge by tags, with tags of several sizes, and
// purges each once.
func (b *bench) purgeTimes(ctx context.Context) error {
	origin, source, err := b.startOrigin(ctx)
	if err != nil {
		return err
	}
	for _, name := range []string{surrogateName, varnishName} {
		if !b.there(name) {
			continue
		}
		if err := b.purgesOf(ctx, name, origin); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return b.end(source)
}

func (b *bench) purgesOf(ctx context.Context, name, origin string) error {
	x, err := b.launch(ctx, name, origin, 4095)
	if err != nil {
		return err
	}
	if x.purge == nil {
		b.say("%s has no purge by tag: left out", name)
		return b.end(x.process)
	}
	path := func(size purgeSize, turn, i int) string {
		tags := fmt.Sprintf("all:%d:%d+category:%d+product:%d", size.objects, turn, i/100, i)
		return pathOf(kindHit, 100, tags, i)
	}
	var sizes []purgeSize
	total := 0
	for _, s := range b.o.purges {
		if name == surrogateName || s.objects <= xkeyMost {
			sizes = append(sizes, s)
			total += s.objects * s.times
		}
	}
	b.say("%s: storing %s objects to purge", name, thousands(float64(total)))
	for _, s := range sizes {
		for turn := range s.times {
			if err := fill(ctx, x.addr, s.objects, func(i int) string { return path(s, turn, i) }); err != nil {
				return err
			}
		}
	}
	c, err := dial(x.addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := purgeOn(c, x.purge("nobody-has-this")); err != nil { // the connection is warm now
		return err
	}
	for _, s := range sizes {
		r := purgeResult{name: name, objects: s.objects}
		for turn := range s.times {
			took, err := purgeOn(c, x.purge(fmt.Sprintf("all:%d:%d", s.objects, turn)))
			if err != nil {
				return err
			}
			r.took = append(r.took, float64(took.Nanoseconds())/1e6)
			if err := fallen(origin, x.addr, func(i int) string { return path(s, turn, i*(s.objects-1)) }); err != nil {
				return err
			}
			// The sweep behind a purge is not part of it, but would disturb the next.
			if err := sleep(ctx, time.Duration(s.objects)*2*time.Microsecond); err != nil {
				return err
			}
		}
		b.purged = append(b.purged, r)
	}
	return b.end(x.process)
}

// purgeOn sends a purge and says how long its answer took.
func purgeOn(c *conn, req []byte) (time.Duration, error) {
	began := time.Now()
	a, err := c.do(req)
	if err != nil {
		return 0, err
	}
	if a.status != 200 {
		return 0, fmt.Errorf("a purge was answered %d", a.status)
	}
	return time.Since(began), nil
}

// fallen checks that two objects, the first and the last under a tag, have to be
// fetched anew.
func fallen(origin, addr string, path func(i int) string) error {
	n, err := askedBy(origin, func() error {
		for i := range 2 {
			if _, err := get(addr, path(i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && n != 2 {
		err = fmt.Errorf("%d of 2 objects fell with their tag", n)
	}
	return err
}
