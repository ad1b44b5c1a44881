package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"surrogate/store"
	"surrogate/store/fences"
)

// The graph of who was made of what is kept twice, each half where it is asked
// for. A URL that somebody depends on has a node, in the slot of its entries,
// with the names by which those fall: the way up, for a Put. A name has a set
// of the nodes it leads to: the way down, for a purge.
//
// # None of it has a TTL
//
// Redis may evict whatever has one. It would take an edge away, say from
// product:123 to /k, while /y, made of /k, stands: a purge of product:123 would
// not reach /y, and nothing could tell that anything is missing. So edges are
// as safe as fences are; garbage.go ends them. The entries do have TTLs. A node
// outlives them: it says until when something downstream can be shown.
//
// # In which order
//
// Y declares a dep on K. First K's node says that somebody is about to depend on it
// (w) and tells K's names, in one step with looking at what is stored there.
// Then the names are made to lead to K, upstream of it as well. Then the node
// says so (d). Then Y's Put looks at the fences, and last stores Y.
//
// A Put at K comes before the first step, and its names are told; or after, and
// put.lua refuses until they lead to K for as long as w says. Should whoever
// climbs die on the way, d lags behind w, and the next to climb does it all again.
//
// A purger asks for Dependents of K's name once more after its fences are
// raised. Either it is told of K, or the last name was made to lead to K after
// that; then the fence was in Redis before Y's Put asked whether this node has
// heard everything (catchUp), and the Put is refused.
//
// # Who is remembered
//
// What declares deps has a node from the start, though without sets, for as long
// as it lives, so that whoever declares a dep on it later finds its names even
// if it was replaced or evicted. What carries plain tags has none: if it
// leaves before anyone depends on it, it is as unknown as what was never
// stored, except that it fell, if it did: see fallen.go.

// explicit yields the names that e carries besides its URL, its host and that
// it is one of everything.
func explicit(e *store.Entry) func(func(store.Name) bool) {
	return func(yield func(store.Name) bool) {
		if e.Life.Flags.Has(store.CatchAll) && !yield(store.CatchAllName) {
			return
		}
		for n := range e.Tags.All() {
			if !yield(n) {
				return
			}
		}
		for n := range e.Deps.All() {
			if url, ok := n.URL(); ok && url == e.Key.URL() {
				continue
			}
			if !yield(n) {
				return
			}
		}
	}
}

// An upstream is everything that something was made of.
type upstream struct {
	nodes []*node
	urls  map[string]bool
	grown []growth // what is to be counted
}

// A node is a URL as a climb found it.
type node struct {
	url   string
	id    id
	host  string
	done  int64 // d
	names map[store.Name]bool
	fell  store.Seq // when something that was stored here fell, see fallen.go
}

// maxUpstream bounds a climb. What is made of more is not stored.
const maxUpstream = 100_000

func (up *upstream) meet(url string) *node {
	if up.urls[url] {
		return nil
	}
	up.urls[url] = true
	host, _, _ := strings.Cut(url, "/")
	n := &node{url: url, id: idOf(url), host: host, names: make(map[store.Name]bool)}
	up.nodes = append(up.nodes, n)
	return n
}

// judge looks at the fences that stand on anything upstream.
func (up *upstream) judge(r fences.Reader, v *fences.Verdict) {
	if up == nil {
		return
	}
	for _, n := range up.nodes {
		r.URL(n.url, n.host, v)
		v.SeeURL(n.url, n.fell)
		for name := range n.names {
			r.Name(name, v)
		}
	}
}

// staleAfter is how long a name that no version carries any more still counts.
func (s *Store) staleAfter() int64 { return 2 * s.opt.MaxLife.Milliseconds() }

// rounded is the time until which something is depended upon that will be until
// t: some more, so that those who come next find nothing to extend.
func rounded(t, now int64) int64 { return t + max(time.Minute.Milliseconds(), (t-now)/8) }

// link makes sure that everything upstream of the entry leads to it, and all its
// names to it if somebody depends on it.
func (p *put) link(ctx context.Context) error {
	s, now := p.s, p.now.UnixMilli()
	var names []store.Name
	seen := make(map[store.Name]bool)
	for n := range explicit(p.e) {
		if !seen[n] {
			seen[n] = true
			names = append(names, n)
		}
	}
	p.up = &upstream{urls: map[string]bool{p.e.Key.URL(): true}}
	var level []*node
	for n := range p.e.Deps.All() {
		if url, ok := n.URL(); ok {
			if n := p.up.meet(url); n != nil {
				level = append(level, n)
			}
		}
	}
	if err := s.room(ctx, p.inc, p.at.url, level, len(names)); err != nil {
		return err
	}
	// What is extended is extended by more than needed, but never by more than
	// somebody else wants it: of two that are made of each other, each would
	// extend the other for ever.
	need, until := max(p.v.ends, p.wanted), max(rounded(p.v.ends, now), p.wanted)
	for len(level) > 0 {
		next, err := s.climb(ctx, p.inc, p.up, level, now, until)
		if err != nil {
			return err
		}
		if level = next; len(p.up.nodes) > maxUpstream {
			return store.ErrEdges
		}
	}
	l := leads{inc: p.inc, now: now}
	own := int64(0)
	if p.e.Deps != "" {
		own = p.v.ends
	}
	l.node(p.at.url, p.e.Key.URL(), names, own)
	if p.wanted != 0 {
		l.lead(p.e.Key.URL(), p.e.Key.Host(), names, p.wanted)
	}
	todo := make([]*node, 0, len(p.up.nodes))
	for _, n := range p.up.nodes {
		if n.done >= need {
			continue
		}
		todo = append(todo, n)
		names := make([]store.Name, 0, len(n.names))
		for name := range n.names {
			names = append(names, name)
		}
		l.node(n.id, n.url, names, 0)
		l.lead(n.url, n.host, names, until)
	}
	if err := s.lead(ctx, &l); err != nil {
		return err
	}
	s.grown(ctx, p.inc, append(p.up.grown, l.grown...))
	done := make([]call, len(todo))
	for i, n := range todo {
		done[i] = call{script: commitScript, keys: []string{p.inc.node(n.id)}, args: []any{until}}
	}
	if err := s.guardWrite(ctx, "edges", func(ctx context.Context) error { return s.eval(ctx, done) }); err != nil {
		return err
	}
	p.linked = p.wanted
	return nil
}

