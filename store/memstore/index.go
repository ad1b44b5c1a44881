package memstore

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"unsafe"

	"surrogate/store"
)

// An index knows which records carry a name. It covers what an entry carries
// in so many words, tags and deps, its host and CatchAllName. AllName is the
// slab of records itself, an entry's own URL its place in the shards.
//
// A name's members are an array; each block knows its record's position in it,
// so that leaving costs as much as joining. All under Store.mu.
type index struct {
	seed   maphash.Seed
	recs   *slab[record]
	tabs   [64]table // many, so that none stalls a Put by growing
	names  slab[name]
	groups slab[group]
	n      int
	bytes  int64 // what all this costs, without what is in the blocks
}

// A name is one that at least one record carries. Most are carried by one, and
// cost neither text nor pointer: their text is the one in that record's block.
type name struct {
	one     uint32 // the record, where there is no group
	at, len uint32 // where in its block's bytes the text is
	group   uint32
}

// A group is the members of a name that several records carry, or whose text
// is in no block. It stays until none is left.
type group struct {
	text string
	held int64 // by the members' entries
	recs []uint32
}

// A ref is a block's way to a name that its record carries. They are sorted by
// name.
type ref struct{ name, pos uint32 }

const (
	nameSize  = int(unsafe.Sizeof(name{})) + keySlot
	groupSize = int(unsafe.Sizeof(group{}))
)

func (x *index) drop() {
	for i := range x.tabs {
		x.tabs[i].drop()
	}
	x.names.drop()
	x.groups.drop()
	x.n, x.bytes = 0, 0
}

func (x *index) block(id uint32) *block { return x.recs.at(id).block.Load() }

func (x *index) text(n *name) string {
	if n.group != 0 {
		return x.groups.at(n.group).text
	}
	return unsafe.String(&x.block(n.one).bytes()[n.at], int(n.len))
}

// members are the records that carry the name, in no order.
func (x *index) members(n *name) []uint32 {
	if n.group != 0 {
		return x.groups.at(n.group).recs
	}
	return unsafe.Slice(&n.one, 1)
}

func (x *index) held(n *name) int64 {
	if n.group != 0 {
		return x.groups.at(n.group).held
	}
	return x.block(n.one).held()
}

func (x *index) hash(text string) (*table, uint32) {
	h := maphash.String(x.seed, text)
	return &x.tabs[h>>58], uint32(h)
}

func (x *index) lookup(t *table, hash uint32, text string) uint32 {
	return t.find(hash, func(id uint32) bool { return x.text(x.names.at(id)) == text })
}

// find returns the number of a name, 0 when nothing carries it.
func (x *index) find(text string) uint32 {
	t, h := x.hash(text)
	return x.lookup(t, h, text)
}

// get returns the name, nil when nothing carries it.
func (x *index) get(text string) *name {
	id := x.find(text)
	if id == 0 {
		return nil
	}
	return x.names.at(id)
}

// join makes record id, whose entry holds that much, a member of the name and returns
// its new place there. at is where the record's block has the text, -1 for
// nowhere. ok is false when it was a member already: all names of a record are
// joined one after the other, so it would be the last.
func (x *index) join(text string, at int, id uint32, held int64) (r ref, ok bool) {
	t, h := x.hash(text)
	nid := x.lookup(t, h, text)
	if nid == 0 {
		nid = x.names.take()
		t.insert(h, nid)
		x.n++
		x.bytes += int64(nameSize)
		n := x.names.at(nid)
		if at >= 0 {
			*n = name{one: id, at: uint32(at), len: uint32(len(text))}
			return ref{name: nid}, true
		}
		*n = name{group: x.newGroup(text)}
	}
	n := x.names.at(nid)
	members := x.members(n)
	if l := len(members); l > 0 && members[l-1] == id {
		return ref{}, false
	}
	if n.group == 0 {
		first, heldFirst := n.one, x.held(n)
		*n = name{group: x.newGroup(text)}
		x.push(n.group, first, heldFirst)
	}
	return ref{nid, x.push(n.group, id, held)}, true
}

func (x *index) newGroup(text string) uint32 {
	id := x.groups.take()
	*x.groups.at(id) = group{text: strings.Clone(text)}
	x.bytes += int64(groupSize + len(text))
	return id
}

// push adds a member to a group and returns its position.
func (x *index) push(id, rec uint32, held int64) (pos uint32) {
	g := x.groups.at(id)
	room := cap(g.recs)
	g.recs = append(g.recs, rec)
	x.bytes += int64(memberSize * (cap(g.recs) - room))
	g.held += held
	return uint32(len(g.recs) - 1)
}

