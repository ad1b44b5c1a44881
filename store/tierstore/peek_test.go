package tierstore_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/store"
	"surrogate/store/memstore"
	"surrogate/store/tierstore"
)

// What is peeked at is what memory may answer without asking anybody.
func TestPeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		below := &shaky{Store: memstore.New(memstore.Options{})}
		s := tierstore.New(tierstore.Options{Below: below})
		defer s.Close()
		e := &store.Entry{Key: "http://h/a", Status: 200, Body: []byte("x"), Life: store.Life{Born: time.Now(), TTL: time.Minute, Keep: time.Hour}}
		if err := s.Put(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		peek := func() bool {
			var f store.Found
			return s.(store.Peeker).Peek(e.Key, nil, &f) && string(f.Entry.Body) == "x"
		}
		if !peek() {
			t.Error("what is in memory is not found")
		}
		if tally := s.(*tierstore.Fleet).Tally(); tally.Hits != 1 {
			t.Errorf("%d hits are counted", tally.Hits)
		}
		below.deaf.Store(true)
		if peek() {
			t.Error("a deaf node peeks")
		}
		below.deaf.Store(false)
		time.Sleep(2 * time.Minute)
		if peek() {
			t.Error("what is stale here may be fresh below")
		}
		if f, err := s.Get(t.Context(), e.Key, http.Header{}); err != nil || !f.Hit {
			t.Errorf("Get finds %+v, %v", f, err)
		}
	})
}
