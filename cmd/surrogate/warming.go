package main

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"surrogate/config"
	"surrogate/proxy"
	"surrogate/store"
	"surrogate/warm"
)

// A warmth is a node's part in fetching pages before anyone asks: what it knows
// of its visitors, what takes jobs from the queue, and what puts those in that a
// purge took.
type warmth struct {
	heat     *warm.Heat
	marks    *warm.Marks
	warmer   *warm.Warmer
	rewarmer *warm.Rewarmer
	part     atomic.Pointer[part]
	limits   atomic.Pointer[limitsInForce]
}

// A part is which of how many nodes this one is.
type part struct{ rank, nodes int }

// noPart is that of a node which does not know the others, or lost touch.
var noPart = part{math.MaxInt, math.MaxInt}

// limitsInForce is kept because it is asked for with every job.
type limitsInForce struct {
	of     *config.Config
	sites  map[string]warm.Limits
	rewarm map[string]int
}

const (
	tendEvery   = 2 * time.Second
	expireEvery = time.Minute
)

// newWarming makes a node's warming. It uses proxy and purger only once it runs.
func newWarming(n *node) *warmth {
	w := &warmth{heat: warm.NewHeat(warm.HeatOptions{}), marks: warm.NewMarks()}
	w.part.Store(&part{0, 1})
	if n.fleet != nil {
		w.part.Store(&noPart)
	}
	w.warmer = warm.New(warm.Options{
		Queue: n.queue,
		Fetch: n.intake.Following(n.warm),
		Sites: func() map[string]warm.Limits { return n.limits().sites },
		Share: func() (rank, nodes int) {
			p := w.part.Load()
			return p.rank, p.nodes
		},
		Visiting: func(site string) int { return n.proxy.Visiting(site) },
		Log:      n.log,
		Metrics:  n.counted.warmed,
	})
	w.rewarmer = warm.NewRewarmer(warm.RewarmOptions{
		Queue: n.queue, Heat: w.heat, Site: n.rewarmOf, Log: n.log,
		Began: func(purge, run string) { n.purger.Rewarming(purge, run) },
		Done:  func(purge string) { n.purger.Rewarmed(purge) },
	})
	return w
}

// limits are those of the configuration in force.
func (n *node) limits() *limitsInForce {
	cfg := n.settings.Load()
	l := n.warming.limits.Load()
	if l == nil || l.of != cfg {
		l = &limitsInForce{of: cfg, sites: sitesWarm(cfg), rewarm: make(map[string]int)}
		for i := range cfg.Sites {
			l.rewarm[cfg.Sites[i].Name] = cfg.Sites[i].Warm.Rewarm
		}
		n.warming.limits.Store(l)
	}
	return l
}

// rewarmOf is a key's site, and how many of the pages that a purge takes from it
// are fetched again.
func (n *node) rewarmOf(key store.Key) (site string, count int, ok bool) {
	s := n.proxy.Site(key.Host())
	if s == nil {
		return "", 0, false
	}
	return s.Name, n.limits().rewarm[s.Name], true
}

// askedOf is how hot each scheme and host is that visitors ask a site for.
func (n *node) askedOf(site string) map[string]float64 {
	asked := make(map[string]float64)
	for _, h := range n.warming.heat.Top(1000, time.Now()) {
		if s := n.proxy.Site(h.Key.Host()); s != nil && s.Name == site {
			asked[h.Key.Origin()] += h.Heat
		}
	}
	return asked
}

// served counts what visitors are given.
func (w *warmth) served(s proxy.Served) {
	w.heat.Asked(s.Key, s.Vary, s.Pick, s.At)
	if s.Hit {
		w.marks.Used(s.Key, s.Pick, s.Born)
	}
}

// fetched paces warming by how visitors' fetches go.
func (w *warmth) fetched(f proxy.Fetched) {
	if !f.Warming {
		w.warmer.Visitor(f.Site, f.Took, f.Failed)
	}
}

