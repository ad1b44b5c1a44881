package memstore_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"surrogate/store"
	"surrogate/store/memstore"
)

// What is there all the while is found by those who take no lock, whatever
// comes, goes, is replaced and grows around it, and what is found is what was
// asked for: that key, the right pick, its own body. And the store may be closed
// in their midst.
//
// It fails when seek does not look at version afterwards.
func TestHitsAmongChanges(t *testing.T) {
	s := memstore.New(memstore.Options{MaxBytes: 64 << 20})
	const stay, come = 100, 3000
	at := func(key string, lang string) *store.Entry {
		e := &store.Entry{
			Key:  store.Key("http://shop.test/" + key),
			Vary: "accept-language",
			Body: []byte(key + lang),
			Life: store.Life{Born: time.Now(), TTL: time.Hour},
		}
		e.Pick = store.PickOf(e.Vary, http.Header{"Accept-Language": {lang}})
		return e
	}
	for i := range stay {
		put(t, s, at(fmt.Sprint("stay", i), "en"))
	}
	var writers, readers sync.WaitGroup
	var over atomic.Bool
	for w := range 2 {
		writers.Go(func() {
			for i := range 20_000 {
				e := at(fmt.Sprint("come", (i*7+w)%come), "en")
				switch i % 4 {
				case 0, 1:
					_ = s.Put(t.Context(), e)
				case 2:
					s.Drop(e)
				case 3: // another pick of what stays, or the same one again
					_ = s.Put(t.Context(), at(fmt.Sprint("stay", i%stay), []string{"en", "fr", "de"}[i/4%3]))
				}
			}
		})
	}
	ask := http.Header{"Accept-Language": {"en"}}
	for range 2 {
		readers.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprint("stay", i%stay)
				f, err := s.Get(t.Context(), store.Key("http://shop.test/"+key), ask)
				if over.Load() {
					return
				}
				if err != nil || !f.Hit || string(f.Entry.Body) != key+"en" {
					t.Errorf("%s: hit %v, %q, %v", key, f.Hit, f.Entry.Body, err)
					return
				}
			}
		})
	}
	writers.Wait()
	over.Store(true)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	readers.Wait()
}
