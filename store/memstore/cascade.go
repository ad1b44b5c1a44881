package memstore

import (
	"strings"

	"surrogate/store"
	"surrogate/store/fences"
)

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

// edgeCost is about what an edge, or a node, costs beside its text: itself, its
// slot in its node's map and in its source's list, and its share of either.
const edgeCost = 200

// count is how many edges there are, and about how much memory they take.
func (g *graph) count() (n int, bytes int64) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.n, int64(g.n)*edgeCost + g.text
}