// warm does a job of the queue.
func (n *node) warm(ctx context.Context, j store.Job) warm.Result {
	r := n.proxy.Warm(ctx, proxy.WarmAsk{URL: j.URL, Vary: j.Vary, Pick: j.Pick, Force: j.Force, Body: j.Depth > 0})
	out := warm.Result{
		Outcome: store.Outcome{Why: r.Why, Bytes: r.Bytes, After: r.After},
		Origin:  warm.End{Asked: r.Cost > 0, Other: r.Status >= 400, Failed: r.Unwell, Took: r.Cost, After: r.After},
		Joined:  r.Joined, Status: r.Status, Page: r.Entry, Next: r.Location,
	}
	switch r.State {
	case proxy.WarmFresh:
		out.State = store.Fresh
	case proxy.WarmStored:
		out.State = store.Warmed
		if !r.Joined {
			n.warming.marks.Add(r.Entry)
		}
	case proxy.WarmUnkept:
		out.State = store.Unkept
	case proxy.WarmFailed:
		out.State = store.Failed
		if r.Passing {
			out.State = store.Again
		}
	}
	return out
}

// swept takes in what a purge of this node took.
func (n *node) swept(ev store.Event, keys []store.Swept) {
	n.fallen.note(ev, keys)
	for i := range keys {
		n.warming.marks.Fell(keys[i].Key)
	}
	n.warming.rewarmer.Fell(ev, keys)
}

// over takes in that this was all of a purge of this node.
func (n *node) over(id string) {
	asked := 0
	if r, ok := n.purger.Receipt(id); ok {
		asked = r.Rewarm
	}
	n.warming.rewarmer.Over(id, asked)
}

// elsewhere takes in what a purge of another node took from this one's memory:
// what this node's visitors asked for that one does not know. No keys says that
// this was all.
func (n *node) elsewhere(ev store.Event, keys []store.Swept) {
	if n.purger.Mine(ev.ID) {
		return
	}
	ev.ID += "@" + n.fleet.Node()
	if len(keys) == 0 {
		n.warming.rewarmer.Over(ev.ID, 0)
		return
	}
	for i := range keys {
		n.warming.marks.Fell(keys[i].Key)
	}
	n.warming.rewarmer.Fell(ev, keys)
}

// tendWarming keeps up with the other nodes, and with what expired, until ctx
// ends.
func (n *node) tendWarming(ctx context.Context) {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for expired := time.Now(); ; {
		if n.fleet != nil {
			n.learnPart(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if now := time.Now(); now.Sub(expired) >= expireEvery {
			n.warming.marks.Expire(now)
			expired = now
		}
	}
}

// learnPart learns which of the nodes that hold a lease this one is. While that
// cannot be learnt, what was known holds; a node without a lease has no part.
func (n *node) learnPart(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, tendEvery)
	defer cancel()
	nodes, err := n.fleet.Nodes(ctx)
	if err != nil {
		if n.deaf() != "" && !errors.Is(err, context.Canceled) {
			n.warming.part.Store(&noPart)
		}
		return
	}
	var names []string
	for _, x := range nodes {
		if x.Leased {
			names = append(names, x.Name)
		}
	}
	slices.Sort(names)
	p := part{slices.Index(names, n.fleet.Node()), len(names)}
	if p.rank < 0 {
		p = noPart
	}
	n.warming.part.Store(&p)
}

// waits tells what keeps sites from being warmed on any node; nothing while the
// others cannot be asked.
func (n *node) waits(ctx context.Context) map[string]warm.SiteWait {
	all := []map[string]warm.SiteWait{n.warming.warmer.Waits()}
	if n.fleet == nil {
		return all[0]
	}
	said, err := n.redis.Shared(ctx)
	if err != nil {
		return nil
	}
	for name, says := range said {
		var r nodeReport
		if name != n.fleet.Node() && json.Unmarshal([]byte(says), &r) == nil && time.Since(r.At) <= goneAfter {
			all = append(all, r.Waits)
		}
	}
	return warm.AllWait(all...)
}

// A warmReport is what warming came to.
type warmReport struct {
	warm.Stats
	Used     uint64 `json:"used"`     // pages warmed, and asked for since: for each of them a visitor did not wait for the origin
	Unused   uint64 `json:"unused"`   // warmed, and fell or expired before anyone asked
	Rewarmed uint64 `json:"rewarmed"` // pages queued because a purge took them
}

func (n *node) warmReport(ctx context.Context) (*warmReport, error) {
	st, err := n.warming.warmer.Stats(ctx)
	t := n.warming.marks.Tally()
	return &warmReport{Stats: st, Used: t.Used, Unused: t.Unused, Rewarmed: n.warming.rewarmer.Tally().Keys}, err
}
