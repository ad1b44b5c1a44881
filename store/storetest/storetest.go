// Package storetest is the contract of store.Store as tests: every store runs
// them. The name of a case is the law it holds a store to.
package storetest

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/store"
)

// A Config says how to test one kind of store.
type Config struct {
	// New returns a fresh, empty store, which New itself lets end with the test.
	New func(t *testing.T) store.Store
	// Tick is how long one unit of the suite's time takes.
	Tick time.Duration
	// Bubble runs each case in a bubble of fake time (testing/synctest). A
	// store that uses the network cannot be tested in one.
	Bubble bool
	// NewSmall returns a store that holds at most Fences fences, PurgeLog purges
	// in its log, Edges dependency edges and Picks entries a key. The cases about these bounds are
	// skipped where it is nil.
	NewSmall func(t *testing.T) store.Store
	// Histories is how many random histories the model is compared over; 0
	// means 2,000 in a bubble and 20 outside.
	Histories int
}

// Bounds of the store that Config.NewSmall makes.
const (
	Fences   = 8
	PurgeLog = 4
	Edges    = 16
	Picks    = 4
)

// A lab is what a case works with: a store, and the shortest words for what
// is done to it. Errors that are not the case's subject fail it.
type lab struct {
	*testing.T
	c Config
	s store.Store
}

type testCase struct {
	name  string
	small bool
	run   func(l *lab)
}

// Run holds a store to its contract.
func Run(t *testing.T, c Config) {
	for _, tc := range slices.Concat(entryCases, purgeCases, sweepCases, cascadeCases) {
		t.Run(tc.name, func(t *testing.T) {
			c.within(t, func(t *testing.T) {
				l := &lab{T: t, c: c}
				switch {
				case !tc.small:
					l.s = c.New(t)
				case c.NewSmall == nil:
					t.Skip("the store's bounds cannot be set")
				default:
					l.s = c.NewSmall(t)
				}
				tc.run(l)
			})
		})
	}
	t.Run("RandomHistoriesMatchTheModel", func(t *testing.T) { runModel(t, c) })
}

// within runs f where the configuration's time passes.
func (c Config) within(t *testing.T, f func(t *testing.T)) {
	if c.Bubble {
		synctest.Test(t, f)
	} else {
		f(t)
	}
}

// pass lets n ticks pass.
func (l *lab) pass(n float64) { time.Sleep(time.Duration(n * float64(l.c.Tick))) }

func (l *lab) ticks(n float64) time.Duration { return time.Duration(n * float64(l.c.Tick)) }

// key makes a key of a path.
func key(path string) store.Key {
	if strings.HasPrefix(path, "http") {
		return store.Key(path)
	}
	return store.Key("http://shop.test" + path)
}

func url(path string) store.Name { return store.URLName(key(path)) }

// entry makes an entry that lives for 100 ticks, with a ticket of now.
func (l *lab) entry(path string, mods ...func(*store.Entry)) *store.Entry {
	e := &store.Entry{
		Key:    key(path),
		Status: 200,
		Head:   store.HeadText("Content-Type: text/plain\r\n"),
		Body:   []byte("body of " + path),
		Life:   store.Life{Born: time.Now(), TTL: l.ticks(100)},
		Ticket: l.ticket(path),
	}
	for _, m := range mods {
		m(e)
	}
	return e
}

func tags(names ...store.Name) func(*store.Entry) {
	return func(e *store.Entry) { e.Tags = store.NamesOf(names...) }
}

func deps(names ...store.Name) func(*store.Entry) {
	return func(e *store.Entry) { e.Deps = store.NamesOf(names...) }
}

func body(s string) func(*store.Entry) {
	return func(e *store.Entry) { e.Body = []byte(s) }
}

func life(d time.Duration) func(*store.Entry) {
	return func(e *store.Entry) { e.Life.TTL = d }
}

func catchAll(e *store.Entry) { e.Life.Flags |= store.CatchAll }

// picked gives the entry the pick of a request with these fields.
func picked(vary string, ask http.Header) func(*store.Entry) {
	return func(e *store.Entry) { e.Vary, e.Pick = vary, store.PickOf(vary, ask) }
}

func ask(kv ...string) http.Header {
	h := make(http.Header)
	for i := 0; i < len(kv); i += 2 {
		h.Add(kv[i], kv[i+1])
	}
	return h
}

func (l *lab) get(path string, ask http.Header) store.Found {
	l.Helper()
	f, err := l.s.Get(l.Context(), key(path), ask)
	if err != nil {
		l.Fatalf("Get %s: %v", path, err)
	}
	return f
}

func (l *lab) ticket(path string) store.Seq {
	l.Helper()
	return l.get(path, nil).Ticket
}

func (l *lab) put(path string, mods ...func(*store.Entry)) *store.Entry {
	l.Helper()
	e := l.entry(path, mods...)
	if err := l.s.Put(l.Context(), e); err != nil {
		l.Fatalf("Put %s: %v", path, err)
	}
	return e
}

