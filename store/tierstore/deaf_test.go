package tierstore_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/store"
	"surrogate/store/memstore"
	"surrogate/store/tierstore"
)

// A shaky store is a fleet of one whose ear and whose network can fail.
type shaky struct {
	*memstore.Store
	deaf, down atomic.Bool
	gets, puts atomic.Int64
	claims     atomic.Int64
}

var errDown = errors.New("the network is down for the test")

func (s *shaky) Get(ctx context.Context, key store.Key, ask store.Fields) (store.Found, error) {
	s.gets.Add(1)
	if s.down.Load() {
		return store.Found{}, errDown
	}
	f, err := s.Store.Get(ctx, key, ask)
	if w, ok := ask.(store.WantsBody); ok && !w.WantsBody() && f.Hit {
		f.Entry.Size, f.Entry.Body, f.Bodyless = int64(len(f.Entry.Body)), nil, true
	}
	f.Doubt = f.Doubt || f.Hit && s.deaf.Load()
	return f, err
}

func (s *shaky) Put(ctx context.Context, e *store.Entry) error {
	s.puts.Add(1)
	if s.down.Load() {
		return errDown
	}
	return s.Store.Put(ctx, e)
}

func (s *shaky) Node() string                                { return "shaky" }
func (s *shaky) Nodes(context.Context) ([]store.Node, error) { return nil, nil }
func (s *shaky) Hears() bool                                 { return !s.deaf.Load() }
func (s *shaky) Await(context.Context, store.Seq) (map[string]store.Seq, bool, error) {
	return nil, true, nil
}

func (s *shaky) Claim(context.Context, string, time.Duration) (store.Claim, <-chan struct{}, error) {
	s.claims.Add(1)
	return nil, make(chan struct{}), nil
}

// A headOnly request can do without a body.
type headOnly struct{ http.Header }

func (headOnly) Values(string) []string { return nil }
func (headOnly) WantsBody() bool        { return false }

func shakyTier(t *testing.T, o tierstore.Options) (store.Fleet, *shaky) {
	below := &shaky{Store: memstore.New(memstore.Options{})}
	o.Below = below
	s := tierstore.New(o).(store.Fleet)
	t.Cleanup(func() { _ = s.Close() })
	return s, below
}

func page(path string, deps ...store.Name) *store.Entry {
	return &store.Entry{
		Key: store.Key("http://shop.test" + path), Status: 200, Body: []byte("body"), Tags: store.NamesOf("t"),
		Deps: store.NamesOf(deps...), Life: store.Life{Born: time.Now(), TTL: time.Hour, WhileRevalidate: time.Hour},
	}
}

func put(t *testing.T, s store.Store, e *store.Entry) {
	t.Helper()
	f := get(t, s, e.Key)
	e.Ticket = f.Ticket
	if err := s.Put(t.Context(), e); err != nil {
		t.Fatalf("Put %s: %v", e.Key, err)
	}
}

func get(t *testing.T, s store.Store, key store.Key) store.Found {
	t.Helper()
	f, err := s.Get(t.Context(), key, http.Header{})
	if err != nil {
		t.Fatalf("Get %s: %v", key, err)
	}
	return f
}

func TestADeafNodeDoubts(t *testing.T) {
	s, below := shakyTier(t, tierstore.Options{})
	e := page("/a")
	put(t, s, e)
	if f := get(t, s, e.Key); !f.Hit || f.Doubt {
		t.Fatalf("hearing: hit %v, doubt %v", f.Hit, f.Doubt)
	}
	below.deaf.Store(true)
	before := below.gets.Load()
	if f := get(t, s, e.Key); !f.Hit || !f.Doubt {
		t.Errorf("deaf: hit %v, doubt %v; want a hit in doubt", f.Hit, f.Doubt)
	}
	if below.gets.Load() != before {
		t.Error("a deaf node looked below for what it has in memory")
	}
	below.deaf.Store(false)
	if f := get(t, s, e.Key); !f.Hit || f.Doubt {
		t.Errorf("hearing again: hit %v, doubt %v", f.Hit, f.Doubt)
	}
}

