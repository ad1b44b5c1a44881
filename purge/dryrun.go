package purge

import (
	"context"
	"time"

	"surrogate/store"
)

const sampleSize = 20 // keys that a dry run shows

// dryRun tells what a purge would take with it and changes nothing. Would_fall
// counts an entry with each of its names, entries once; only where there is too
// much to look at, entries is the most that it can be.
func (p *Purger) dryRun(ctx context.Context, j job) (Receipt, error) {
	began := time.Now()
	c := newCascade(p.store, p.o.MaxExpand, j.names)
	if len(j.names) != 1 || j.names[0] != store.AllName {
		if _, err := c.walk(ctx, j.names); err != nil {
			p.counts.failed(err)
			return Receipt{}, err
		}
	}
	names := append(j.names, c.found...)
	p.expandedOf(&j, names)
	j.asked, j.askedMore = listed(j.asked)
	r := Receipt{
		ID: j.id, State: DryRun, Mode: modeOf(j.soft), Asked: j.asked, AskedMore: j.askedMore,
		Expanded: j.expanded, ExpandedMore: j.expandedMore, Nodes: map[string]store.Seq{},
		At: began, Via: j.via, By: j.by, Why: j.why, Rewarm: max(0, j.rewarm),
		Notes: []string{"dry run: nothing was purged"}, WouldFall: []Fall{}, Sample: []store.Key{},
	}
	seen := make(map[store.Key]struct{})
	t, most := p.newTally(maxDryWalked), store.Count{}
	r.Exact = true
	for _, n := range falling(names) {
		cnt, whole, err := p.weigh(ctx, t, n)
		if err != nil {
			p.counts.failed(err)
			return Receipt{}, err
		}
		word := n.String()
		if n == store.CatchAllName {
			word = "what falls with every purge"
			if cnt.Entries == 0 {
				continue
			}
		}
		r.Exact = r.Exact && whole
		most.Entries += cnt.Entries
		most.Bytes += cnt.Bytes
		if len(r.WouldFall) < maxListed {
			r.WouldFall = append(r.WouldFall, Fall{word, cnt.Entries, cnt.Bytes})
		}
		if cnt.Entries == 0 || len(r.Sample) == sampleSize {
			continue
		}
		es, _, err := p.store.List(ctx, n, "", sampleSize)
		if err != nil {
			p.counts.failed(err)
			return Receipt{}, err
		}
		for _, e := range es {
			if _, ok := seen[e.Key]; !ok && len(r.Sample) < sampleSize {
				seen[e.Key] = struct{}{}
				r.Sample = append(r.Sample, e.Key)
			}
		}
	}
	if !r.Exact {
		var err error
		if most, err = p.bounded(ctx, most); err != nil {
			p.counts.failed(err)
			return Receipt{}, err
		}
		t.count = most
	}
	r.Entries, r.Bytes = t.count.Entries, t.count.Bytes
	r.Notes = append(r.Notes, p.missed(ctx, &j, names, &r)...)
	r.TookMS = milliseconds(time.Since(began))
	return r, nil
}

// weigh adds what carries name to t, if that is not too much to look at, and
// returns how much it is, or can be at most.
func (p *Purger) weigh(ctx context.Context, t *tally, name store.Name) (c store.Count, whole bool, err error) {
	if c, err = p.count(ctx, name); err != nil {
		return c, false, err
	}
	// Of a prefix nothing is known before one looks.
	if _, isPrefix := name.Prefix(); !isPrefix && c.Entries > t.left {
		return c, false, nil
	}
	own, whole, err := t.add(ctx, name)
	if whole {
		c = own
	}
	return c, whole, err
}
