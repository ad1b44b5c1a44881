package purge

import (
	"context"
	"time"

	"surrogate/store"
)

const (
	sampleSize = 20   // keys that a dry run shows
	pageSize   = 1000 // entries read at a time
)

// dryRun tells what a purge would take with it and changes nothing. An entry
// with two of the names is counted with each.
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
		At: began, Via: j.via, By: j.by, Why: j.why, Rewarm: j.rewarm,
		Notes: []string{"dry run: nothing was purged"}, WouldFall: []Fall{}, Sample: []store.Key{},
	}
	seen := make(map[store.Key]struct{})
	for _, n := range names {
		cnt, err := p.exact(ctx, n)
		if err != nil {
			p.counts.failed(err)
			return Receipt{}, err
		}
		r.Entries += cnt.Entries
		r.Bytes += cnt.Bytes
		if len(r.WouldFall) < maxListed {
			r.WouldFall = append(r.WouldFall, Fall{n.String(), cnt.Entries, cnt.Bytes})
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
	r.TookMS = milliseconds(time.Since(began))
	return r, nil
}

// exact is count, but walks over what begins with a prefix: a dry run may take
// its time.
func (p *Purger) exact(ctx context.Context, name store.Name) (store.Count, error) {
	if _, ok := name.Prefix(); !ok {
		return p.count(ctx, name)
	}
	var c store.Count
	for cursor := ""; ; {
		es, next, err := p.store.List(ctx, name, cursor, pageSize)
		if err != nil {
			return c, err
		}
		c.Entries += len(es)
		for i := range es {
			c.Bytes += p.bodySize(ctx, &es[i])
		}
		if next == "" {
			return c, nil
		}
		cursor = next
	}
}
