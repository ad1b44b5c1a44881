package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
	"surrogate/store/redisstore/redistest"
)

func testEntry(s *Store, path string, life time.Duration, deps ...store.Name) *store.Entry {
	return &store.Entry{
		Key: store.Key("http://shop.test" + path), Status: 200, Body: []byte(path), Deps: store.NamesOf(deps...),
		Life: store.Life{Born: time.Now(), TTL: life}, Ticket: s.heard(),
	}
}

func testURL(path string) store.Name { return store.URLName(store.Key("http://shop.test" + path)) }

func mustPut(t testing.TB, s *Store, e *store.Entry) {
	t.Helper()
	if err := s.Put(t.Context(), e); err != nil {
		t.Fatalf("Put %s: %v", e.Key, err)
	}
}

// leadTo wants a name to lead to these paths, one level down.
func leadTo(t testing.TB, s *Store, n store.Name, paths ...string) {
	t.Helper()
	got, err := s.Dependents(t.Context(), []store.Name{n})
	if err != nil {
		t.Fatal(err)
	}
	var want []store.Name
	for _, p := range paths {
		want = append(want, testURL(p))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s leads to %q, want %q", n, got, want)
	}
}

// keysOf are all keys on a test's own server, with their TTLs.
func keysOf(t testing.TB, rdb *redis.Client) map[string]time.Duration {
	t.Helper()
	keys, err := rdb.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	ttl := make(map[string]time.Duration)
	for _, k := range keys {
		ttl[k] = rdb.PTTL(t.Context(), k).Val()
	}
	return ttl
}

// TestEviction takes away everything that has a TTL, as Redis may with a
// volatile-* policy. What is left reaches everything that stands.
func TestEviction(t *testing.T) {
	srv := redistest.Start(t)
	rdb := srv.Client()
	s := start(t, fresh(srv.URL))
	mustPut(t, s, testEntry(s, "/k", time.Minute, "product:1"))
	mustPut(t, s, testEntry(s, "/y", time.Minute, testURL("/k")))
	mustPut(t, s, testEntry(s, "/z", time.Minute, testURL("/y")))
	evicted := 0
	for k, ttl := range keysOf(t, rdb) {
		if ttl > 0 {
			evicted++
			rdb.Del(t.Context(), k)
		}
	}
	if evicted < 8 {
		t.Errorf("only %d keys have a TTL", evicted)
	}
	for _, p := range []string{"/k", "/y", "/z"} {
		if f, err := s.Get(t.Context(), store.Key("http://shop.test"+p), nil); err != nil || f.Hit {
			t.Errorf("Get %s: hit %v, %v", p, f.Hit, err)
		}
	}
	leadTo(t, s, "product:1", "/k")
	leadTo(t, s, testURL("/k"), "/y")
	leadTo(t, s, store.HostName("shop.test"), "/k", "/y")
	// What was evicted comes again, with other names; the old ones still count.
	mustPut(t, s, testEntry(s, "/k", time.Minute, "product:2"))
	leadTo(t, s, "product:1", "/k")
	leadTo(t, s, "product:2", "/k")
	if c, err := s.Count(t.Context(), store.AllName); err != nil || c.Entries != 1 {
		t.Errorf("%+v counted, %v", c, err)
	}
}

// TestEdgesEnd: nothing ends edges but garbage.go, and it ends all of them.
func TestEdgesEnd(t *testing.T) {
	srv := redistest.Start(t)
	rdb := srv.Client()
	s := start(t, fresh(srv.URL))
	for i := range 40 {
		mustPut(t, s, testEntry(s, fmt.Sprint("/", i), time.Minute, testURL(fmt.Sprint("/", i+1)), store.Name(fmt.Sprint("t", i%3))))
	}
	edges := func() (n int) {
		for k := range keysOf(t, rdb) {
			for _, kind := range []string{":n:{", ":s:{", ":sh:{", ":edges:{"} {
				if strings.Contains(k, kind) {
					n++
				}
			}
		}
		return n
	}
	if n, err := s.edges(t.Context()); err != nil || n < 120 || n > 200 {
		t.Errorf("%d edges are counted, %v", n, err)
	}
	for _, in := range []time.Duration{0, 30 * time.Second, 24 * time.Hour} {
		for b := range registers {
			if err := s.endEdges(t.Context(), s.inc.Load(), b, time.Now().Add(in).UnixMilli()); err != nil {
				t.Fatal(err)
			}
		}
		if in < time.Minute {
			leadTo(t, s, "t0", "/3", "/6", "/9", "/12", "/15", "/18", "/21", "/24", "/27", "/30", "/33", "/36", "/39")
		}
	}
	if n := edges(); n != 0 {
		t.Errorf("%d keys of edges are left", n)
	}
	if n, err := s.edges(t.Context()); err != nil || n != 0 {
		t.Errorf("%d edges are counted in the end, %v", n, err)
	}
}