// refused puts e and wants want.
func (l *lab) refused(e *store.Entry, want error) {
	l.Helper()
	if err := l.s.Put(l.Context(), e); !errors.Is(err, want) {
		l.Errorf("Put %s with ticket %d: %v, want %v", e.Key, e.Ticket, err, want)
	}
}

func (l *lab) purge(names ...store.Name) store.Event { l.Helper(); return l.fall(false, names...) }
func (l *lab) soft(names ...store.Name) store.Event  { l.Helper(); return l.fall(true, names...) }

func (l *lab) fall(soft bool, names ...store.Name) store.Event {
	l.Helper()
	ev, err := l.s.Purge(l.Context(), store.Purge{Names: names, Soft: soft, ID: "an id", By: "the suite", Why: "a test", Rewarm: 7})
	if err != nil {
		l.Fatalf("Purge %q: %v", names, err)
	}
	return ev
}

// hit wants every path to be there and not to have fallen.
func (l *lab) hit(paths ...string) {
	l.Helper()
	for _, p := range paths {
		if f := l.get(p, nil); !f.Hit || !f.Fell.IsZero() {
			l.Errorf("Get %s: hit %v, fell %v; want a hit that has not fallen", p, f.Hit, f.Fell)
		}
	}
}

// miss wants no path to be there.
func (l *lab) miss(paths ...string) {
	l.Helper()
	for _, p := range paths {
		if f := l.get(p, nil); f.Hit {
			l.Errorf("Get %s: hit, want a miss", p)
		}
	}
}

// stale wants the path to be there and to have fallen at a time.
func (l *lab) stale(path string, at time.Time) {
	l.Helper()
	if f := l.get(path, nil); !f.Hit || !f.Fell.Equal(at) {
		l.Errorf("Get %s: hit %v, fell %v; want a hit that fell at %v", path, f.Hit, f.Fell, at)
	}
}

// sweep returns what a sweep yields, and wants no key twice.
func (l *lab) sweep(ev store.Event) map[store.Key]store.Swept {
	l.Helper()
	got := make(map[store.Key]store.Swept)
	for x, err := range l.s.Sweep(l.Context(), ev) {
		if err != nil {
			l.Fatalf("Sweep: %v", err)
		}
		if _, ok := got[x.Key]; ok {
			l.Errorf("Sweep yields %s twice", x.Key)
		}
		got[x.Key] = x
	}
	return got
}

// swept wants a sweep to yield just these paths.
func (l *lab) swept(ev store.Event, paths ...string) {
	l.Helper()
	got := l.sweep(ev)
	for _, p := range paths {
		if _, ok := got[key(p)]; !ok {
			l.Errorf("Sweep does not yield %s", p)
		}
		delete(got, key(p))
	}
	for k := range got {
		l.Errorf("Sweep yields %s", k)
	}
}

func (l *lab) count(n store.Name) store.Count {
	l.Helper()
	c, err := l.s.Count(l.Context(), n)
	if err != nil {
		l.Fatalf("Count %s: %v", n, err)
	}
	return c
}

func (l *lab) counts(n store.Name, entries int) {
	l.Helper()
	if c := l.count(n); c.Entries != entries {
		l.Errorf("Count %s: %d entries, want %d", n, c.Entries, entries)
	}
}

func (l *lab) stats() store.Stats {
	l.Helper()
	st, err := l.s.Stats(l.Context())
	if err != nil {
		l.Fatalf("Stats: %v", err)
	}
	return st
}

// dependents wants just these paths to depend on names, one level.
func (l *lab) dependents(names []store.Name, paths ...string) {
	l.Helper()
	got, err := l.s.Dependents(l.Context(), names)
	if err != nil {
		l.Fatalf("Dependents %q: %v", names, err)
	}
	want := make([]store.Name, 0, len(paths))
	for _, p := range paths {
		want = append(want, url(p))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		l.Errorf("Dependents of %q: %q, want %q", names, got, want)
	}
}

func names(ns ...store.Name) []store.Name { return ns }

// cascade purges as a purger does: with all that depends on what falls, and
// once more with what came to depend on it meanwhile.
func cascade(ctx context.Context, s store.Store, soft bool, ns ...store.Name) ([]store.Event, error) {
	var evs []store.Event
	all := slices.Clone(ns)
	for from := ns; ; {
		for len(from) > 0 {
			next, err := s.Dependents(ctx, all)
			if err != nil {
				return evs, err
			}
			all = append(all, next...)
			from = next
		}
		ev, err := s.Purge(ctx, store.Purge{Names: slices.Clone(all), Soft: soft})
		if err != nil {
			return evs, err
		}
		evs = append(evs, ev)
		if from, err = s.Dependents(ctx, all); err != nil || len(from) == 0 {
			return evs, err
		}
		all = append(all, from...)
	}
}
