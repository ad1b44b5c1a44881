package memstore

import (
	"hash/maphash"
	"strings"
	"unsafe"

	"surrogate/store"
)

// An index knows which records carry a name. It covers what an entry carries
// in so many words, tags and deps, its host and CatchAllName. AllName is the
// slab of records itself, an entry's own URL its place in the shards.
//
// A name's members are an array; each record knows its position in it, each
// position whose it is, so that leaving costs as much as joining. All under
// Store.mu.
type index struct {
	seed  maphash.Seed
	tabs  [64]table // many, so that none stalls a Put by growing
	names slab[name]
	n     int
	bytes int64 // what names cost beside what their members do
}

// A name is one that at least one record carries.
type name struct {
	text string
	held int64
	one  member    // the first member
	more *[]member // the others: most names have one member
}

func (n *name) len() int {
	switch {
	case n.one.rec == 0:
		return 0
	case n.more == nil:
		return 1
	}
	return 1 + len(*n.more)
}

func (n *name) at(i int) *member {
	if i == 0 {
		return &n.one
	}
	return &(*n.more)[i-1]
}

func (n *name) push(m member) {
	switch {
	case n.one.rec == 0:
		n.one = m
	case n.more == nil:
		n.more = &[]member{m}
	default:
		*n.more = append(*n.more, m)
	}
}

// pop takes off the last member and gives back room it left.
func (n *name) pop() {
	if n.more == nil {
		n.one = member{}
		return
	}
	l := len(*n.more) - 1
	*n.more = (*n.more)[:l]
	switch {
	case l == 0:
		n.more = nil
	case cap(*n.more) > 64 && l < cap(*n.more)/4:
		*n.more = append(make([]member, 0, 2*l), *n.more...)
	}
}

// A member is a record's entry in a name's list, a ref the way back.
type (
	member struct{ rec, slot uint32 }
	ref    struct{ name, pos uint32 }
)

func (x *index) hash(text string) (*table, uint32) {
	h := maphash.String(x.seed, text)
	return &x.tabs[h>>58], uint32(h)
}

// find returns the number of a name, 0 when nothing carries it.
func (x *index) find(text string) uint32 {
	t, h := x.hash(text)
	return t.find(h, func(id uint32) bool { return x.names.at(id).text == text })
}

// get returns the name, nil when nothing carries it.
func (x *index) get(text string) *name {
	id := x.find(text)
	if id == 0 {
		return nil
	}
	return x.names.at(id)
}

// join makes record id a member of the name; ref is its new place in the
// record's refs. ok is false when it was one already: all names of a record are joined
// one after the other, so it would be the last.
func (x *index) join(text string, id uint32, slot int, held int64) (r ref, ok bool) {
	t, h := x.hash(text)
	nid := t.find(h, func(id uint32) bool { return x.names.at(id).text == text })
	if nid == 0 {
		nid = x.names.take()
		x.names.at(nid).text = strings.Clone(text)
		t.insert(h, nid)
		x.n++
		x.bytes += nameCost(text)
	}
	n := x.names.at(nid)
	l := n.len()
	if l > 0 && n.at(l-1).rec == id {
		return ref{}, false
	}
	n.push(member{id, uint32(slot)})
	n.held += held
	return ref{nid, uint32(l)}, true
}

// leave takes the record out of everything it joined.
func (x *index) leave(recs *slab[record], r *record) {
	held := r.held()
	for _, rf := range r.refs.slice() {
		n := x.names.at(rf.name)
		last := n.len() - 1
		moved := *n.at(last)
		*n.at(int(rf.pos)) = moved
		recs.at(moved.rec).refs.slice()[moved.slot].pos = rf.pos
		n.pop()
		n.held -= held
		if last == 0 {
			t, h := x.hash(n.text)
			t.remove(h, rf.name)
			x.n--
			x.bytes -= nameCost(n.text)
			*n = name{}
			x.names.free(rf.name)
		}
	}
	r.refs = packed[ref]{}
}

func nameCost(text string) int64 { return int64(len(text)) + int64(unsafe.Sizeof(name{})) + keySlot }

// enter puts a record into the index under every name it carries.
func (s *Store) enter(id uint32, r *record, e *store.Entry) {
	n := 1 + e.Tags.Len() + e.Deps.Len()
	if e.Life.Flags.Has(store.CatchAll) {
		n++
	}
	refs, held := make([]ref, 0, n), r.held()
	join := func(text string) {
		if rf, ok := s.index.join(text, id, len(refs), held); ok {
			refs = append(refs, rf)
		}
	}
	join(string(store.HostName(e.Key.Host())))
	if e.Life.Flags.Has(store.CatchAll) {
		join(string(store.CatchAllName))
	}
	for t := range e.Tags.All() {
		join(string(t))
	}
	if e.Deps != "" {
		own := store.URLName(e.Key)
		for d := range e.Deps.All() {
			if d != own {
				join(string(d))
			}
		}
	}
	r.refs = pack(refs)
}

// Lists for a name, in the order that suits its kind. A walk never misses a
// record that carries the name all the while; it may meet one twice, and
// others that carry it no longer or not quite.
type walk struct {
	s      *Store
	text   string // what the index knows it by
	url    string // the URL, or the prefix
	at     uint32
	isURL  bool // it is a URL name
	prefix bool // it is a prefix
	all    bool // over all records
	up     bool // begun
}

func (s *Store) walk(n store.Name) *walk {
	w := &walk{s: s, text: string(n), all: n == store.AllName}
	if w.url, w.isURL = n.URL(); w.isURL {
		return w
	}
	if w.url, w.prefix = n.Prefix(); w.prefix {
		if host, _, ok := strings.Cut(w.url, "/"); ok {
			w.text = string(store.HostName(host))
		} else {
			w.all = true
		}
	}
	return w
}

// next appends some of the records that may carry the name to ids, about n.
// more is false after the last. The caller holds Store.mu, and may let go of
// it between two calls.
func (w *walk) next(ids []uint32, n uint32) (_ []uint32, more bool) {
	if w.all {
		last := w.s.recs.last()
		for ; n > 0 && w.at < last; n-- {
			w.at++
			if w.s.recs.at(w.at).live() {
				ids = append(ids, w.at)
			}
		}
		return ids, w.at < last
	}
	nm := w.s.index.get(w.text)
	if !w.up {
		// From the end towards the front: whoever leaves has its place taken by
		// the last member, which the walk has met already, and whoever joins
		// joins behind it.
		w.up = true
		if nm != nil {
			w.at = uint32(nm.len())
		}
		if w.isURL {
			for _, scheme := range [...]string{"http://", "https://"} {
				for id := w.s.first(scheme + w.url); id != 0; id = w.s.recs.at(id).next {
					ids = append(ids, id)
				}
			}
		}
	}
	if nm == nil {
		return ids, false
	}
	w.at = min(w.at, uint32(nm.len()))
	for ; n > 0 && w.at > 0; n-- {
		w.at--
		ids = append(ids, nm.at(int(w.at)).rec)
	}
	return ids, w.at > 0
}

// carries reports whether the record carries the name, exactly.
func (w *walk) carries(r *record) bool {
	switch {
	case w.prefix:
		return strings.HasPrefix(store.Key(r.key()).URL(), w.url)
	case w.all:
		return true
	case w.isURL && store.Key(r.key()).URL() == w.url:
		return true
	}
	id := w.s.index.find(w.text)
	for _, rf := range r.refs.slice() {
		if rf.name == id {
			return id != 0
		}
	}
	return false
}
