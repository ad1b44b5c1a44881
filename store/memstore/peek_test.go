package memstore_test

import (
	"net/http"
	"reflect"
	"testing"

	"surrogate/store"
	"surrogate/store/memstore"
)

var _ store.Peeker = (*memstore.Store)(nil)

// asker is a request that knows its picks.
type asker http.Header

func (a asker) PickFor(vary string) (store.Pick, bool) {
	return store.PickOf(vary, http.Header(a)), true
}

func TestPeekFindsWhatGetFinds(t *testing.T) {
	s := memstore.New(memstore.Options{})
	defer s.Close()
	plain := object(1)
	put(t, s, plain)
	big := object(2)
	big.Body = make([]byte, 100<<10)
	put(t, s, big)
	for _, coding := range []string{"br", "gzip"} {
		e := object(3)
		e.Vary, e.Body = "accept-encoding", []byte(coding)
		e.Pick = store.PickOf(e.Vary, http.Header{"Accept-Encoding": {coding}})
		if err := s.Put(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	same := func(key store.Key, ask http.Header, want bool) {
		t.Helper()
		var got store.Found
		ok := s.Peek(key, asker(ask), &got)
		if ok != want {
			t.Fatalf("%s %v: peeking finds %v", key, ask, ok)
		}
		found, err := s.Get(t.Context(), key, ask)
		if err != nil {
			t.Fatal(err)
		}
		if ok && !reflect.DeepEqual(got, found) {
			t.Errorf("%s %v: peeking finds\n%+v, not\n%+v", key, ask, got, found)
		}
	}
	same(plain.Key, nil, true)
	same(big.Key, nil, true)
	same(object(3).Key, http.Header{"Accept-Encoding": {"br"}}, true)
	same(object(3).Key, http.Header{"Accept-Encoding": {"gzip"}}, true)
	same(object(3).Key, nil, false)
	same("http://shop.test/none", nil, false)

	if _, err := s.Purge(t.Context(), store.Purge{Names: []store.Name{"product:2"}}); err != nil {
		t.Fatal(err)
	}
	same(plain.Key, nil, true)
	same(big.Key, nil, false)
	if _, err := s.Purge(t.Context(), store.Purge{Names: []store.Name{"product:1"}, Soft: true}); err != nil {
		t.Fatal(err)
	}
	same(plain.Key, nil, true) // stale, and it says so
}

func TestPeekLeavesWhatIsDoubted(t *testing.T) {
	s := memstore.New(memstore.Options{MaxFences: 1})
	defer s.Close()
	e := object(1)
	put(t, s, e)
	for _, n := range []store.Name{"a", "b", "c", "d"} {
		if _, err := s.Purge(t.Context(), store.Purge{Names: []store.Name{n}}); err != nil {
			t.Fatal(err)
		}
	}
	if found, _ := s.Get(t.Context(), e.Key, nil); !found.Hit || !found.Doubt {
		t.Fatalf("found is %+v", found)
	}
	var f store.Found
	if s.Peek(e.Key, nil, &f) {
		t.Error("what has to be revalidated is peeked at")
	}
}

// What a request costs once it is in memory.
func TestPeekAllocatesNothing(t *testing.T) {
	s := memstore.New(memstore.Options{})
	defer s.Close()
	e := object(1)
	put(t, s, e)
	var f store.Found
	if n := testing.AllocsPerRun(100, func() {
		if !s.Peek(e.Key, nil, &f) {
			t.Fatal("a miss")
		}
	}); n != 0 {
		t.Errorf("peeking allocates %v times", n)
	}
}

func BenchmarkPeek(b *testing.B) {
	s := memstore.New(memstore.Options{})
	defer s.Close()
	e := object(1)
	put(b, s, e)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		var f store.Found
		for pb.Next() {
			if !s.Peek(e.Key, nil, &f) {
				b.Error("a miss")
			}
		}
	})
}
