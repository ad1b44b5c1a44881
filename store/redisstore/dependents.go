package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
)

// Dependents implements store.Store: one look at each name's set, whatever
// carries the name. What carries CatchAllName falls with every purge, so it
// counts whatever the names.
func (s *Store) Dependents(ctx context.Context, names []store.Name) ([]store.Name, error) {
	inc, err := s.ready(ctx)
	if err != nil {
		return nil, err
	}
	d := descent{s: s, inc: inc, now: time.Now().UnixMilli(), given: make(map[store.Name]bool, len(names))}
	for _, n := range names {
		d.given[n] = true
	}
	if err := d.from(ctx, names); err != nil {
		return nil, fmt.Errorf("redisstore: dependents: %w", err)
	}
	return d.out, nil
}

// A descent gathers the nodes that names lead to.
type descent struct {
	s     *Store
	inc   *incarnation
	now   int64
	given map[store.Name]bool
	out   []store.Name
}

func (d *descent) add(url string) {
	if n := store.Name(urlMark + url); !d.given[n] {
		d.given[n] = true
		d.out = append(d.out, n)
	}
}

// urlMark begins a URL name.
var urlMark = string(store.URLName(""))

func (d *descent) from(ctx context.Context, names []store.Name) error {
	sets := []string{d.inc.leads(store.CatchAllName)}
	for _, n := range names {
		if host, ok := n.Host(); ok {
			if err := d.under(ctx, host, ""); err != nil {
				return err
			}
			continue
		}
		if p, ok := n.Prefix(); ok {
			if err := d.prefix(ctx, p); err != nil {
				return err
			}
			continue
		}
		if n != store.CatchAllName {
			sets = append(sets, d.inc.leads(n))
		}
	}
	return d.read(ctx, sets, d.add)
}

// prefix gathers the nodes whose URL begins with p.
func (d *descent) prefix(ctx context.Context, p string) error {
	host, _, whole := strings.Cut(p, "/")
	if whole {
		return d.under(ctx, host, p)
	}
	var hosts []string
	if err := d.read(ctx, []string{d.inc.leads(hostsName)}, func(host string) {
		if strings.HasPrefix(host, p) {
			hosts = append(hosts, host)
		}
	}); err != nil {
		return err
	}
	for _, host := range hosts {
		if err := d.under(ctx, host, p); err != nil {
			return err
		}
	}
	return nil
}

// under gathers a host's nodes.
func (d *descent) under(ctx context.Context, host, prefix string) error {
	sets := make([]string, hostBuckets)
	for b := range sets {
		sets[b] = d.inc.hostLeads(host, b)
	}
	return d.read(ctx, sets, func(url string) {
		if strings.HasPrefix(url, prefix) {
			d.add(url)
		}
	})
}

// setPage is how many members of one set come at once.
const setPage = 256

// read reads sets, some at a time, page by page.
//
// A set is in order of time. What is extended while it is read moves towards its
// end, where it is met, perhaps once more; what ends moves others nearer to the
// front, so each page begins at the time at which the last one ended, not at a
// rank. A page of one time only is read again, longer.
func (d *descent) read(ctx context.Context, sets []string, visit func(member string)) error {
	type rest struct {
		set  string
		from int64
		size int64
	}
	todo := make([]rest, len(sets))
	for i, set := range sets {
		todo[i] = rest{set, d.now + 1, setPage}
	}
	for len(todo) > 0 {
		part := todo[:min(batch, len(todo))]
		todo = todo[len(part):]
		pages := make([]*redis.ZSliceCmd, len(part))
		err := d.s.guardPatient(ctx, "edges", func(ctx context.Context) error {
			return d.s.pipe(ctx, func(p redis.Pipeliner) {
				for i, r := range part {
					pages[i] = p.ZRangeByScoreWithScores(ctx, r.set, &redis.ZRangeBy{
						Min: strconv.FormatInt(r.from, 10), Max: "+inf", Count: r.size,
					})
				}
			})
		})
		if err != nil {
			return err
		}
		for i, page := range pages {
			zs := page.Val()
			for _, z := range zs {
				if m, ok := z.Member.(string); ok {
					visit(m)
				}
			}
			if int64(len(zs)) < part[i].size {
				continue
			}
			r := part[i]
			if last := int64(zs[len(zs)-1].Score); last > r.from {
				r.from, r.size = last, setPage
			} else {
				r.size *= 2
			}
			todo = append(todo, r)
		}
	}
	return nil
}
