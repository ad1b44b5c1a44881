package purge

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"surrogate/store"
)

// publicWait is the longest that a purge on the public listener waits for other
// nodes: its clients give up after a second.
const publicWait = 400 * time.Millisecond

// waitOf is how long a job waits for the other nodes.
func (p *Purger) waitOf(j *job) time.Duration {
	wait := j.wait
	if wait == 0 {
		wait = p.o.Wait
	}
	if j.via == ByPublic {
		wait = min(wait, publicWait)
	}
	return wait
}

// heardBy waits until every node has heard the purge at seq, or ctx ends.
// Without a fleet there is this node alone, and it has.
func (p *Purger) heardBy(ctx context.Context, seq store.Seq) (nodes map[string]store.Seq, all bool) {
	if p.fleet == nil {
		return map[string]store.Seq{p.o.Node: seq}, true
	}
	nodes, all, err := p.fleet.Await(ctx, seq)
	if err != nil && ctx.Err() == nil {
		p.log.Warn("could not learn which nodes have heard a purge", "seq", seq, "error", err)
	}
	if len(nodes) == 0 {
		nodes = map[string]store.Seq{p.o.Node: seq}
	}
	return nodes, all && err == nil
}

// A late purge is in force on this node, and not yet known to be on all.
type late struct {
	rec   *record
	job   job
	c     *cascade
	names []store.Name
	seq   store.Seq
}

// lates are the late purges, oldest first.
type lates struct {
	wake chan struct{} // has room for one token

	mu    sync.Mutex // guards items
	items []late
}

// maxLate bounds the purges whose completion is waited for. A node that stops
// holds all of them up for no longer than its lease.
const maxLate = 10_000

func (l *lates) push(x late) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.items) >= maxLate {
		return false
	}
	l.items = append(l.items, x)
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return true
}

func (l *lates) take() []late {
	l.mu.Lock()
	defer l.mu.Unlock()
	items := l.items
	l.items = nil
	return items
}

// complete turns receipts complete once their purges are in force everywhere.
func (p *Purger) complete(ctx context.Context) {
	for {
		for _, x := range p.lates.take() {
			for !p.completed(ctx, &x) {
				if ctx.Err() != nil {
					return
				}
			}
		}
		select {
		case <-p.lates.wake:
		case <-ctx.Done():
			return
		}
	}
}

// completed waits a while for a late purge, and reports whether there is nothing
// more to wait for. What came to depend on what fell, while a node had not heard,
// falls now: see the package comment.
func (p *Purger) completed(ctx context.Context, x *late) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	nodes, all := p.heardBy(ctx, x.seq)
	if !all {
		p.journal.heard(x.rec, x.seq, nodes, false)
		pause(ctx, 50*time.Millisecond) // should it have failed at once
		return false
	}
	if !slices.Contains(x.names, store.AllName) {
		fresh, err := x.c.walk(ctx, x.names)
		var ev store.Event
		if err == nil && len(fresh) > 0 {
			ev, err = p.store.Purge(ctx, x.job.purge(slices.Clone(fresh)))
		}
		switch {
		case errors.Is(err, ErrTooMany):
			p.journal.note(x.rec, "more came to depend on what fell than max_expand allows: repeat this purge")
			return true
		case err != nil:
			return false
		case len(fresh) > 0:
			x.names, x.seq = append(x.names, fresh...), ev.Seq
			return false
		}
	}
	p.journal.heard(x.rec, x.seq, nodes, true)
	return true
}

// heard notes how far the nodes have heard, and whether all have.
func (j *journal) heard(rec *record, seq store.Seq, nodes map[string]store.Seq, all bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	rec.receipt.Nodes, rec.receipt.Complete = nodes, all
}

// serveNodes answers with the nodes of the fleet.
func (p *Purger) serveNodes(w http.ResponseWriter, r *http.Request) {
	out := struct {
		Node  string       `json:"node"`  // the one that answers
		Hears bool         `json:"hears"` // whether it knows of every purge that was confirmed
		Nodes []store.Node `json:"nodes"`
	}{Node: p.o.Node, Hears: true}
	if p.fleet == nil {
		st, err := p.store.Stats(r.Context())
		if err != nil {
			writeProblem(w, http.StatusServiceUnavailable, "The store failed: "+err.Error(), nil)
			return
		}
		out.Nodes = []store.Node{{Name: p.o.Node, Heard: st.Seq, Leased: true}}
		writeJSON(w, http.StatusOK, out)
		return
	}
	var err error
	out.Hears = p.fleet.Hears()
	if out.Nodes, err = p.fleet.Nodes(r.Context()); err != nil {
		writeProblem(w, http.StatusServiceUnavailable, "The nodes cannot be told: "+err.Error(), nil)
		return
	}
	writeJSON(w, http.StatusOK, out)
}
