package memstore

import (
	"strings"
	"sync"
	"time"

	"surrogate/store"
	"surrogate/store/fences"
)

// A graph knows, for every URL that somebody declared as a dep, by which names
// the entries of that URL fall: one level of the cascade is a lookup. Entries
// nobody depends on are not in it, however many carry a name.
//
// It outlives the entries. K depends on product:123, Y on K; K is evicted, or
// replaced by a version with other deps, and Y is still made of what K was. So a
// node holds the union of what its versions carried, for as long as
// anything downstream can be shown, and what extends that time for a node
// extends it for everything upstream.
//
// A union that only grows would never end for a page that lists other products
// every day. An edge that no version carried for two longest lives is not
// extended any more, though the node is, and ends with what was made of it.
//
// What declared deps itself and leaves while nobody depends on it becomes a
// node too, if there is room, until its own end: whoever declares a dep on it
// later finds its names. What carried plain tags only, and left before anyone
// depended on it, is as unknown as what was never stored.
//
// Everyone who changes the graph holds Store.mu, and mu besides, so that
// Dependents, which is on a purge's way, waits for no Put.
type graph struct {
	mu    sync.RWMutex // guards what follows
	nodes map[string]*node
	names map[store.Name]*source
	list  []*node // the nodes, for expire
	hand  int
	n     int // edges and nodes

	max     int
	maxLife int64

	// carried yields the names, but for those a URL itself implies, of each
	// entry that is stored for a URL.
	carried func(url string, yield func(e *store.Entry, ends int64))
	// fell is when something that is stored for a URL no more fell, 0 for never.
	fell func(url string) store.Seq
}

// A node is a URL that takes part.
type node struct {
	url  string
	name store.Name
	dep  int64 // somebody depends on it until then, unix nanoseconds
	own  int64 // its names are remembered until then although nobody does
	in   map[*source]*edge
	at   int // in graph.list
}

// A source is a name that nodes carry.
type source struct {
	name store.Name
	out  []*edge
}

// An edge says that a node falls with a name.
type edge struct {
	from  *source
	to    *node
	until int64 // while it counts
	last  int64 // when a version that carries the name was last stored
	at    int   // in from.out
}

// urlMark begins a URL name. A dep that only contains it costs a look more.
var urlMark = string(store.URLName(""))

// round is the grain of node.dep: a thousand entries that depend on one node
// and are stored in the same minute extend it, and what is upstream, once.
const round = int64(time.Minute)

// add makes room for what e declares before e is stored; end is when it will
// end. It returns ErrEdges, having changed nothing, when there is none.
//
// It comes before Put compares e's ticket with the fences. A purger raises
// fences first and asks for Dependents again afterwards. Whichever of Put and
// purger is second sees the other: the edge, or the fence.
func (g *graph) add(e *store.Entry, end, now int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	self := g.nodes[e.Key.URL()]
	if self == nil && !strings.Contains(string(e.Deps), urlMark) {
		return nil
	}
	if need := g.need(e, self, now); need > 0 && g.n+need > g.max {
		return store.ErrEdges
	}
	u := end
	if self != nil {
		if self.dep > now {
			u = max(u, self.dep)
		}
		g.link(self, e, u, now)
	}
	for d := range e.Deps.All() {
		if url, ok := d.URL(); ok && url != e.Key.URL() {
			g.raise(g.dependedOn(url, now), u, now)
		}
	}
	return nil
}

// need is how many edges and nodes e would add, at most.
func (g *graph) need(e *store.Entry, self *node, now int64) (n int) {
	if self != nil {
		for name := range explicit(e) {
			if src := g.names[name]; src == nil || self.in[src] == nil {
				n++
			}
		}
	}
	for d := range e.Deps.All() {
		url, ok := d.URL()
		if !ok || url == e.Key.URL() || g.nodes[url] != nil {
			continue
		}
		n++
		g.carried(url, func(e *store.Entry, _ int64) { n += e.Tags.Len() + e.Deps.Len() + 1 })
	}
	return n
}

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

// node returns the node of a URL, a new one if need be.
func (g *graph) node(url string) *node {
	n := g.nodes[url]
	if n == nil {
		name := store.Name(urlMark + url)
		n = &node{url: string(name[len(urlMark):]), name: name, in: make(map[*source]*edge), at: len(g.list)}
		g.nodes[n.url] = n
		g.list = append(g.list, n)
		g.n++
	}
	return n
}

// dependedOn returns the node of a URL that somebody is about to depend on. If
// nobody did, it learns the names of what is stored there.
func (g *graph) dependedOn(url string, now int64) *node {
	n := g.node(url)
	if n.dep <= now {
		g.carried(n.url, func(e *store.Entry, ends int64) { g.link(n, e, ends, now) })
	}
	return n
}

// link makes n fall with the names of e.
func (g *graph) link(n *node, e *store.Entry, until, now int64) {
	for name := range explicit(e) {
		src := g.names[name]
		if src == nil {
			src = &source{name: store.Name(strings.Clone(string(name)))}
			g.names[src.name] = src
		}
		ed := n.in[src]
		if ed == nil {
			ed = &edge{from: src, to: n, at: len(src.out)}
			n.in[src] = ed
			src.out = append(src.out, ed)
			g.n++
		}
		ed.until, ed.last = max(ed.until, until), now
	}
}