// leave takes the record of a block, whose entry holds that much, out of
// everything it joined.
func (x *index) leave(b *block, held int64) {
	for _, rf := range b.places() {
		n := x.names.at(rf.name)
		left := 0
		if n.group != 0 {
			left = x.pull(rf, n.group, held)
		}
		if left > 0 {
			continue
		}
		t, h := x.hash(x.text(n))
		t.remove(h, rf.name)
		x.n--
		x.bytes -= int64(nameSize)
		if n.group != 0 {
			g := x.groups.at(n.group)
			x.bytes -= int64(groupSize + len(g.text) + memberSize*cap(g.recs))
			*g = group{}
			x.groups.free(n.group)
		}
		*n = name{}
		x.names.free(rf.name)
	}
	b.refs = 0
}

// pull takes a member out of a group, whose last takes its place, and gives
// back room that has been left. It returns how many remain.
func (x *index) pull(rf ref, id uint32, held int64) int {
	g := x.groups.at(id)
	g.held -= held
	last := len(g.recs) - 1
	moved := g.recs[last]
	g.recs[rf.pos] = moved
	x.block(moved).place(rf.name).pos = rf.pos
	g.recs = g.recs[:last]
	if room := cap(g.recs); room > 64 && last < room/4 {
		g.recs = append(make([]uint32, 0, 2*last), g.recs...)
		x.bytes -= int64(memberSize * (room - cap(g.recs)))
	}
	return last
}

// place is the block's ref to a name.
func (b *block) place(name uint32) *ref {
	refs := b.places()
	i, ok := slices.BinarySearchFunc(refs, name, func(r ref, name uint32) int { return cmp.Compare(r.name, name) })
	if !ok {
		return nil
	}
	return &refs[i]
}

// names is the most refs that the block of an entry needs.
func names(e *store.Entry) int {
	n := 1 + e.Tags.Len() + e.Deps.Len()
	if e.Life.Flags.Has(store.CatchAll) {
		n++
	}
	return n
}

// enter puts record id, which has the block, into the index under every name
// its entry carries. e is the entry as the block has it.
func (s *Store) enter(id uint32, b *block, e *store.Entry, held int64) {
	room, n := b.places(), 0
	join := func(text string, at int) {
		if rf, ok := s.index.join(text, at, id, held); ok {
			room[len(room)-1-n] = rf // from the end, where they stay if they are fewer
			n++
		}
	}
	verbatim := func(n store.Name) {
		join(string(n), int(b.offset(string(n))))
	}
	join(string(store.HostName(e.Key.Host())), -1)
	if e.Life.Flags.Has(store.CatchAll) {
		join(string(store.CatchAllName), -1)
	}
	for t := range e.Tags.All() {
		verbatim(t)
	}
	if e.Deps != "" {
		own := store.URLName(e.Key)
		for d := range e.Deps.All() {
			if d != own {
				verbatim(d)
			}
		}
	}
	b.refs = uint32(n)
	slices.SortFunc(b.places(), func(a, b ref) int { return cmp.Compare(a.name, b.name) })
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
			if w.s.block(w.at) != nil {
				ids = append(ids, w.at)
			}
		}
		return ids, w.at < last
	}
	var members []uint32
	if nm := w.s.index.get(w.text); nm != nil {
		members = w.s.index.members(nm)
	}
	if !w.up {
		// From the end towards the front: whoever leaves has its place taken by
		// the last member, which the walk has met already, and whoever joins
		// joins behind it.
		w.up = true
		w.at = uint32(len(members))
		if w.isURL {
			for _, scheme := range [...]string{"http://", "https://"} {
				for id := w.s.first(scheme + w.url); id != 0; id = w.s.block(id).next.Load() {
					ids = append(ids, id)
				}
			}
		}
	}
	w.at = min(w.at, uint32(len(members)))
	for ; n > 0 && w.at > 0; n-- {
		w.at--
		ids = append(ids, members[w.at])
	}
	return ids, w.at > 0
}

// carries reports whether the entry carries the name, exactly.
func (w *walk) carries(b *block) bool {
	switch {
	case w.prefix:
		return strings.HasPrefix(store.Key(b.key()).URL(), w.url)
	case w.all:
		return true
	case w.isURL && store.Key(b.key()).URL() == w.url:
		return true
	}
	id := w.s.index.find(w.text)
	return id != 0 && b.place(id) != nil
}
