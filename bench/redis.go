package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// The rows whose answers are not in memory, because that has room for few of them.
var redisRows = []row{
	{"hit from Redis, 1 KiB", kindHit, 1 << 10, 20_000, 200, true, nil, []string{surrogateName}, overTCP},
	{"hit from Redis, 10 KiB", kindHit, 10 << 10, 5_000, 200, true, nil, []string{surrogateName}, overTCP},
}

// redisMegabytes is the memory in front of Redis: the least there can be.
const redisMegabytes = 1

// A redisResult is what hits from Redis cost.
type redisResult struct {
	rows  []rowResult
	trips []float64 // round trips to Redis of a request, by row
	ofGET map[string]float64
}

// redisHits measures surrogate with a Redis that has everything, and the store alone
// against a bare GET by the same client.
func (b *bench) redisHits(ctx context.Context) error {
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
	s, err := b.setting(surrogateName, origin, redisMegabytes)
	if err != nil {
		return err
	}
	s.Redis = "redis://" + redis
	x, err := b.launchAs(ctx, surrogateName, s, b.server)
	if err != nil {
		return err
	}
	res := &redisResult{ofGET: map[string]float64{}}
	prefixes, wires := make([]string, len(b.o.redisRows)), make([]int, len(b.o.redisRows))
	for i, r := range b.o.redisRows {
		prefixes[i] = strings.TrimSuffix(pathOf(r.kind, r.size, "product+list", 0), "0")
		wire, err := b.check(ctx, r, x, origin, prefixes[i])
		if err != nil {
			return fmt.Errorf("%s: %w", r.title, err)
		}
		wires[i] = len(wire)
		res.rows = append(res.rows, rowResult{r, map[string][]sample{}})
	}
	trips := make([][]float64, len(b.o.redisRows))
	for range b.o.rounds {
		for i, r := range b.o.redisRows {
			before, err := readsOf(redis)
			if err != nil {
				return err
			}
			m, err := b.measure(ctx, r, x, origin, prefixes[i], wires[i])
			if err != nil {
				return fmt.Errorf("%s: %w", r.title, err)
			}
			after, err := readsOf(redis)
			if err != nil {
				return err
			}
			trips[i] = append(trips[i], float64(after-before)/(m.rate*float64(b.o.seconds)))
			res.rows[i].samples[surrogateName] = append(res.rows[i].samples[surrogateName], m)
		}
	}
	for _, c := range trips {
		res.trips = append(res.trips, median(c))
	}
	if err := b.end(x.process, op, rp); err != nil {
		return err
	}
	b.redis = res
	return b.besideGET(ctx, res)
}

// startRedis starts one that keeps nothing, on the load's core.
func (b *bench) startRedis(ctx context.Context) (addr string, p *process, err error) {
	at, err := port()
	if err != nil {
		return "", nil, err
	}
	p, err = b.begin(ctx, b.client, "redis-server", addrOf(at), nil, programPath("redis-server"),
		"--bind", "127.0.0.1", "--port", strconv.Itoa(at), "--save", "", "--appendonly", "no", "--dir", b.dir)
	return addrOf(at), p, err
}

// readsOf is how often Redis has read from a connection, which is once for a round
// trip of whoever waits for each answer.
func readsOf(redis string) (int64, error) {
	c, err := dial(redis)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if _, err := c.Write([]byte("INFO stats\r\n")); err != nil {
		return 0, err
	}
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return 0, fmt.Errorf("asking Redis for its statistics: %w", err)
		}
		if n, ok := strings.CutPrefix(line, "total_reads_processed:"); ok {
			return strconv.ParseInt(strings.TrimSpace(n), 10, 64)
		}
	}
}

// besideGET runs the store's own benchmark of that.
func (b *bench) besideGET(ctx context.Context, res *redisResult) error {
	found, err := b.goBench(ctx, "./store/redisstore", "^BenchmarkHit$", strconv.Itoa(1+20*(b.o.rounds*b.o.seconds-1))+"x")
	if err != nil {
		return err
	}
	for name, v := range found {
		if v["of-GET"] == 0 {
			return fmt.Errorf("the store's benchmark says nothing of a GET: %v", found)
		}
		res.ofGET[name] = v["of-GET"]
	}
	return nil
}