// raise extends the time in which somebody depends on n, and on what is
// upstream of it, to until. It goes on only where it extends something, so
// cycles end it.
func (g *graph) raise(n *node, until, now int64) {
	if until <= n.dep {
		return
	}
	until = (until/round + 1) * round
	type step struct {
		n     *node
		until int64
	}
	for todo := []step{{n, until}}; len(todo) > 0; {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if s.until <= s.n.dep {
			continue
		}
		s.n.dep = s.until
		for src, ed := range s.n.in {
			if ed.last+2*g.maxLife > now {
				ed.until = max(ed.until, s.until)
			}
			if url, ok := src.name.URL(); ok && ed.until > now {
				todo = append(todo, step{g.dependedOn(url, now), ed.until})
			}
		}
	}
}

// remember keeps what an entry carried that leaves before its end, or is
// replaced by one that carries other names. by is nil when nothing replaces it.
func (g *graph) remember(e, by *store.Entry, end, now int64) {
	if e.Deps == "" || end <= now || by != nil && by.Deps == e.Deps && by.Tags == e.Tags {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.nodes[e.Key.URL()]
	if n != nil && n.dep > now {
		return // it holds them
	}
	if g.n+1+e.Tags.Len()+e.Deps.Len()+1 > g.max {
		return
	}
	if n == nil {
		n = g.node(e.Key.URL())
	}
	n.own = max(n.own, end)
	g.link(n, e, end, now)
}

// Dependents implements store.Store. What carries CatchAllName falls with
// every purge, so it counts whatever the names.
func (g *graph) dependents(names []store.Name, now int64) []store.Name {
	given := make(map[store.Name]bool, len(names))
	for _, n := range names {
		given[n] = true
	}
	var out []store.Name
	add := func(n *node) {
		if n.dep > now && !given[n.name] {
			given[n.name] = true
			out = append(out, n.name)
		}
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	follow := func(n store.Name) {
		if src := g.names[n]; src != nil {
			for _, ed := range src.out {
				if ed.until > now {
					add(ed.to)
				}
			}
		}
	}
	for _, n := range names {
		if host, ok := n.Host(); ok {
			for _, n := range g.list {
				if h, _, _ := strings.Cut(n.url, "/"); h == host {
					add(n)
				}
			}
		} else if prefix, ok := n.Prefix(); ok {
			for _, n := range g.list {
				if strings.HasPrefix(n.url, prefix) {
					add(n)
				}
			}
		} else {
			follow(n)
		}
	}
	follow(store.CatchAllName)
	return out
}

// judge looks at the fences that stand on what e was made of, and on what that
// was made of, all the way up. A purge passes its fall on to those it knows to
// depend on something; e, which began before the purge and arrives after it,
// was not known. The caller holds Store.mu.
func (g *graph) judge(e *store.Entry, r fences.Reader, now int64, v *fences.Verdict) {
	if !strings.Contains(string(e.Deps), urlMark) {
		return
	}
	g.mu.RLock()
	defer g.mu.RUnlock()
	var todo []string
	met := make(map[string]bool)
	see := func(name store.Name) {
		r.Name(name, v)
		if url, ok := name.URL(); ok && !met[url] {
			met[url] = true
			todo = append(todo, url)
		}
	}
	for d := range e.Deps.All() {
		see(d)
	}
	for len(todo) > 0 {
		url := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		host, _, _ := strings.Cut(url, "/")
		r.URL(url, host, v)
		if seq := g.fell(url); seq > v.Ticket {
			v.SeeURL(url, seq)
		}
		n := g.nodes[url]
		if n != nil {
			for src, ed := range n.in {
				if ed.until > now {
					see(src.name)
				}
			}
		}
		if n == nil || n.dep <= now {
			g.carried(url, func(e *store.Entry, _ int64) {
				for name := range explicit(e) {
					see(name)
				}
			})
		}
	}
}

// depended reports whether somebody depends on a URL.
func (g *graph) depended(url string, now int64) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	n := g.nodes[url]
	return n != nil && n.dep > now
}

// expire looks at the next few nodes and takes out what counts no more.
func (g *graph) expire(few int, now int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for ; few > 0 && len(g.list) > 0; few-- {
		if g.hand--; g.hand < 0 || g.hand >= len(g.list) {
			g.hand = len(g.list) - 1
		}
		n := g.list[g.hand]
		gone := n.dep <= now && n.own <= now
		for _, ed := range n.in {
			if gone || ed.until <= now {
				g.cut(ed)
			}
		}
		if gone {
			last := g.list[len(g.list)-1]
			g.list[n.at], last.at = last, n.at
			g.list[len(g.list)-1] = nil
			g.list = g.list[:len(g.list)-1]
			delete(g.nodes, n.url)
			g.n--
		}
	}
}

func (g *graph) cut(ed *edge) {
	src := ed.from
	last := src.out[len(src.out)-1]
	src.out[ed.at], last.at = last, ed.at
	src.out[len(src.out)-1] = nil
	src.out = src.out[:len(src.out)-1]
	if len(src.out) == 0 {
		delete(g.names, src.name)
	}
	delete(ed.to.in, src)
	g.n--
}

// count is how many edges there are.
func (g *graph) count() int {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.n
}