// TestEdgesOfFormerIncarnationsEnd: they have no TTL and nobody reads them.
func TestEdgesOfFormerIncarnationsEnd(t *testing.T) {
	srv := redistest.Start(t)
	rdb := srv.Client()
	s := start(t, fresh(srv.URL))
	mustPut(t, s, testEntry(s, "/y", time.Hour, testURL("/k"), "t"))
	if err := s.rememberFallen(t.Context(), s.inc.Load(), map[id]store.Seq{idOf("x"): 1}); err != nil {
		t.Fatal(err)
	}
	next := s.incarnation("next", 0)
	for b := range registers {
		if err := s.endEdges(t.Context(), next, b, time.Now().Add(24*time.Hour).UnixMilli()); err != nil {
			t.Fatal(err)
		}
	}
	for k, ttl := range keysOf(t, rdb) {
		if ttl < 0 && strings.HasPrefix(k, s.inc.Load().data) {
			t.Errorf("%s is left", k)
		}
	}
}

// TestCyclesDoNotExtendThemselves: two pages that are made of each other, and
// fetched again and again, keep their edges no longer than one page would.
func TestCyclesDoNotExtendThemselves(t *testing.T) {
	s := start(t, fresh(redistest.Start(t).URL))
	for range 30 {
		mustPut(t, s, testEntry(s, "/a", time.Minute, testURL("/b")))
		mustPut(t, s, testEntry(s, "/b", time.Minute, testURL("/a")))
	}
	w, err := s.rdb.HGet(t.Context(), s.inc.Load().node(idOf("shop.test/a")), "w").Int64()
	if left := time.Until(time.UnixMilli(w)); err != nil || left > 3*time.Minute {
		t.Errorf("/a is depended on for %v, %v", left, err)
	}
}

// TestPutsRaceCascades: two nodes, each page made of /k, which is made of
// product:1. An editor raises the version and purges product:1, with what
// depends on it, on either node. Whoever asks either node after everybody heard
// sees no older version.
func TestPutsRaceCascades(t *testing.T) {
	srv := redistest.Start(t)
	opt := fresh(srv.URL)
	opt.MaxDeaf = time.Second
	nodes := []*Store{start(t, opt), start(t, opt)}
	mustPut(t, nodes[0], testEntry(nodes[0], "/k", time.Hour, "product:1"))
	var version, promised, kept atomic.Int64
	ctx := t.Context()
	fall := func(s *Store, names ...store.Name) error {
		all := slices.Clone(names)
		for from := names; ; {
			for len(from) > 0 {
				next, err := s.Dependents(ctx, all)
				if err != nil {
					return err
				}
				all, from = append(all, next...), next
			}
			ev, err := s.Purge(ctx, store.Purge{Names: slices.Clone(all)})
			if err != nil {
				return err
			}
			if from, err = s.Dependents(ctx, all); err != nil {
				return err
			}
			if len(from) == 0 {
				if _, whole, err := s.Await(ctx, ev.Seq); err != nil || !whole {
					return fmt.Errorf("heard by all: %v, %w", whole, err)
				}
				return nil
			}
			all = append(all, from...)
		}
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for r := range 4 {
		s := nodes[r%2]
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				// A new page every few versions, so that its edges are new too.
				path := fmt.Sprint("/y", promised.Load()/4, "-", i%3)
				if i%7 == 0 {
					path = "/k"
				}
				want := promised.Load()
				f, err := s.Get(ctx, store.Key("http://shop.test"+path), nil)
				if err != nil {
					t.Errorf("Get: %v", err)
					return
				}
				if f.Hit {
					if got := int64(f.Entry.Cost); got < want && path != "/k" {
						t.Errorf("%s: version %d after the purge of %d", path, got, want)
						return
					}
					continue
				}
				e := testEntry(s, path, time.Hour, testURL("/k"))
				if path == "/k" {
					e = testEntry(s, path, time.Hour, "product:1")
				}
				e.Ticket, e.Cost = f.Ticket, time.Duration(version.Load())
				switch err := s.Put(ctx, e); {
				case err == nil:
					kept.Add(1)
				case !errors.Is(err, store.ErrPurged) && !errors.Is(err, store.ErrNewer):
					t.Errorf("Put: %v", err)
					return
				}
			}
		})
	}
	for i := range 400 {
		v := version.Add(1)
		if err := fall(nodes[i%2], "product:1"); err != nil {
			t.Errorf("purge %d: %v", i, err)
			break
		}
		promised.Store(v)
	}
	close(stop)
	wg.Wait()
	if kept.Load() < 30 {
		t.Errorf("only %d were stored", kept.Load())
	}
}

