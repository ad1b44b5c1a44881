package purge_test

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"surrogate/purge"
	"surrogate/store"
	"surrogate/store/memstore"
)

func newStore(t testing.TB) store.Store {
	t.Helper()
	s := memstore.New(memstore.Options{MaxBytes: 4 << 30})
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Error(err)
		}
	})
	return s
}

// entry is a response tagged and made of what is listed, as the proxy admits
// it.
func entry(key store.Key, tags, deps string) *store.Entry {
	names := store.TagRules{}.Names(key, &store.KeyRules{}, []string{tags}, nil, []string{deps})
	return &store.Entry{
		Key: key, Status: 200, Head: store.HeadText("Content-Length: 5\r\n"), Body: []byte("hello"),
		Tags: names.Tags, Deps: names.Deps, Life: store.Life{Born: time.Now(), TTL: time.Hour, IfError: time.Hour},
	}
}

func put(t testing.TB, s store.Store, key, tags, deps string) {
	t.Helper()
	e := entry(store.Key(key), tags, deps)
	e.Ticket = get(t, s, key).Ticket
	if err := s.Put(t.Context(), e); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

func get(t testing.TB, s store.Store, key string) store.Found {
	t.Helper()
	f, err := s.Get(t.Context(), store.Key(key), http.Header{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func served(t testing.TB, s store.Store, key string) bool {
	t.Helper()
	f := get(t, s, key)
	return f.Hit && f.Fell.IsZero()
}

// run lets p sweep until the test ends.
func run(t testing.TB, p *purge.Purger) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

// eventually waits until a receipt is as it should be.
func eventually(t testing.TB, p *purge.Purger, id string, ok func(purge.Receipt) bool) purge.Receipt {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; runtime.Gosched() {
		r, found := p.Receipt(id)
		if found && ok(r) {
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("receipt of %s stays %+v", strings.TrimSpace(id), r)
		}
	}
}

func swept(t testing.TB, p *purge.Purger, id string) purge.Receipt {
	t.Helper()
	run(t, p)
	return eventually(t, p, id, func(r purge.Receipt) bool { return r.State == purge.Swept })
}
