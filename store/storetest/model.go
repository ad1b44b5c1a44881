package storetest

import (
	"slices"
	"strings"
	"time"

	"surrogate/store"
)

// A model is the contract of a store, written as naively as possible: it keeps
// every version and every event, and answers by looking at all of them.
type model struct {
	present map[slot]*version // what the store holds, dead or alive
	all     []*version
	tried   []*store.Entry // whatever was put, refused or not: edges may stay
	events  []*store.Event
	felled  map[*version][]store.Seq // the purges that each version's presence met
}

// A slot is what a version takes: key and pick.
type slot struct {
	key  store.Key
	pick store.Pick
}

// A version is an entry that was stored, and the versions it was made from.
type version struct {
	*store.Entry
	from []*version
}

func newModel() *model {
	return &model{present: make(map[slot]*version), felled: make(map[*version][]store.Seq)}
}

func (v *version) alive() bool { return time.Now().Before(v.Life.Ends()) }

// carries reports whether an entry falls with a name.
func carries(e *store.Entry, n store.Name) bool {
	if p, ok := n.Prefix(); ok {
		return strings.HasPrefix(e.Key.URL(), p)
	}
	for have := range e.Names() {
		if have == n {
			return true
		}
	}
	return false
}

// covers reports whether an event takes an entry with it, were it older.
func covers(ev *store.Event, e *store.Entry) bool {
	return carries(e, store.CatchAllName) || slices.ContainsFunc(ev.Names, func(n store.Name) bool { return carries(e, n) })
}

// fate is what has become of an entry: dead, or fallen at a time, or neither.
func (m *model) fate(e *store.Entry) (dead bool, fell time.Time) {
	for _, ev := range m.events {
		if ev.Seq <= e.Ticket || !covers(ev, e) {
			continue
		}
		if !ev.Soft {
			return true, time.Time{}
		}
		if fell.IsZero() {
			fell = ev.At
		}
	}
	return false, fell
}

// get is what Get must find; nil for a miss.
func (m *model) get(k store.Key, p store.Pick) (v *version, fell time.Time) {
	v = m.present[slot{k, p}]
	if v == nil || !v.alive() {
		return nil, time.Time{}
	}
	dead, fell := m.fate(v.Entry)
	if dead {
		return nil, time.Time{}
	}
	return v, fell
}

// refuses is whether Put must, and whether it may, refuse an entry. It must
// where a name fell hard since the ticket, or something stored for one of its URL
// deps did, or that fell softly and e, by its own names, did not as early. It may
// where something further up may have fallen, or a soft fall is to be passed on.
func (m *model) refuses(e *store.Entry) (must, may bool) {
	must, fell := m.fate(e)
	for _, ev := range m.events {
		if ev.Seq > e.Ticket {
			may = may || strings.Contains(string(e.Deps), " url ")
		}
	}
	may = may || !fell.IsZero() && slices.ContainsFunc(m.tried, func(x *store.Entry) bool {
		return x.Key.URL() != e.Key.URL() && carries(x, store.URLName(e.Key))
	})
	for v, seqs := range m.felled {
		if v.Key.URL() == e.Key.URL() || !carries(e, store.URLName(v.Key)) {
			continue
		}
		for _, seq := range seqs {
			ev := m.events[seq-1]
			must = must || seq > e.Ticket && (!ev.Soft || fell.IsZero() || fell.After(ev.At))
		}
	}
	return must, may || must
}

// newer reports whether what an entry would take the place of is newer.
func (m *model) newer(e *store.Entry) bool {
	v, _ := m.get(e.Key, e.Pick)
	return v != nil && (v.Ticket > e.Ticket || v.Ticket == e.Ticket && v.Life.Born.After(e.Life.Born))
}

// put stores an entry. It is made from what is stored for the URLs it depends
// on, and from what declared deps itself and has not ended, though it left.
func (m *model) put(e *store.Entry) {
	v := &version{Entry: e}
	for _, w := range m.all {
		if w.Key.URL() != e.Key.URL() && carries(e, store.URLName(w.Key)) && w.alive() &&
			(m.present[slot{w.Key, w.Pick}] == w || w.Deps != "") {
			v.from = append(v.from, w)
		}
	}
	m.all = append(m.all, v)
	m.present[slot{e.Key, e.Pick}] = v
}

func (m *model) purge(ev store.Event) {
	m.events = append(m.events, &ev)
	for _, v := range m.present {
		if v.alive() && covers(&ev, v.Entry) {
			m.felled[v] = append(m.felled[v], ev.Seq)
		}
	}
}

// madeOf is the version, among those present and alive, that was made of
// something that carries one of names and still stands although a purger has
// felled names and their dependents by evs; nil when there is none.
func (m *model) madeOf(names []store.Name, evs []store.Event) *version {
	fallen := make(map[*version]bool)
	for grew := true; grew; {
		grew = false
		for _, v := range m.all {
			hit := slices.ContainsFunc(names, func(n store.Name) bool { return carries(v.Entry, n) }) ||
				carries(v.Entry, store.CatchAllName) ||
				slices.ContainsFunc(v.from, func(w *version) bool { return fallen[w] })
			if hit && !fallen[v] {
				fallen[v], grew = true, true
			}
		}
	}
	for _, v := range m.present {
		if fallen[v] && v.alive() && !slices.ContainsFunc(evs, func(ev store.Event) bool { return covers(&ev, v.Entry) }) {
			return v
		}
	}
	return nil
}

// sweep is which keys a sweep must yield, and which it may because they have
// ended by themselves and may have been freed before. Hard, it frees them.
func (m *model) sweep(ev store.Event) (must, may map[store.Key]bool) {
	must, may = make(map[store.Key]bool), make(map[store.Key]bool)
	for s, v := range m.present {
		if v.Ticket >= ev.Seq || !covers(&ev, v.Entry) {
			continue
		}
		dead, _ := m.fate(v.Entry)
		switch {
		case !v.alive():
			may[v.Key] = true
		case !ev.Soft || !dead:
			must[v.Key] = true
		}
		if !ev.Soft {
			delete(m.present, s)
		}
	}
	return must, may
}

// count is the least and the most that may be counted for a name.
func (m *model) count(n store.Name) (least, most int) {
	for _, v := range m.present {
		if n == store.AllName || carries(v.Entry, n) {
			most++
			if v.alive() {
				least++
			}
		}
	}
	return least, most
}
