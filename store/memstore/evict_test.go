package memstore_test

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/store"
	"surrogate/store/memstore"
)

func stats(t *testing.T, s store.Store) store.Stats {
	st, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// What is asked for again and again outlives a scan of many times the store's
// size.
func TestScanSparesTheHot(t *testing.T) {
	s := open(t, memstore.Options{MaxBytes: 4 << 20})
	const hot = 500
	hits := 0
	for i := range 20_000 {
		h := object(i * 31 % hot)
		if f, _ := s.Get(t.Context(), h.Key, nil); f.Hit {
			hits++
		} else {
			put(t, s, h)
		}
		put(t, s, object(1_000_000+i))
	}
	if hits < 19_000 {
		t.Errorf("%d hits of 20,000 on what is hot", hits)
	}
	if st := stats(t, s); st.Bytes > st.Capacity || st.Bytes < st.Capacity*9/10 {
		t.Errorf("%d bytes of %d", st.Bytes, st.Capacity)
	}
}

// The store never holds more than it may, whatever the sizes.
func TestBytesAreBounded(t *testing.T) {
	s := open(t, memstore.Options{MaxBytes: 2 << 20})
	for i := range 3000 {
		e := object(i % 700)
		e.Body = []byte(strings.Repeat("x", i*i%200_000))
		put(t, s, e)
		if st := stats(t, s); st.Bytes > st.Capacity {
			t.Fatalf("%d bytes of %d after %d puts", st.Bytes, st.Capacity, i+1)
		}
	}
}

// A store that was emptied accounts for nothing.
func TestEmptyCostsNothing(t *testing.T) {
	s := open(t, memstore.Options{MaxBytes: 4 << 20})
	for i := range 5000 {
		e := object(i)
		e.Deps = store.NamesOf("dep", store.URLName(object(i/2).Key))
		put(t, s, e)
	}
	ev, err := s.Purge(t.Context(), store.Purge{Names: []store.Name{store.AllName}})
	if err != nil {
		t.Fatal(err)
	}
	for range s.Sweep(t.Context(), ev) {
	}
	if st := stats(t, s); st.Entries != 0 || st.Bytes != 0 || st.Names != 0 {
		t.Errorf("stats are %+v", st)
	}
}

// Run frees what has died, fences that cover nothing any more, and edges.
func TestRunLetsThingsDie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, memstore.Options{MaxLife: 3 * time.Minute})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = s.Run(ctx) }()
		for i := range 3000 {
			e := object(i)
			if i%2 == 0 {
				e.Deps = store.NamesOf(store.URLName(object(i/2).Key), store.Name(fmt.Sprint("d", i)))
			}
			e.Life.TTL = time.Minute
			if i == 2 {
				e.Life.TTL = time.Hour // MaxLife ends it
			}
			put(t, s, e)
		}
		if _, err := s.Purge(t.Context(), store.Purge{Names: []store.Name{"none"}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if st := stats(t, s); st.Entries != 1 || st.Expired != 2999 || st.Fences != 2 || st.Edges == 0 {
			t.Errorf("after two minutes: %+v", st)
		}
		time.Sleep(4 * time.Minute)
		if st := stats(t, s); st.Entries != 0 || st.Expired != 3000 || st.Fences != 0 || st.FenceBytes != 0 || st.Edges != 0 || st.EdgeBytes != 0 || st.Bytes != 0 || st.Names != 0 {
			t.Errorf("after six minutes: %+v", st)
		}
	})
}

// A fetch that outlasts the longest life, and a purge within it, stores
// nothing, although the fence has been dropped.
func TestTicketsOlderThanAllFencesAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, memstore.Options{MaxLife: time.Hour})
		e := object(1)
		if _, err := s.Purge(t.Context(), store.Purge{Names: []store.Name{"product"}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if _, err := s.Purge(t.Context(), store.Purge{Names: []store.Name{"other"}}); err != nil {
			t.Fatal(err)
		}
		if err := s.Put(t.Context(), e); err == nil {
			t.Error("it was stored")
		}
	})
}

func TestBoundGarbageLeavesThingsAsTheyWere(t *testing.T) {
	before := debug.SetGCPercent(77)
	defer debug.SetGCPercent(before)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		memstore.BoundGarbage(ctx, 1<<30)
	}()
	cancel()
	<-done
	if p := debug.SetGCPercent(100); p != 77 {
		t.Errorf("GOGC is %d", p)
	}
}
