package purge

import (
	"slices"
	"testing"

	"surrogate/store"
)

func TestTheQueueOfSweepsIsBoundedAndKeepsItsOrder(t *testing.T) {
	q := newQueue()
	for i := range maxWaiting {
		if !q.push(sweep{ev: store.Event{Seq: store.Seq(i)}, rec: newRecord([32]byte{})}) {
			t.Fatalf("full at %d", i)
		}
	}
	if q.push(sweep{}) {
		t.Error("there is no bound")
	}
	for i := range maxWaiting {
		if s, ok := q.next(); !ok || s.ev.Seq != store.Seq(i) {
			t.Fatalf("%d comes as number %d", s.ev.Seq, i)
		}
	}
	if _, ok := q.next(); ok || q.waiting() != 0 {
		t.Error("what was taken is there still")
	}
}

func TestSoftPurgesOfTheSameAreSweptOnce(t *testing.T) {
	q := newQueue()
	for i, s := range []struct {
		soft   bool
		names  []store.Name
		rewarm int
	}{
		{true, []store.Name{"a"}, 0},
		{true, []store.Name{"b"}, 0},
		{true, []store.Name{"a"}, 0}, // with it goes the first
		{false, []store.Name{"a"}, 0},
		{false, []store.Name{"a"}, 0}, // what a hard one takes is its own
		{true, []store.Name{"a", "b"}, 0},
		{true, []store.Name{"a"}, 0}, // others in between may have been answered
		{true, []store.Name{"a"}, 7}, // nobody else would warm
		{true, []store.Name{"a"}, 7},
		{true, []store.Name{"a"}, 7},
	} {
		q.push(sweep{ev: store.Event{Seq: store.Seq(i), Purge: store.Purge{Names: s.names, Soft: s.soft}}, rec: newRecord([32]byte{}), rewarm: s.rewarm})
	}
	var got []store.Seq
	also := 0
	for s, ok := q.next(); ok; s, ok = q.next() {
		got = append(got, s.ev.Seq)
		also += len(s.also)
	}
	if want := []store.Seq{1, 2, 3, 4, 5, 6, 9}; !slices.Equal(got, want) || also != 3 {
		t.Errorf("swept %v and %d with them, want %v and 3", got, also, want)
	}
	if len(q.soft) != 0 {
		t.Errorf("%d names are left", len(q.soft))
	}
}

func TestAPurgeSweptWithALaterOneIsSwept(t *testing.T) {
	j := newJournal(10)
	rec := newRecord([32]byte{})
	rec.left, rec.receipt.Entries = 2, 5
	j.sweptWith(rec)
	if r := j.read(rec); r.State == Swept {
		t.Error("swept, though one sweep is outstanding")
	}
	j.sweptWith(rec)
	if r := j.read(rec); r.State != Swept || r.Exact || r.Entries != 5 || len(r.Notes) == 0 {
		t.Errorf("%+v", r)
	}
}
