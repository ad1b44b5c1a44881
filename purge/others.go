package purge

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"surrogate/store"
)

// follow keeps receipts of the purges of other nodes, as far as the log tells.
func (p *Purger) follow(ctx context.Context) error {
	from := store.Seq(0)
	for ctx.Err() == nil {
		for ev, err := range p.store.Events(ctx, from) {
			switch {
			case errors.Is(err, store.ErrGap):
				// As much of the log as there is to be had; else from now on.
				st, err := p.store.Stats(ctx)
				if err != nil {
					pause(ctx, time.Second)
				} else if back := st.Seq - min(st.Seq, store.Seq(p.o.Keep)/2); from < back {
					from = back
				} else {
					from = st.Seq
				}
			case errors.Is(err, store.ErrClosed) || ctx.Err() != nil:
				return nil
			case err != nil:
				return err
			default:
				p.others.add(&ev)
				from = ev.Seq
			}
		}
	}
	return nil
}

// others are receipts of what other nodes purged, and of what this one did
// before it was started.
type others struct {
	mu    sync.Mutex // guards the fields below
	keep  int
	byID  map[string]*Receipt
	bySeq map[store.Seq]*Receipt
	list  []*Receipt
}

func newOthers(keep int) *others {
	return &others{keep: keep, byID: make(map[string]*Receipt), bySeq: make(map[store.Seq]*Receipt)}
}

// add files a purge of the log. One purge may come as several with one id.
func (o *others) add(ev *store.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.byID[ev.ID]
	if r == nil || ev.ID == "" {
		asked, more := listed(ev.Asked)
		r = &Receipt{ID: ev.ID, State: Fenced, Mode: modeOf(ev.Soft), Asked: asked, AskedMore: more, At: ev.At, Via: ByNode, By: ev.By, Why: ev.Why}
		if r.Asked == nil {
			r.Asked = []string{}
		}
		r.Expanded = []string{}
		if ev.ID != "" {
			o.byID[ev.ID] = r
		}
		o.list = append(o.list, r)
	}
	delete(o.bySeq, r.Seq)
	r.Seq = ev.Seq
	o.bySeq[ev.Seq] = r
	if len(o.list) >= 2*o.keep {
		for _, old := range o.list[:o.keep] {
			if o.byID[old.ID] == old {
				delete(o.byID, old.ID)
			}
			delete(o.bySeq, old.Seq)
		}
		o.list = slices.Clone(o.list[o.keep:])
	}
}

// find returns a receipt by its id or its sequence number.
func (o *others) find(id string, seq store.Seq) (Receipt, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.byID[id]
	if r == nil || id == "" {
		r = o.bySeq[seq]
	}
	if r == nil {
		return Receipt{}, false
	}
	return *r, true
}

// page is journal.page for what others purged.
func (o *others) page(before store.Seq, limit int) []Receipt {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []Receipt
	for _, r := range slices.Backward(o.list) {
		if len(out) == limit {
			break
		}
		if before == 0 || r.Seq < before {
			out = append(out, *r)
		}
	}
	return out
}

// page is a page of receipts, those of other nodes among them.
func (p *Purger) page(ctx context.Context, before store.Seq, limit int, via Source) []Receipt {
	var rs []Receipt
	if via != ByNode {
		rs = p.journal.page(before, limit, via)
	}
	if p.fleet == nil || via != "" && via != ByNode {
		return rs
	}
	for _, r := range p.others.page(before, limit) {
		if _, own := p.journal.find("", r.Seq); !own {
			rs = append(rs, r)
		}
	}
	slices.SortFunc(rs, func(a, b Receipt) int { return cmp.Compare(b.Seq, a.Seq) })
	rs = rs[:min(len(rs), limit)]
	p.where(ctx, rs)
	return rs
}

// settleWait is how long a receipt of another node's purge waits to learn that
// every node that could hold a lease is known. In health that is one round trip.
const settleWait = 50 * time.Millisecond

// where fills in how far each node has heard.
func (p *Purger) where(ctx context.Context, rs []Receipt) {
	if p.fleet == nil || !slices.ContainsFunc(rs, func(r Receipt) bool { return r.Via == ByNode }) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, publicWait)
	defer cancel()
	nodes, err := p.fleet.Nodes(ctx)
	if err != nil {
		return // they stay incomplete: nobody can tell
	}
	// A Redis that has just taken over knows of no node that has not found it yet
	// and still believes in its lease. Await does not confirm anything before
	// those have ended; asked last, it speaks of what the nodes were read from, or
	// of what came after it.
	brief, done := context.WithTimeout(ctx, settleWait)
	defer done()
	_, settled := p.heardBy(brief, 0)
	for i := range rs {
		r := &rs[i]
		if r.Via != ByNode {
			continue
		}
		r.Nodes, r.Complete = make(map[string]store.Seq), settled
		for _, n := range nodes {
			if n.Leased {
				r.Nodes[n.Name] = n.Heard
				r.Complete = r.Complete && n.Heard >= r.Seq
			}
		}
	}
}
