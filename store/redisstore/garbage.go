package redisstore

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
)

// Edges have no TTL (edges.go), so somebody has to end them. A register, in some
// buckets, has every node by the time at which to look at it; each node of the
// fleet now and then looks at those that are due. It also has the nodes of
// former incarnations, which go as a whole.
//
// A node is registered before it is written. Whoever finds it gone takes it off
// the register, and then looks once more: it may have come back between the two.

const registers = 16

// register is one bucket. It belongs to no incarnation.
func (s *Store) registerKey(b int) string {
	return s.opt.Prefix + ":edges:{" + strconv.Itoa(b) + "}"
}

// register notes nodes that are about to be written, to be looked at at a time.
func (s *Store) register(ctx context.Context, inc *incarnation, nodes []*node, look int64) error {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.id.String()
	}
	return s.registerKeys(ctx, inc, names, look)
}

func (s *Store) registerKeys(ctx context.Context, inc *incarnation, names []string, look int64) error {
	return s.guardWrite(ctx, "register", func(ctx context.Context) error {
		return s.pipe(ctx, func(p redis.Pipeliner) {
			for _, n := range names {
				p.ZAddNX(ctx, s.registerKey(bucketOfName(n)), redis.Z{Score: float64(look), Member: inc.id + "|" + n})
			}
		})
	})
}

func bucketOfName(name string) (b int) {
	for i := range len(name) {
		b = b*31 + int(name[i])
	}
	return int(uint(b) % registers)
}

// edgeBudget is about how many edges there are, the fleet's and in Redis. A node
// adds what it adds; what others did it learns now and then, and when there
// seems to be no room.
type edgeBudget struct {
	mu    sync.Mutex // guards what follows
	total int
	known bool
}

func (i *incarnation) countKey(b int) string { return i.key("c", "c"+strconv.Itoa(b)) }

// A growth is by how much a node grew.
type growth struct {
	id id
	n  int
}

// grown counts edges in, or out. What a node that dies does not count stays
// uncounted: it is a bound on memory, no more.
func (s *Store) grown(ctx context.Context, inc *incarnation, gs []growth) {
	by := make(map[int]int)
	total := 0
	for _, g := range gs {
		by[int(g.id[2])%registers] += g.n
		total += g.n
	}
	if len(by) == 0 {
		return
	}
	b := &s.data.budget
	b.mu.Lock()
	b.total += total
	b.mu.Unlock()
	_ = s.guardWrite(ctx, "count edges", func(ctx context.Context) error {
		return s.pipe(ctx, func(p redis.Pipeliner) {
			for i, n := range by {
				p.IncrBy(ctx, inc.countKey(i), int64(n))
				p.PExpire(ctx, inc.countKey(i), 2*s.opt.MaxLife)
			}
		})
	})
}

// edges asks Redis how many there are.
func (s *Store) edges(ctx context.Context) (int, error) {
	inc, err := s.ready(ctx)
	if err != nil {
		return 0, err
	}
	counts := make([]*redis.StringCmd, registers)
	err = s.guardPatient(ctx, "count edges", func(ctx context.Context) error {
		return s.pipe(ctx, func(p redis.Pipeliner) {
			for i := range counts {
				counts[i] = p.Get(ctx, inc.countKey(i))
			}
		})
	})
	if err != nil {
		return 0, err
	}
	n := 0
	for _, c := range counts {
		k, _ := c.Int()
		n += k
	}
	b := &s.data.budget
	b.mu.Lock()
	b.total, b.known = max(n, 0), true
	b.mu.Unlock()
	return max(n, 0), nil
}

// room returns ErrEdges when there is none for an entry with some names and
// deps on some URLs.
func (s *Store) room(ctx context.Context, inc *incarnation, self id, urls []*node, names int) error {
	b := &s.data.budget
	b.mu.Lock()
	enough := b.known && b.total+len(urls)+names+1 <= s.opt.MaxEdges
	b.mu.Unlock()
	if enough {
		return nil
	}
	have, err := s.edges(ctx)
	if err != nil {
		return err
	}
	if have+len(urls)+names+1 <= s.opt.MaxEdges {
		return nil
	}
	// Most of it may be there already.
	there := make([]*redis.IntCmd, len(urls))
	var own *redis.IntCmd
	err = s.guardPatient(ctx, "count edges", func(ctx context.Context) error {
		return s.pipe(ctx, func(p redis.Pipeliner) {
			own = p.HLen(ctx, inc.node(self))
			for i, n := range urls {
				there[i] = p.Exists(ctx, inc.node(n.id))
			}
		})
	})
	if err != nil {
		return err
	}
	need := max(0, names+1-int(own.Val()))
	for _, x := range there {
		need += 1 - int(x.Val())
	}
	if need > 0 && have+need > s.opt.MaxEdges {
		return store.ErrEdges
	}
	return nil
}

