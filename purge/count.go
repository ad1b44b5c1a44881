package purge

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"

	"surrogate/store"
)

const (
	maxCounted   = 64      // names that a purge counts before it is in force
	countsAtOnce = 16      // names of a fleet's store that are counted together
	maxWalked    = 200     // entries that a purge looks at for its first count, some tenths of a millisecond
	maxDryWalked = 100_000 // entries that a dry run looks at
	pageSize     = 1000    // entries read at a time
)

// A tally counts what carries any of several names, each entry once. It looks
// at so many entries at most, so that it costs no more, whatever there is.
type tally struct {
	p     *Purger
	left  int // entries that it may still look at
	seen  map[carrier]struct{}
	count store.Count
}

// A carrier is what tells one entry from the others.
type carrier struct {
	key  store.Key
	pick store.Pick
}

func (p *Purger) newTally(most int) *tally {
	return &tally{p: p, left: most, seen: make(map[carrier]struct{})}
}

// add counts what carries name: own is all of that, t.count grows by what was
// not counted before. whole is false when there was more than it may look at.
func (t *tally) add(ctx context.Context, name store.Name) (own store.Count, whole bool, err error) {
	for cursor := ""; ; {
		es, next, err := t.p.store.List(ctx, name, cursor, max(1, min(pageSize, t.left)))
		if err != nil {
			return own, false, err
		}
		for i := range es {
			if t.left == 0 {
				return own, false, nil
			}
			t.left--
			size := es[i].Bytes() + t.p.bodySize(ctx, &es[i])
			own.Entries++
			own.Bytes += size
			c := carrier{es[i].Key, es[i].Pick}
			if _, again := t.seen[c]; !again {
				t.seen[c] = struct{}{}
				t.count.Entries++
				t.count.Bytes += size
			}
		}
		if next == "" {
			return own, true, nil
		}
		cursor = next
	}
}

// falling are names and what falls with any purge.
func falling(names []store.Name) []store.Name {
	if len(names) == 1 && names[0] == store.AllName {
		return names
	}
	return append(names[:len(names):len(names)], store.CatchAllName)
}

// before counts what a job is about to take, and says in it how well it could. A
// purge does not fail for want of a number. Those of traffic do without: nobody
// reads it, and somebody waits for an answer.
func (p *Purger) before(ctx context.Context, j *job, names []store.Name) {
	if j.via == ByTraffic || len(names) > maxCounted {
		return
	}
	var err error
	if j.count, j.exact, err = p.exactly(ctx, names); err != nil {
		p.log.Warn("purge: counting failed", "id", j.id, "error", err)
	}
	j.counted = err == nil
}

// exactly counts what names are about to take, each entry once. It gives up,
// and exact is false, where that would take a look at more than maxWalked
// entries: a purge costs the same whatever it covers. It is atMost then. What
// only one name takes, the index has counted, but for what fell before and is
// not swept yet, here or on another node.
func (p *Purger) exactly(ctx context.Context, names []store.Name) (c store.Count, exact bool, err error) {
	names = falling(names)
	each, err := p.countEach(ctx, names)
	if err != nil {
		return c, false, err
	}
	var carried []store.Name
	for i, n := range names {
		if each[i].Entries > 0 {
			carried = append(carried, n)
			c.Entries += each[i].Entries
			c.Bytes += each[i].Bytes
		}
	}
	if len(carried) == 0 {
		return c, true, nil
	}
	if _, isPrefix := carried[0].Prefix(); len(carried) == 1 && !isPrefix && p.fleet == nil && p.unswept.Load() == 0 {
		return c, true, nil
	}
	if c.Entries <= maxWalked {
		t := p.newTally(maxWalked)
		whole := true
		for i := 0; i < len(carried) && whole && err == nil; i++ {
			_, whole, err = t.add(ctx, carried[i])
		}
		if err != nil || whole {
			return t.count, err == nil, err
		}
	}
	if len(carried) > 1 {
		c, err = p.bounded(ctx, c)
	}
	return c, false, err
}

// atMost is the most that names can take: an entry with two of them counts
// twice, but no more than everything.
func (p *Purger) atMost(ctx context.Context, names []store.Name) (c store.Count, err error) {
	each, err := p.countEach(ctx, falling(names))
	if err != nil {
		return c, err
	}
	for _, cnt := range each {
		c.Entries += cnt.Entries
		c.Bytes += cnt.Bytes
	}
	return p.bounded(ctx, c)
}

// countEach is count of each name. In a fleet that is a round trip each, so some
// are under way at once.
func (p *Purger) countEach(ctx context.Context, names []store.Name) ([]store.Count, error) {
	each := make([]store.Count, len(names))
	if p.fleet == nil {
		for i, n := range names {
			var err error
			if each[i], err = p.count(ctx, n); err != nil {
				return nil, err
			}
		}
		return each, nil
	}
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	for range min(len(names), countsAtOnce) {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(names)) && failed.Load() == nil; i = next.Add(1) - 1 {
				var err error
				if each[i], err = p.count(ctx, names[i]); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	return each, nil
}

// bounded is c, or everything where that is less.
func (p *Purger) bounded(ctx context.Context, c store.Count) (store.Count, error) {
	all, err := p.store.Count(ctx, store.AllName)
	return store.Count{Entries: min(c.Entries, all.Entries), Bytes: min(c.Bytes, all.Bytes)}, err
}

// count is store.Count. What begins with a prefix no index counts: it is at
// most what its host has.
func (p *Purger) count(ctx context.Context, name store.Name) (store.Count, error) {
	if prefix, ok := name.Prefix(); ok {
		host, _, _ := strings.Cut(prefix, "/")
		name = store.HostName(host)
	}
	return p.store.Count(ctx, name)
}
