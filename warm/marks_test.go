package warm_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/store"
	"surrogate/warm"
)

func TestMarks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := warm.NewMarks()
		check := func(used, unused uint64, waiting int64) {
			t.Helper()
			if got, want := m.Tally(), (warm.MarksTally{Used: used, Unused: unused, Waiting: waiting}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		}
		entry := func(i int, pick store.Pick) *store.Entry {
			return &store.Entry{Key: keyOf(i), Pick: pick, Life: store.Life{Born: time.Now(), TTL: time.Hour}}
		}
		a, b, c := entry(1, ""), entry(1, "x: y\n"), entry(2, "")
		m.Add(a)
		m.Add(b)
		m.Add(c)
		check(0, 0, 3)
		m.Used(a.Key, a.Pick, a.Life.Born)
		m.Used(a.Key, a.Pick, a.Life.Born)
		check(1, 0, 2)
		m.Used(b.Key, b.Pick, b.Life.Born.Add(time.Second)) // what came after it
		m.Used(b.Key, "x: z\n", b.Life.Born)
		check(1, 0, 2)
		m.Fell(b.Key)
		check(1, 1, 1)
		m.Expire(time.Now().Add(59 * time.Minute))
		check(1, 1, 1)
		m.Expire(time.Now().Add(62 * time.Minute))
		check(1, 2, 0)
		m.Fell(c.Key)
		m.Used(c.Key, c.Pick, c.Life.Born)
		check(1, 2, 0)
		for i := range 200_000 {
			m.Add(entry(i, store.Pick(fmt.Sprint(i))))
		}
		if w := m.Tally().Waiting; w > 1<<16 {
			t.Errorf("%d marks are held", w)
		}
	})
}

func TestMarksAllocateNothing(t *testing.T) {
	m := warm.NewMarks()
	e := &store.Entry{Key: keyOf(1), Life: store.Life{Born: time.Now(), TTL: time.Hour}}
	if n := testing.AllocsPerRun(1000, func() {
		m.Add(e)
		m.Used(e.Key, e.Pick, e.Life.Born)
	}); n != 0 {
		t.Errorf("%g allocations", n)
	}
}
