package memstore

import "sync/atomic"

// A table finds ids by the hash of what they stand for. It holds nothing of
// what is looked up, neither bytes nor pointers: the caller says whether an id
// is the one meant. So a key costs eight bytes in a slot, nothing is held
// twice, and the garbage collector has nothing to scan.
//
// Linear probing; a removal shifts back what follows, so there are no
// tombstones.
//
// One changes it at a time. Whoever finds meanwhile may be given anything that
// was or will be there, or miss it, but comes to an end; growing is not a change.
type table struct {
	slots atomic.Pointer[[]slot]
	n     int
}

// A slot has a hash in its upper half and an id in the lower; 0 is empty.
type slot struct{ v atomic.Uint64 }

func (x *slot) set(hash, id uint32) { x.v.Store(uint64(hash)<<32 | uint64(id)) }

// find returns the id under hash that is the one meant, 0 when there is none.
func (t *table) find(hash uint32, is func(id uint32) bool) uint32 {
	p := t.slots.Load()
	if p == nil {
		return 0
	}
	slots := *p
	mask := uint32(len(slots) - 1)
	for i := range uint32(len(slots)) {
		v := slots[(hash+i)&mask].v.Load()
		if v == 0 {
			return 0
		}
		if uint32(v>>32) == hash && is(uint32(v)) {
			return uint32(v)
		}
	}
	return 0
}

// insert adds an id that is not there yet.
func (t *table) insert(hash, id uint32) {
	t.reserve()
	place(*t.slots.Load(), hash, id)
	t.n++
}

func place(slots []slot, hash, id uint32) {
	mask := uint32(len(slots) - 1)
	i := hash & mask
	for slots[i].v.Load() != 0 {
		i = (i + 1) & mask
	}
	slots[i].set(hash, id)
}

// reserve makes room for one more.
func (t *table) reserve() {
	var old []slot
	if p := t.slots.Load(); p != nil {
		old = *p
	}
	if t.n < len(old)/5*4 {
		return
	}
	grown := make([]slot, max(8, 2*len(old)))
	for i := range old {
		if v := old[i].v.Load(); v != 0 {
			place(grown, uint32(v>>32), uint32(v))
		}
	}
	t.slots.Store(&grown)
}

// replace puts id in the place of old, which must be there.
func (t *table) replace(hash, old, id uint32) {
	slots := *t.slots.Load()
	slots[at(slots, hash, old)].set(hash, id)
}

// remove takes out an id, which must be there.
func (t *table) remove(hash, id uint32) {
	slots := *t.slots.Load()
	mask := uint32(len(slots) - 1)
	hole := at(slots, hash, id)
	for i := (hole + 1) & mask; ; i = (i + 1) & mask {
		v := slots[i].v.Load()
		if v == 0 {
			break
		}
		// What is at i may move into the hole unless its own place lies
		// between the hole and i: a search for it would not pass the hole.
		home := uint32(v>>32) & mask
		if (i-home)&mask >= (i-hole)&mask {
			slots[hole].v.Store(v)
			hole = i
		}
	}
	slots[hole].v.Store(0)
	t.n--
}

// at is where an id is, which must be there.
func at(slots []slot, hash, id uint32) uint32 {
	mask := uint32(len(slots) - 1)
	want := uint64(hash)<<32 | uint64(id)
	i := hash & mask
	for slots[i].v.Load() != want {
		i = (i + 1) & mask
	}
	return i
}

// drop forgets everything.
func (t *table) drop() {
	t.slots.Store(nil)
	t.n = 0
}
