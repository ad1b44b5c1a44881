package proxy

import (
	"context"
	"errors"
	"time"

	"surrogate/store"
)

// What several nodes that share a store owe each other: one fetch of a thing over
// the whole fleet, and no trust in what a deaf node knows.

// errElsewhere ends a flight whose fetch another node makes.
var errElsewhere = errors.New("another node fetches it")

const (
	// yieldFor is how long a refresh is left to the node that has claimed it
	// before this one offers to make it again.
	yieldFor = 250 * time.Millisecond
	// releaseWithin bounds the giving up of a claim: it ends by itself anyway.
	releaseWithin = time.Second
)

// hears reports whether this node knows of every purge that was confirmed before
// now. Ask it before the store, not after: a node that begins to hear in between
// has found what it found while it was deaf.
func (p *Proxy) hears() bool { return p.fleet == nil || p.fleet.Hears() }

// claims reports whether a fetch is worth agreeing upon with the other nodes: it
// is if what one of them stores could answer it.
func (p *Proxy) claims(f *flight, q *request, found *store.Found) bool {
	d := &q.asked.directives
	switch {
	case p.fleet == nil || f.alone || q.deaf || !q.storable:
		return false
	case d.noCache || d.noStore || d.maxAge.ok || d.minFresh.ok:
		return false // this client wants the origin's own word
	case found.Hit && (found.Doubt || found.Entry.Life.Flags.Has(store.NoCache)):
		return false // whatever is stored has to be revalidated by everyone who uses it
	}
	return true
}

// agree sees to it that one node makes a fetch. It returns how to end this node's
// right to it, or an entry that another node has fetched meanwhile, or
// errElsewhere where the fetch can be left to another. Without an agreement in
// time, or a store to agree through, the node fetches for itself.
func (p *Proxy) agree(ctx context.Context, f *flight, q *request, found *store.Found) (release func(), e *store.Entry, err error) {
	none := func() {}
	if !p.claims(f, q, found) {
		return none, nil, nil
	}
	fill := &q.site.Fill
	claim, wake, err := p.fleet.Claim(ctx, f.id.String(), max(fill.Wait, fill.ResponseTimeout))
	switch {
	case err != nil:
		q.site.counts.claims[claimFailed].Inc()
		return none, nil, nil
	case claim != nil:
		release = func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseWithin)
			defer cancel()
			claim.Release(ctx)
		}
		// Between this node's look in the store and its claim, another may have
		// claimed, fetched, stored and released.
		if e = p.foundMeanwhile(ctx, q, found); e != nil {
			release()
			q.site.counts.claims[claimFound].Inc()
			return none, e, nil
		}
		q.site.counts.claims[claimWon].Inc()
		return release, nil, nil
	case f.background:
		p.resting.add(q.key, whyNone, time.Now(), yieldFor)
		q.site.counts.claims[claimLeft].Inc()
		return none, nil, errElsewhere
	}
	// A fetch of its own has to begin while those who wait for this flight still do.
	patience := time.NewTimer(fill.Wait / 2)
	defer patience.Stop()
	select {
	case <-wake:
	case <-patience.C:
	case <-ctx.Done():
		return none, nil, cause(ctx, ctx.Err())
	}
	if e = p.foundMeanwhile(ctx, q, found); e != nil {
		q.site.counts.claims[claimFound].Inc()
		return none, e, nil
	}
	// It failed there, or is nothing to store. To claim now would have the nodes
	// fetch one after the other.
	q.site.counts.claims[claimVain].Inc()
	return none, nil, nil
}

// foundMeanwhile returns the entry that now answers q as it is, nil for none. What
// was found before is none: a page that is refreshed early is still fresh.
func (p *Proxy) foundMeanwhile(ctx context.Context, q *request, before *store.Found) *store.Entry {
	hears := p.hears()
	found, err := p.store.Get(ctx, q.key, wholly{q})
	if err != nil || !hears || before.Hit && !found.Entry.Newer(&before.Entry) {
		return nil
	}
	if d := q.site.Policy.decide(&q.asked, &found, time.Now()); d.act != actHit {
		return nil
	}
	return &found.Entry
}

// wholly is a request that wants the body too.
type wholly struct{ *request }

func (wholly) WantsBody() bool { return true }

// WantsBody makes a request a store.WantsBody: for a HEAD, and for a condition
// that may be answered 304, the head of an entry may do.
func (q *request) WantsBody() bool {
	return q.asked.method != "HEAD" && !q.asked.conditional
}

// headDoes reports whether what was found answers q without its body.
func (q *request) headDoes(found *store.Found, d decision) bool {
	if d.act != actHit || !found.Entry.Complete() {
		return false
	}
	return q.asked.method == "HEAD" || found.Entry.Status == 200 && notModified(q.client, &found.Entry)
}

// String is the id by which nodes agree on a fetch.
func (id flightID) String() string {
	return string(id.key) + "\n" + string(id.pick) + "\n" + id.ranges
}
