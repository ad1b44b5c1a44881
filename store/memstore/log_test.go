package memstore

import (
	"errors"
	"strings"
	"testing"

	"surrogate/store"
)

func TestTheLogIsBoundedInBytes(t *testing.T) {
	l := newPurgeLog(10_000)
	const last = 500
	for i := range store.Seq(last) {
		n := store.Name(strings.Repeat("x", 200_000))
		l.append(store.Event{Seq: i + 1, Purge: store.Purge{Names: []store.Name{n}, Asked: []string{string(n)}}})
		if l.bytes > maxLogBytes {
			t.Fatalf("%d bytes after purge %d", l.bytes, i+1)
		}
	}
	if _, _, err := l.at(1); !errors.Is(err, store.ErrGap) {
		t.Errorf("the first purge: %v", err)
	}
	if ev, _, err := l.at(last); err != nil || len(ev.Names[0]) != 200_000 {
		t.Errorf("the last purge: %v", err)
	}
}
