package purge

import (
	"testing"

	"surrogate/store"
)

func TestTheQueueOfSweepsIsBoundedAndKeepsItsOrder(t *testing.T) {
	q := newQueue()
	for i := range maxWaiting {
		if !q.push(sweep{ev: store.Event{Seq: store.Seq(i)}}) {
			t.Fatalf("full at %d", i)
		}
	}
	if q.push(sweep{}) {
		t.Error("there is no bound")
	}
	for i, s := range q.take() {
		if s.ev.Seq != store.Seq(i) {
			t.Fatalf("%d comes as number %d", s.ev.Seq, i)
		}
	}
	if !q.push(sweep{}) || q.waiting() != 1 {
		t.Error("what was taken still counts")
	}
}