func TestADeafNodeServesWhereItIsTo(t *testing.T) {
	s, below := shakyTier(t, tierstore.Options{ServeDeaf: true})
	e := page("/a")
	put(t, s, e)
	below.deaf.Store(true)
	if f := get(t, s, e.Key); !f.Hit || f.Doubt {
		t.Errorf("hit %v, doubt %v; want a hit without doubt", f.Hit, f.Doubt)
	}
}

func TestReadsFailOpen(t *testing.T) {
	s, below := shakyTier(t, tierstore.Options{})
	below.down.Store(true)
	e := page("/a")
	put(t, s, e) // asks for the ticket first
	if f := get(t, s, e.Key); !f.Hit {
		t.Error("what was put while the store below failed is not in memory")
	}
	made := page("/b", store.URLName(e.Key))
	put(t, s, made)
	if f := get(t, s, made.Key); f.Hit {
		t.Error("an entry is kept that no cascade could reach")
	}
	below.down.Store(false)
	if f, err := below.Store.Get(t.Context(), e.Key, http.Header{}); err != nil || f.Hit {
		t.Errorf("below: hit %v, error %v", f.Hit, err)
	}
	if _, err := s.Purge(t.Context(), store.Purge{Names: []store.Name{"t"}}); err != nil {
		t.Fatal(err)
	}
	if f := get(t, s, e.Key); f.Hit {
		t.Error("what is in memory alone survived a purge")
	}
}

func TestADeafNodePutsNothingBelow(t *testing.T) {
	s, below := shakyTier(t, tierstore.Options{})
	below.deaf.Store(true)
	put(t, s, page("/a"))
	if n := below.puts.Load(); n != 0 {
		t.Errorf("%d puts below", n)
	}
}

func TestAFreshEntryIsNotLookedUpBelow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, below := shakyTier(t, tierstore.Options{})
		e := page("/a")
		put(t, s, e)
		before := below.gets.Load()
		get(t, s, e.Key)
		if below.gets.Load() != before {
			t.Error("a fresh entry was looked up below")
		}
		time.Sleep(time.Hour)
		newer := page("/a")
		newer.Body = []byte("of another node")
		if err := below.Store.Put(t.Context(), newer); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time from memory
			if f := get(t, s, e.Key); string(f.Entry.Body) != "of another node" {
				t.Errorf("found %q", f.Entry.Body)
			}
		}
		if n := below.gets.Load() - before; n != 1 {
			t.Errorf("looked below %d times, want once", n)
		}
	})
}

func TestWhatComesFromBelowReplacesNothingNewer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, below := shakyTier(t, tierstore.Options{})
		old := page("/a")
		if err := below.Store.Put(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		below.down.Store(true)
		newer := page("/a")
		newer.Body = []byte("newer")
		put(t, s, newer)
		below.down.Store(false)
		get(t, s, old.Key)
		if f := get(t, s, old.Key); string(f.Entry.Body) != "newer" {
			t.Errorf("found %q", f.Entry.Body)
		}
	})
}

func TestABodyIsNotSentForNothing(t *testing.T) {
	s, below := shakyTier(t, tierstore.Options{})
	e := page("/a")
	if err := below.Store.Put(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	f, err := s.Get(t.Context(), e.Key, headOnly{})
	if err != nil || !f.Bodyless || f.Entry.Size != 4 {
		t.Errorf("bodyless %v, size %d, error %v", f.Bodyless, f.Entry.Size, err)
	}
	if f := get(t, s, e.Key); f.Bodyless || string(f.Entry.Body) != "body" {
		t.Errorf("then bodyless %v, body %q", f.Bodyless, f.Entry.Body)
	}
}

func TestNobodyWaitsTwiceForAStoreThatDoesNotAnswer(t *testing.T) {
	s, below := shakyTier(t, tierstore.Options{})
	below.down.Store(true)
	get(t, s, "http://shop.test/a")
	if _, _, err := s.Claim(t.Context(), "a", time.Second); err == nil || below.claims.Load() != 0 {
		t.Errorf("error %v, %d claims below", err, below.claims.Load())
	}
	below.down.Store(false)
	get(t, s, "http://shop.test/a")
	if _, _, err := s.Claim(t.Context(), "a", time.Second); err != nil || below.claims.Load() != 1 {
		t.Errorf("then error %v, %d claims below", err, below.claims.Load())
	}
}