// TestPutThatHasNotHeard: a purge of product:1 is over, having found nobody who
// depends on /k. The other node has not heard of it when /y, made of /k, arrives.
// Leaving catchUp out of put.check makes it fail.
func TestPutThatHasNotHeard(t *testing.T) {
	opt := fresh(redistest.Start(t).URL)
	opt.MaxDeaf = time.Second // how long a new incarnation makes purges wait
	a, b := start(t, opt), start(t, opt)
	mustPut(t, a, testEntry(a, "/k", time.Hour, "product:1"))
	early := testEntry(a, "/y", time.Hour, testURL("/k"))
	a.follower.mu.Lock()
	unlock := sync.OnceFunc(a.follower.mu.Unlock)
	defer unlock()
	leadTo(t, b, "product:1")
	if _, err := b.Purge(t.Context(), store.Purge{Names: []store.Name{"product:1"}}); err != nil {
		t.Fatal(err)
	}
	leadTo(t, b, "product:1")
	put := make(chan error, 1)
	go func() { put <- a.Put(t.Context(), early) }()
	waitFor(t, "the edges stand", func() bool {
		ns, err := b.Dependents(t.Context(), []store.Name{"product:1"})
		return err == nil && len(ns) == 1
	})
	unlock()
	if err := <-put; !errors.Is(err, store.ErrPurged) {
		t.Errorf("Put: %v", err)
	}
}

// An interposer does something before a command is sent.
type interposer struct {
	tape
	before func(trip string)
}

func (x *interposer) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		x.before(x.of(func() { x.add([]redis.Cmder{cmd}) }))
		return next(ctx, cmd)
	}
}

// TestPurgeBetweenLookAndStore: the fences were looked at and the entry is not
// stored yet. A purge of what it is made of finds its edges, and it falls.
func TestPurgeBetweenLookAndStore(t *testing.T) {
	opt := fresh(redistest.Start(t).URL)
	opt.MaxDeaf = time.Second // how long a new incarnation makes purges wait
	a, b := start(t, opt), start(t, opt)
	mustPut(t, a, testEntry(a, "/k", time.Hour, "product:1"))
	purged, seq := false, store.Seq(0)
	a.rdb.AddHook(&interposer{before: func(trip string) {
		if trip != "put.lua" || purged {
			return
		}
		purged = true
		up, err := b.Dependents(t.Context(), []store.Name{"product:1"})
		if err != nil || len(up) != 1 {
			t.Errorf("product:1 leads to %q, %v", up, err)
		}
		ev, err := b.Purge(t.Context(), store.Purge{Names: append(up, "product:1")})
		if err != nil {
			t.Error(err)
		}
		seq = ev.Seq
	}})
	mustPut(t, a, testEntry(a, "/y", time.Hour, testURL("/k")))
	if _, whole, err := b.Await(t.Context(), seq); !whole {
		t.Errorf("not heard by all: %v", err)
	}
	for _, s := range []*Store{a, b} {
		if f, err := s.Get(t.Context(), "http://shop.test/y", nil); err != nil || f.Hit || !purged {
			t.Errorf("hit %v, %v; purged %v", f.Hit, err, purged)
		}
	}
}

// TestDependedOnWhileStored: nobody depends on /k when its Put looks, and
// somebody does when it stores. Then the new names have to lead there.
func TestDependedOnWhileStored(t *testing.T) {
	opt := fresh(redistest.Start(t).URL)
	opt.MaxDeaf = time.Second // how long a new incarnation makes purges wait
	a, b := start(t, opt), start(t, opt)
	once := false
	a.rdb.AddHook(&interposer{before: func(trip string) {
		if trip == "put.lua" && !once {
			once = true
			mustPut(t, b, testEntry(b, "/y", time.Hour, testURL("/k")))
		}
	}})
	e := testEntry(a, "/k", time.Minute)
	e.Tags = "t"
	mustPut(t, a, e)
	leadTo(t, b, "t", "/k")
}
