package memstore

import (
	"strings"
	"sync"
	"time"

	"surrogate/store"
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
	n     int   // edges and nodes
	text  int64 // bytes of the names and URLs among them

	max     int
	maxText int64
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
	if n, text := g.need(e, self); n > 0 && !g.room(n, text) {
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

// room reports whether there is room for so many more edges and nodes, with so
// much text.
func (g *graph) room(n int, text int64) bool {
	return g.n+n <= g.max && g.text+text <= g.maxText
}

// need is how many edges and nodes e would add, at most, and how much text.
func (g *graph) need(e *store.Entry, self *node) (n int, text int64) {
	if self != nil {
		for name := range explicit(e) {
			switch src := g.names[name]; {
			case src == nil:
				text += int64(len(name))
				n++
			case self.in[src] == nil:
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
		text += int64(len(d))
		g.carried(url, func(e *store.Entry, _ int64) {
			edges, names := most(e)
			n += edges
			text += names
		})
	}
	return n, text
}

// most is how many edges an entry's names come to at most, and how much text.
func most(e *store.Entry) (n int, text int64) {
	return e.Tags.Len() + e.Deps.Len() + 1, int64(len(e.Tags) + len(e.Deps) + len(store.CatchAllName))
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
		g.text += int64(len(name))
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
			g.text += int64(len(name))
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
	if edges, text := most(e); !g.room(1+edges, int64(len(urlMark)+len(e.Key))+text) {
		return
	}
	if n == nil {
		n = g.node(e.Key.URL())
	}
	n.own = max(n.own, end)
	g.link(n, e, end, now)
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
			g.text -= int64(len(n.name))
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
		g.text -= int64(len(src.name))
	}
	delete(ed.to.in, src)
	g.n--
}
