package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// paced asks for paths in turn at a steady rate, spread over connections, for a
// while, and returns how long each answer took. The time counts from when a
// request was due if its connection was busy then: a server that stalls is charged
// for those that it keeps waiting. If the connection was free it counts from when it
// was sent, because a late clock here is not the server's fault.
func paced(ctx context.Context, addr string, rate, conns int, d time.Duration, path func(i int) string) ([]time.Duration, error) {
	var (
		mu    sync.Mutex // guards what follows
		all   []time.Duration
		first error
		wg    sync.WaitGroup
	)
	gap := time.Second * time.Duration(conns) / time.Duration(rate)
	began := time.Now()
	for k := range conns {
		wg.Go(func() {
			took, err := pacedOne(ctx, addr, began.Add(gap*time.Duration(k)/time.Duration(conns)), gap, began.Add(d), func(i int) string { return path(i*conns + k) })
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
			if first == nil {
				first = err
			}
		})
	}
	wg.Wait()
	return all, first
}

func pacedOne(ctx context.Context, addr string, due time.Time, gap time.Duration, end time.Time, path func(i int) string) (all []time.Duration, err error) {
	c, err := dial(addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for i := 0; due.Before(end) && ctx.Err() == nil; i++ {
		from := due
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
			from = time.Now()
		}
		a, err := c.do(request(addr, path(i)))
		if err != nil {
			return all, err
		}
		if a.status != 200 {
			return all, fmt.Errorf("GET %s is answered %d", path(i), a.status)
		}
		all = append(all, time.Since(from))
		due = due.Add(gap)
	}
	return all, ctx.Err()
}

// at is a quantile of what is sorted, in ms.
func at(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := min(int(q*float64(len(sorted))), len(sorted)-1)
	return float64(sorted[i].Nanoseconds()) / 1e6
}
