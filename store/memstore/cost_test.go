package memstore_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"surrogate/store"
	"surrogate/store/memstore"
)

// taken is how much more memory is in use after f than before.
func taken(f func()) int64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	f()
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int64(after.HeapAlloc) - int64(before.HeapAlloc)
}

func near(t *testing.T, what string, says, is int64) {
	t.Helper()
	if says < is*2/3 || says > is*3/2 {
		t.Errorf("stats say that %s take %d bytes, and they take %d", what, says, is)
	}
}

// What stats say that fences, edges and the log take is what they take, a third
// more or less, and nothing when they are gone.
func TestStatsSayWhatThingsTake(t *testing.T) {
	s := memstore.New(memstore.Options{Log: 50_000, MaxLife: time.Hour})
	defer s.Close()
	const n = 30_000
	fences := taken(func() {
		for i := range n {
			p := store.Purge{Names: []store.Name{store.Name(fmt.Sprintf("product:%d", i))}, Soft: i%2 == 0}
			p.Asked = []string{string(p.Names[0])}
			if _, err := s.Purge(t.Context(), p); err != nil {
				t.Fatal(err)
			}
		}
	})
	st, _ := s.Stats(t.Context())
	near(t, "fences and log", st.FenceBytes+st.LogBytes, fences)
	before := st
	edges := taken(func() {
		for i := range n {
			e := object(i)
			e.Deps = store.NamesOf(store.URLName(store.Key(fmt.Sprintf("http://shop.test/parts/%d", i))), store.URLName(object(i/10).Key))
			put(t, s, e)
		}
	})
	st, _ = s.Stats(t.Context())
	near(t, "entries and edges", st.Bytes-before.Bytes+st.EdgeBytes, edges)
	if st.FenceBytes != before.FenceBytes || st.LogBytes != before.LogBytes {
		t.Errorf("stats are %+v", st)
	}
}

// The dependency graph is bounded in bytes too: names may be as long as a request.
func TestEdgesAreBoundedInBytes(t *testing.T) {
	const most = 1 << 20
	s := memstore.New(memstore.Options{MaxEdgeText: most})
	defer s.Close()
	full := false
	for i := range 200 {
		e := object(i)
		e.Deps = store.NamesOf(store.URLName(store.Key(fmt.Sprintf("http://shop.test/%d?%s", i, strings.Repeat("x", 20_000)))))
		switch err := s.Put(t.Context(), e); {
		case errors.Is(err, store.ErrEdges):
			full = true
		case err != nil:
			t.Fatal(err)
		}
		if st, _ := s.Stats(t.Context()); st.EdgeBytes > 2*most {
			t.Fatalf("%d bytes after %d puts", st.EdgeBytes, i+1)
		}
	}
	if !full {
		t.Error("nothing was refused")
	}
}
