package purge

import (
	"fmt"
	"testing"
	"time"

	"surrogate/store"
	"surrogate/store/memstore"
)

// What a sweep allocates does not grow with what it sweeps: see memstore's sweep for
// what garbage costs.
func TestSweepingMakesNoGarbage(t *testing.T) {
	s := memstore.New(memstore.Options{})
	defer s.Close()
	const n = 20_000
	for i := range n {
		e := &store.Entry{Key: store.Key(fmt.Sprintf("http://shop.test/%d", i)), Tags: store.NamesOf("t"), Life: store.Life{Born: time.Now(), TTL: time.Hour}}
		if err := s.Put(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	handed := 0
	p := New(Options{Store: s, Swept: func(_ store.Event, keys []store.Swept) { handed += len(keys) }})
	ev, err := s.Purge(t.Context(), store.Purge{Names: []store.Name{"t"}, Soft: true})
	if err != nil {
		t.Fatal(err)
	}
	const runs = 3
	allocs := testing.AllocsPerRun(runs, func() { p.sweep(t.Context(), sweep{ev: ev, rec: newRecord([32]byte{})}) })
	if handed != (runs+1)*n {
		t.Errorf("%d keys, of %d", handed, (runs+1)*n)
	}
	if allocs > n/100 {
		t.Errorf("%v allocations for %d keys", allocs, n)
	}
}
