package main

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"
)

// A herdResult is what it came to that many asked for one thing at once.
type herdResult struct {
	title   string
	fetches []float64 // of the origin
	took    []float64 // ms, until the last had its answer; the origin takes slowness
}

// herd lets many clients ask three nodes with one Redis for the same key at once.
func (b *bench) herd(ctx context.Context) error {
	if !has("redis-server") {
		b.say("no redis-server: left out")
		return nil
	}
	redis, rp, err := b.startRedis(ctx)
	if err != nil {
		return err
	}
	origin, op, err := b.startOrigin(ctx)
	if err != nil {
		return err
	}
	started := []*process{rp, op}
	var addrs []string
	for range 3 {
		s, err := b.setting(surrogateName, origin, cacheMegabytes/4)
		if err != nil {
			return err
		}
		s.Redis = "redis://" + redis
		x, err := b.launchAs(ctx, surrogateName, s, b.both)
		if err != nil {
			return err
		}
		started = append(started, x.process)
		addrs = append(addrs, x.addr)
		if _, err := get(x.addr, pathOf(kindHit, 100, "first", len(addrs))); err != nil {
			return err
		}
	}
	cold, stale := herdResult{title: "cold"}, herdResult{title: "just stale"}
	for round := range b.o.rounds {
		if err := b.stampede(ctx, &cold, origin, addrs, pathOf(kindSlow, 1<<10, "herd", round)); err != nil {
			return err
		}
		path := pathOf(kindBrief, 1<<10, "herd", round)
		for _, addr := range addrs {
			if _, err := herdGet(addr, path); err != nil {
				return err
			}
		}
		if err := sleep(ctx, 1500*time.Millisecond); err != nil { // it lives for a second
			return err
		}
		if err := b.stampede(ctx, &stale, origin, addrs, path); err != nil {
			return err
		}
	}
	b.herded = []herdResult{cold, stale}
	return b.end(started...)
}

// herdHost is what the clients ask all the nodes for.
const herdHost = "shop.example"

func herdGet(addr, path string) (answer, error) {
	c, err := dial(addr)
	if err != nil {
		return answer{}, err
	}
	defer c.Close()
	return c.do(request(herdHost, path))
}

// stampede connects all clients, and then lets them ask at once.
func (b *bench) stampede(ctx context.Context, r *herdResult, origin string, addrs []string, path string) error {
	var conns []*conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for i := range b.o.clients {
		c, err := dial(addrs[i%len(addrs)])
		if err != nil {
			return err
		}
		conns = append(conns, c)
	}
	before, err := asked(origin)
	if err != nil {
		return err
	}
	_, meant := appendMeant(pathOf(kindHit, 1<<10, "herd", 0)) // without the slowness
	req, now := request(herdHost, path), make(chan struct{})
	var wg sync.WaitGroup
	failed := make(chan error, len(conns))
	for _, c := range conns {
		wg.Go(func() {
			<-now
			a, err := c.do(req)
			if err == nil && (a.status != 200 || len(a.body) != len(meant.body) || !bytes.HasPrefix(a.body, []byte(path))) {
				err = fmt.Errorf("GET %s is answered %d with %d bytes", path, a.status, len(a.body))
			}
			failed <- err
		})
	}
	began := time.Now()
	close(now)
	wg.Wait()
	took := time.Since(began)
	for range conns {
		if err := <-failed; err != nil {
			return err
		}
	}
	after, err := asked(origin)
	if err != nil {
		return err
	}
	r.fetches = append(r.fetches, float64(after-before))
	r.took = append(r.took, float64(took.Nanoseconds())/1e6)
	return ctx.Err()
}
