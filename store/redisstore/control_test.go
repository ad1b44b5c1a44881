package redisstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"surrogate/store"
	"surrogate/store/fences"
	"surrogate/store/redisstore/redistest"
)

// start runs a node until the test ends, and waits until it hears.
func start(t testing.TB, opt Options) *Store {
	t.Helper()
	s, _ := launch(t, opt)
	waitFor(t, "the node hears", s.Hears)
	return s
}

// launch runs a node until the test ends, or stop is called.
func launch(t testing.TB, opt Options) (s *Store, stop func()) {
	t.Helper()
	if opt.Log == nil && testing.Verbose() {
		opt.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	s, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	ended := false
	stop = func() {
		if ended {
			return
		}
		ended = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		_ = s.Close()
	}
	t.Cleanup(stop)
	return s, stop
}

// waitFor waits until ok.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so after 20 s: %s", what)
		}
	}
}

func (s *Store) mustPurge(t testing.TB, soft bool, names ...store.Name) store.Event {
	t.Helper()
	ev, err := s.Purge(t.Context(), store.Purge{Names: names, Soft: soft})
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

// awaited purges and waits until the fleet has heard it.
func (s *Store) awaited(t testing.TB, names ...store.Name) store.Event {
	t.Helper()
	ev := s.mustPurge(t, false, names...)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if heard, ok, err := s.Await(ctx, ev.Seq); err != nil || !ok {
		t.Fatalf("await: %v, %v, %v", heard, ok, err)
	}
	return ev
}

func verdict(s *Store, ticket store.Seq, tags ...store.Name) fences.Verdict {
	v := fences.Verdict{Ticket: ticket, From: ticket}
	s.book.Judge(&store.Entry{Key: "http://a.test/x", Tags: store.NamesOf(tags...), Ticket: ticket}, &v)
	return v
}

const deaf = 300 * time.Millisecond

func TestAPurgeIsHeardByAll(t *testing.T) {
	r := redistest.Start(t)
	var nodes []*Store
	for i := range 3 {
		nodes = append(nodes, start(t, Options{Redis: Redis{URL: r.URL}, Node: fmt.Sprint("n", i), MaxDeaf: deaf}))
	}
	for i := range 50 {
		by := nodes[i%3]
		ticket := by.heard()
		tag := store.Name(fmt.Sprint("t", i%7))
		ev := by.awaited(t, tag)
		if ev.Seq != store.Seq(i+1) {
			t.Fatalf("purge %d has number %d", i, ev.Seq)
		}
		for _, n := range nodes {
			if v := verdict(n, ticket, tag); !v.Dead {
				t.Fatalf("%s does not know of %v", n.Node(), ev)
			}
		}
	}
}

func TestALargePurgeIsOneFence(t *testing.T) {
	r := redistest.Start(t)
	opt := Options{Redis: Redis{URL: r.URL}, MaxDeaf: deaf}
	a, b := start(t, opt), start(t, opt)
	var names []store.Name
	for i := range 20_000 {
		names = append(names, store.Name(fmt.Sprint("tag-", i)))
	}
	a.awaited(t, "tag-1")
	ev := a.awaited(t, names...)
	if v := verdict(b, 1, "tag-19999"); !v.Dead || v.Last != ev.Seq {
		t.Errorf("another node has %+v", v)
	}
	c := start(t, opt) // it may come before all names are fences
	for _, n := range []store.Name{"tag-0", "tag-1", "tag-19999"} {
		if v := verdict(c, 1, n); !v.Dead || v.Last != ev.Seq {
			t.Errorf("a new node has %+v for %s", v, n)
		}
	}
	waitFor(t, "all names are fences", func() bool { return r.Do("ZCARD", "{surrogate}:fences") == int64(20_001) })
	d := start(t, opt)
	if d.book.Len() != 20_001 {
		t.Errorf("a node that comes later has %d fences", d.book.Len())
	}
}

func TestLoadingGivesWhatHearingGave(t *testing.T) {
	r := redistest.Start(t)
	opt := Options{Redis: Redis{URL: r.URL}, MaxDeaf: deaf}
	a := start(t, opt)
	for i := range 300 {
		a.mustPurge(t, i%3 != 0, store.Name(fmt.Sprint("t", i%11)), store.Name(fmt.Sprint("u", i%4)))
	}
	b := start(t, opt)
	compareBooks(t, a, b)
}

func compareBooks(t *testing.T, a, b *Store) {
	t.Helper()
	_, fa := a.book.Snapshot()
	_, fb := b.book.Snapshot()
	by := map[store.Name]fences.Standing{}
	for _, st := range fa {
		by[st.Name] = st
	}
	if len(fa) != len(fb) {
		t.Errorf("%d fences and %d", len(fa), len(fb))
	}
	for _, st := range fb {
		x := by[st.Name]
		if x.Hard != st.Hard || x.Last != st.Last || fmt.Sprint(falls(x)) != fmt.Sprint(falls(st)) {
			t.Errorf("%s: %v and %v", st.Name, x, st)
		}
	}
}

func falls(st fences.Standing) (out []int64) {
	for _, f := range st.Soft {
		out = append(out, int64(f.Seq), f.At.UnixMicro())
	}
	return out
}

func TestLoadingWhileOthersPurge(t *testing.T) {
	r := redistest.Start(t)
	opt := Options{Redis: Redis{URL: r.URL}, MaxDeaf: time.Second}
	a := start(t, opt)
	var names []store.Name
	for i := range 5_000 {
		names = append(names, store.Name(fmt.Sprint("tag-", i)))
	}
	for from := 0; from < len(names); from += 500 {
		a.mustPurge(t, false, names[from:from+500]...)
	}
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if _, err := a.Purge(context.Background(), store.Purge{Names: names[i*13%4900 : i*13%4900+100], Soft: i%2 == 0}); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	var late []*Store
	for range 3 {
		late = append(late, start(t, opt))
	}
	close(stop)
	<-done
	ev := a.awaited(t, "end")
	for _, b := range late {
		if b.heard() != ev.Seq {
			t.Errorf("heard %d of %d", b.heard(), ev.Seq)
		}
		compareBooks(t, a, b)
	}
}

func TestRefusesARedisThatEvictsFences(t *testing.T) {
	r := redistest.Start(t, "--maxmemory-policy", "allkeys-lru")
	s, err := New(Options{Redis: Redis{URL: r.URL}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); !errors.Is(err, ErrEvicts) {
		t.Errorf("Run: %v", err)
	}
}