// climb asks some nodes for their names, and returns the URLs among those that
// were not met before.
func (s *Store) climb(ctx context.Context, inc *incarnation, up *upstream, level []*node, now, until int64) (next []*node, err error) {
	for ; len(level) > 0; level = level[min(batch, len(level)):] {
		part := level[:min(batch, len(level))]
		if err := s.register(ctx, inc, part, until); err != nil {
			return nil, err
		}
		calls := make([]call, len(part))
		for i, n := range part {
			calls[i] = call{
				script: climbScript,
				keys:   []string{inc.node(n.id), inc.entries(place{n.id, schemes[0]}), inc.entries(place{n.id, schemes[1]})},
				args:   []any{now, until, s.staleAfter(), n.url},
			}
		}
		if err := s.guardWrite(ctx, "edges", func(ctx context.Context) error { return s.eval(ctx, calls) }); err != nil {
			return nil, err
		}
		for i, n := range part {
			r := calls[i].reply()
			if len(r) != 4 {
				return nil, fmt.Errorf("climb.lua answers %v", calls[i].cmd.Val())
			}
			d, _ := r[0].(string)
			n.done, _ = strconv.ParseInt(d, 10, 64)
			if isNew, _ := r[1].(int64); isNew == 1 {
				up.grown = append(up.grown, growth{n.id, 1})
			}
			for _, name := range texts(r[2]) {
				n.names[store.Name(name)] = true
			}
			for _, meta := range texts(r[3]) {
				if k, err := decode(meta); err == nil && !k.dead(time.UnixMilli(now)) {
					for name := range explicit(&k.Entry) {
						n.names[name] = true
					}
				}
			}
			for name := range n.names {
				if url, ok := name.URL(); ok {
					if m := up.meet(url); m != nil {
						next = append(next, m)
					}
				}
			}
		}
	}
	return next, nil
}

// Leads are edges about to be written.
type leads struct {
	inc   *incarnation
	now   int64
	ids   []id
	nodes []call
	sets  []call
	grown []growth
}

// node notes a URL's names.
func (l *leads) node(x id, url string, names []store.Name, own int64) {
	args := make([]any, 0, 3+len(names))
	args = append(args, l.now, own, url)
	for _, n := range names {
		args = append(args, string(n))
	}
	l.ids = append(l.ids, x)
	l.nodes = append(l.nodes, call{script: linkScript, keys: []string{l.inc.node(x)}, args: args})
}

// lead makes names lead to a URL. The time differs a little from URL to URL, so
// that a set can be read page by page.
func (l *leads) lead(url, host string, names []store.Name, until int64) {
	x := idOf(url)
	until += int64(x[0])<<8 | int64(x[1])
	add := func(set, member string) {
		l.sets = append(l.sets, call{script: leadScript, keys: []string{set}, args: []any{l.now, until, member}})
	}
	for _, n := range names {
		add(l.inc.leads(n), url)
	}
	add(l.inc.hostLeads(host, int(x[0])%hostBuckets), url)
	add(l.inc.leads(hostsName), host)
}

// hostsName leads to all hosts that have a node: they go by a name no tag has.
const hostsName store.Name = " hosts"

// hostBuckets is how many sets lead to a host's nodes.
const hostBuckets = 16

func (i *incarnation) leads(n store.Name) string { return i.key("s", idOf(string(n)).String()) }

func (i *incarnation) hostLeads(host string, b int) string {
	return i.key("sh", fmt.Sprintf("%s.%d", idOf(host), b))
}

// lead writes edges: the names of a node, so that whoever ends the node knows
// where to look, together with the sets.
func (s *Store) lead(ctx context.Context, l *leads) error {
	self := []*node{{id: l.ids[0]}} // the others were registered when they were climbed
	if err := s.register(ctx, l.inc, self, l.now+time.Minute.Milliseconds()); err != nil {
		return err
	}
	calls := append(l.nodes, l.sets...)
	err := s.guardWrite(ctx, "edges", func(ctx context.Context) error { return s.eval(ctx, calls) })
	if err != nil {
		return err
	}
	for i, x := range l.ids {
		if n, _ := calls[i].cmd.Int(); n > 0 {
			l.grown = append(l.grown, growth{x, n})
		}
	}
	return nil
}
