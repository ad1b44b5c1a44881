package tierstore_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/store"
	"surrogate/store/memstore"
	"surrogate/store/tierstore"
)

// A slow store answers a second after it has looked.
type slow struct{ *shaky }

func (s *slow) Get(ctx context.Context, key store.Key, ask store.Fields) (store.Found, error) {
	f, err := s.shaky.Get(ctx, key, ask)
	time.Sleep(time.Second) // as a network does; the time is fake
	return f, err
}

// slowTier returns a tier over a slow store that has some entries.
func slowTier(t *testing.T, entries ...*store.Entry) (store.Store, *slow) {
	below := &slow{shaky: &shaky{Store: memstore.New(memstore.Options{})}}
	s := tierstore.New(tierstore.Options{Below: below})
	t.Cleanup(func() { _ = s.Close() })
	for _, e := range entries {
		if err := below.Store.Put(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	return s, below
}

func TestManyWhoAskAtOnceAskBelowTogether(t *testing.T) {
	for name, down := range map[string]bool{"found": false, "down": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := page("/a")
				s, below := slowTier(t, p)
				below.down.Store(down)
				began := time.Now()
				var all sync.WaitGroup
				for range 500 {
					all.Go(func() {
						f, err := s.Get(t.Context(), p.Key, http.Header{})
						if err != nil || f.Hit == down || !down && string(f.Entry.Body) != "body" {
							t.Errorf("%+v, %v", f, err)
						}
					})
				}
				all.Wait()
				want, took := int64(2), 2*time.Second
				if down {
					want, took = 1, time.Second // what failed is not tried again at once
				}
				if n := below.gets.Load(); n != want || time.Since(began) != took {
					t.Errorf("%d lookups below in %v; want %d in %v", n, time.Since(began), want, took)
				}
			})
		})
	}
}

// Whoever asks after a purge is not given what was looked up before it, nor, with
// whatever he was woken for, what was looked up before that was stored.
func TestNobodyIsGivenALookupThatBeganBeforeHeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := page("/a")
		s, below := slowTier(t, p)
		go s.Get(t.Context(), p.Key, http.Header{})
		synctest.Wait()
		if _, err := s.Purge(t.Context(), store.Purge{Names: []store.Name{"t"}}); err != nil {
			t.Fatal(err)
		}
		if f, err := s.Get(t.Context(), p.Key, http.Header{}); err != nil || f.Hit || f.Ticket != 1 {
			t.Errorf("after a purge: %+v, %v", f, err)
		}
		go s.Get(t.Context(), p.Key, http.Header{})
		synctest.Wait()
		again := page("/a")
		again.Ticket = 1
		if err := below.Store.Put(t.Context(), again); err != nil {
			t.Fatal(err)
		}
		if f, err := s.Get(t.Context(), p.Key, http.Header{}); err != nil || !f.Hit {
			t.Errorf("after it was stored: %+v, %v", f, err)
		}
		time.Sleep(time.Minute)
	})
}

func TestWhoAsksForAnotherVariantIsGivenThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var entries []*store.Entry
		for _, v := range []string{"a", "b"} {
			e := page("/a")
			e.Body, e.Vary, e.Pick = []byte(v), "x-variant", store.PickOf("x-variant", http.Header{"X-Variant": {v}})
			entries = append(entries, e)
		}
		s, _ := slowTier(t, entries...)
		var all sync.WaitGroup
		for i := range 12 {
			v := string("abc"[i%3])
			all.Go(func() {
				f, err := s.Get(t.Context(), entries[0].Key, http.Header{"X-Variant": {v}})
				if err != nil || f.Hit == (v == "c") || f.Hit && string(f.Entry.Body) != v {
					t.Errorf("%s: %+v, %v", v, f, err)
				}
			})
		}
		all.Wait()
	})
}

func TestALookupGoesOnWhenItsClientLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := page("/a")
		s, _ := slowTier(t, p)
		ctx, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { s.Get(t.Context(), p.Key, http.Header{}) })
		synctest.Wait()
		all.Go(func() { s.Get(ctx, p.Key, http.Header{}) }) // leads the next
		synctest.Wait()
		all.Go(func() {
			if f, err := s.Get(t.Context(), p.Key, http.Header{}); err != nil || !f.Hit {
				t.Errorf("%+v, %v", f, err)
			}
		})
		all.Go(func() {
			if _, err := s.Get(ctx, p.Key, http.Header{}); !errors.Is(err, context.Canceled) {
				t.Errorf("who left got %v", err)
			}
		})
		synctest.Wait()
		leave()
		all.Wait()
	})
}
