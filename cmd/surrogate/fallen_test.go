package main

import (
	"fmt"
	"testing"

	"surrogate/store"
)

func TestFallenKnowsTheLatestAndMakesNoGarbage(t *testing.T) {
	f := newFallen()
	var keys []store.Swept
	for i := range 3 * maxFallen {
		keys = append(keys, store.Swept{Key: store.Key(fmt.Sprintf("http://shop.test/%d", i))})
	}
	for seq := range store.Seq(4) {
		f.note(store.Event{Seq: seq + 1}, keys)
	}
	if got := f.by(keys[len(keys)-1].Key); got != 4 {
		t.Errorf("the last fell with %d, not with 4", got)
	}
	if got := f.by(keys[0].Key); got != 0 {
		t.Errorf("the first, of %d, is remembered", len(keys))
	}
	f.note(store.Event{Seq: 3}, keys[len(keys)-1:])
	if got := f.by(keys[len(keys)-1].Key); got != 4 {
		t.Errorf("an earlier sweep that comes later makes it %d", got)
	}
	if n := testing.AllocsPerRun(10, func() { f.note(store.Event{Seq: 5}, keys) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
