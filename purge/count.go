package purge

import (
	"context"
	"strings"

	"surrogate/store"
)

const (
	maxCounted   = 64      // names that a purge counts before it is in force
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

// before is exactly, for a purge that does not fail for want of a number. Those
// of traffic do without: nobody reads it, and somebody waits for an answer.
func (p *Purger) before(ctx context.Context, j *job, names []store.Name) (store.Count, bool) {
	if j.via == ByTraffic || len(names) > maxCounted {
		return store.Count{}, false
	}
	c, exact, err := p.exactly(ctx, names)
	if err != nil {
		p.log.Warn("purge: counting failed", "id", j.id, "error", err)
	}
	return c, exact
}

// exactly counts what names are about to take, each entry once. It gives up,
// and exact is false, where that would take a look at more than maxWalked
// entries: a purge costs the same whatever it covers. What only one name takes,
// the index has counted, but for what fell before and is not swept yet, here or
// on another node.
func (p *Purger) exactly(ctx context.Context, names []store.Name) (c store.Count, exact bool, err error) {
	var carried []store.Name
	sum := 0
	for _, n := range falling(names) {
		cnt, err := p.count(ctx, n)
		if err != nil {
			return c, false, err
		}
		if cnt.Entries > 0 {
			carried = append(carried, n)
			sum += cnt.Entries
			c = cnt
		}
		if sum > maxWalked && len(carried) > 1 {
			return c, false, nil
		}
	}
	if len(carried) == 0 {
		return c, true, nil
	}
	if _, isPrefix := carried[0].Prefix(); len(carried) == 1 && !isPrefix && p.fleet == nil && p.unswept.Load() == 0 {
		return c, true, nil
	}
	if sum > maxWalked {
		return c, false, nil
	}
	t := p.newTally(maxWalked)
	for _, n := range carried {
		if _, whole, err := t.add(ctx, n); err != nil || !whole {
			return c, false, err
		}
	}
	return t.count, true, nil
}

// atMost is the most that names can take: an entry with two of them counts
// twice, but no more than everything.
func (p *Purger) atMost(ctx context.Context, names []store.Name) (c store.Count, err error) {
	for _, n := range falling(names) {
		cnt, err := p.count(ctx, n)
		if err != nil {
			return c, err
		}
		c.Entries += cnt.Entries
		c.Bytes += cnt.Bytes
	}
	return p.bounded(ctx, c)
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