// runData does the data plane's periodic work until ctx ends.
func (s *Store) runData(ctx context.Context) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for b := 0; ; b = (b + 1) % registers {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		inc, err := s.ready(ctx)
		if err != nil {
			continue
		}
		if err := s.endEdges(ctx, inc, b, time.Now().UnixMilli()); err != nil {
			s.log.Debug("redisstore: edges could not be looked at", "err", err)
		}
		if b == 0 {
			_, _ = s.edges(ctx)
		}
	}
}

// endEdges looks at the nodes of one register that are due, page by page.
func (s *Store) endEdges(ctx context.Context, inc *incarnation, b int, now int64) error {
	for ctx.Err() == nil {
		var due []string
		err := s.guardPatient(ctx, "register", func(ctx context.Context) (err error) {
			due, err = s.rdb.ZRangeByScore(ctx, s.registerKey(b), &redis.ZRangeBy{
				Min: "-inf", Max: strconv.FormatInt(now, 10), Count: batch,
			}).Result()
			return err
		})
		if err != nil || len(due) == 0 {
			return err
		}
		if err := s.endNodes(ctx, inc, b, due, now); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (s *Store) endNodes(ctx context.Context, inc *incarnation, b int, due []string, now int64) error {
	calls := make([]call, len(due))
	incs := make([]*incarnation, len(due))
	for i, m := range due {
		of, name, _ := strings.Cut(m, "|")
		incs[i] = inc
		at := now
		if of != inc.id {
			incs[i], at = s.incarnation(of, 0), 1<<50 // everything of it has ended
		}
		kind := "n"
		if name[0] == 'f' && len(name) < 4 {
			kind = "f"
		}
		calls[i] = call{script: pruneScript, keys: []string{incs[i].key(kind, name)}, args: []any{at, s.staleAfter()}}
		if kind == "f" {
			calls[i].script = keepScript
			calls[i].args = []any{strconv.FormatBool(of == inc.id), now + time.Hour.Milliseconds()}
		}
	}
	if err := s.guardPatient(ctx, "prune", func(ctx context.Context) error { return s.eval(ctx, calls) }); err != nil {
		return err
	}
	var gone []int
	var sets []call
	shrunk := make([]int64, len(due))
	err := s.guardWrite(ctx, "register", func(ctx context.Context) error {
		return s.pipe(ctx, func(p redis.Pipeliner) {
			for i, m := range due {
				r := calls[i].reply()
				if len(r) < 3 {
					continue
				}
				look := number(r[1])
				shrunk[i] = number(r[2])
				if look > 0 {
					p.ZAddXX(ctx, s.registerKey(b), redis.Z{Score: float64(look), Member: m})
				} else {
					p.ZRem(ctx, s.registerKey(b), m)
					gone = append(gone, i)
				}
				url, _ := r[0].(string)
				sets = append(sets, s.ended(incs[i], url, texts(r[3:]), look == 0, incs[i] != inc, now)...)
			}
		})
	})
	if err != nil {
		return err
	}
	if err := s.guardPatient(ctx, "prune", func(ctx context.Context) error { return s.eval(ctx, sets) }); err != nil {
		return err
	}
	var gs []growth
	for i, n := range shrunk {
		if n > 0 && incs[i] == inc {
			gs = append(gs, growth{id{2: byte(b)}, -int(n)})
		}
	}
	s.grown(ctx, inc, gs)
	return s.stillThere(ctx, b, due, calls, gone, now)
}

// ended are the calls that prune the sets which led to what has ended.
func (s *Store) ended(inc *incarnation, url string, names []string, gone, all bool, now int64) []call {
	if all {
		now = 1 << 50
	}
	var calls []call
	prune := func(set string) {
		calls = append(calls, call{script: leadScript, keys: []string{set}, args: []any{now, 0}})
	}
	for _, n := range names {
		prune(inc.leads(store.Name(n)))
	}
	if gone && url != "" {
		host, _, _ := strings.Cut(url, "/")
		prune(inc.hostLeads(host, int(idOf(url)[0])%hostBuckets))
		prune(inc.leads(hostsName))
	}
	return calls
}

// stillThere registers again what came back while it was taken off.
func (s *Store) stillThere(ctx context.Context, b int, due []string, calls []call, gone []int, now int64) error {
	there := make([]*redis.IntCmd, len(gone))
	err := s.guardPatient(ctx, "register", func(ctx context.Context) error {
		return s.pipe(ctx, func(p redis.Pipeliner) {
			for j, i := range gone {
				there[j] = p.Exists(ctx, calls[i].keys[0])
			}
		})
	})
	if err != nil {
		return err
	}
	return s.guardWrite(ctx, "register", func(ctx context.Context) error {
		return s.pipe(ctx, func(p redis.Pipeliner) {
			for j, i := range gone {
				if there[j].Val() > 0 {
					p.ZAddNX(ctx, s.registerKey(b), redis.Z{Score: float64(now), Member: due[i]})
				}
			}
		})
	})
}

// number reads an integer of a script's answer.
func number(x any) int64 {
	switch x := x.(type) {
	case int64:
		return x
	case string:
		n, _ := strconv.ParseInt(x, 10, 64)
		return n
	}
	return 0
}
