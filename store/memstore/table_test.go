package memstore

import (
	"math/rand/v2"
	"testing"
)

// A table is compared with a map over random insertions and removals of
// hashes that collide.
func TestTable(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var tab table
	want := make(map[uint32]uint32) // id to hash
	for i := range 200_000 {
		id := 1 + r.Uint32N(300)
		if h, ok := want[id]; ok {
			tab.remove(h, id)
			delete(want, id)
		} else {
			h := r.Uint32N(40) * 0x01000001
			tab.insert(h, id)
			want[id] = h
		}
		if i%1000 == 0 {
			for id := range uint32(301) {
				h, ok := want[id]
				got := tab.find(h, func(x uint32) bool { return x == id })
				if ok != (got == id && id != 0) {
					t.Fatalf("after %d steps id %d is found: %v", i, id, !ok)
				}
			}
		}
	}
	if tab.n != len(want) {
		t.Errorf("%d ids, want %d", tab.n, len(want))
	}
}
