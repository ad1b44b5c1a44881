package proxy_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"

	"surrogate/proxy"
	"surrogate/store"
	"surrogate/store/memstore"
)

// A laggingStore has the second look wait, with what it found, until released.
type laggingStore struct {
	store.Store
	looks    chan int // holds how many looks there were
	found    chan bool
	released chan bool
}

func (s *laggingStore) Get(ctx context.Context, k store.Key, f store.Fields) (store.Found, error) {
	n := <-s.looks + 1
	found, err := s.Store.Get(ctx, k, f)
	s.looks <- n
	if n == 2 {
		s.found <- true
		<-s.released
	}
	return found, err
}

// TestAFlightLandsBetweenLookAndBoarding: who has found nothing in the store, and no
// flight because that has landed since, finds what it stored.
func TestAFlightLandsBetweenLookAndBoarding(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gather(t, 0)
		s := &laggingStore{Store: memstore.New(memstore.Options{}), looks: make(chan int, 1), found: make(chan bool), released: make(chan bool)}
		s.looks <- 0
		p, err := proxy.New(proxy.Options{Store: s, Sites: []proxy.Site{shopSite()}, Transport: func(*proxy.Site) http.RoundTripper { return g }})
		if err != nil {
			t.Fatal(err)
		}
		g.nodes = append(g.nodes, p)
		t.Cleanup(func() { _, _ = p.Close(), s.Store.Close() })
		first, second := make(chan string, 1), make(chan string, 1)
		go func() { first <- g.ask(0, "GET", "/a").Body.String() }()
		synctest.Wait() // it has looked, and the origin takes a second
		go func() { second <- g.ask(0, "GET", "/a").Body.String() }()
		<-s.found // nothing
		<-first
		synctest.Wait()
		s.released <- true
		<-second
		if n := g.fetches.Load(); n != 1 {
			t.Errorf("the origin was asked %d times", n)
		}
	})
}
