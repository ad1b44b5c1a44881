package memstore

// A table finds ids by the hash of what they stand for. It holds nothing of
// what is looked up, neither bytes nor pointers: the caller says whether an id
// is the one meant. So a key costs eight bytes in a slot, nothing is held
// twice, and the garbage collector has nothing to scan.
//
// Linear probing; a removal shifts back what follows, so there are no
// tombstones.
type table struct {
	slots []uint64 // hash in the upper half, id in the lower; 0 is empty
	n     int
}

// find returns the id under hash that is the one meant, 0 when there is none.
func (t *table) find(hash uint32, is func(id uint32) bool) uint32 {
	if t.n == 0 {
		return 0
	}
	mask := uint32(len(t.slots) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		s := t.slots[i]
		if s == 0 {
			return 0
		}
		if uint32(s>>32) == hash && is(uint32(s)) {
			return uint32(s)
		}
	}
}

// insert adds an id that is not there yet.
func (t *table) insert(hash, id uint32) {
	if t.n >= len(t.slots)/5*4 {
		t.grow()
	}
	t.place(uint64(hash)<<32 | uint64(id))
	t.n++
}

func (t *table) place(s uint64) {
	mask := uint32(len(t.slots) - 1)
	i := uint32(s>>32) & mask
	for t.slots[i] != 0 {
		i = (i + 1) & mask
	}
	t.slots[i] = s
}

func (t *table) grow() {
	old := t.slots
	t.slots = make([]uint64, max(8, 2*len(old)))
	for _, s := range old {
		if s != 0 {
			t.place(s)
		}
	}
}

// replace puts id in the place of old, which must be there.
func (t *table) replace(hash, old, id uint32) {
	t.slots[t.slot(hash, old)] = uint64(hash)<<32 | uint64(id)
}

// remove takes out an id, which must be there.
func (t *table) remove(hash, id uint32) {
	mask := uint32(len(t.slots) - 1)
	hole := t.slot(hash, id)
	for i := (hole + 1) & mask; t.slots[i] != 0; i = (i + 1) & mask {
		// What is at i may move into the hole unless its own place lies
		// between the hole and i: a search for it would not pass the hole.
		home := uint32(t.slots[i]>>32) & mask
		if (i-home)&mask >= (i-hole)&mask {
			t.slots[hole] = t.slots[i]
			hole = i
		}
	}
	t.slots[hole] = 0
	t.n--
}

func (t *table) slot(hash, id uint32) uint32 {
	mask := uint32(len(t.slots) - 1)
	want := uint64(hash)<<32 | uint64(id)
	i := hash & mask
	for t.slots[i] != want {
		i = (i + 1) & mask
	}
	return i
}
