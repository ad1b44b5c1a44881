package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"surrogate/store"
)

// Random histories are run on a store and on the model. When the two disagree
// the history is cut down to what is needed for that, and printed.

// An op is one step of a history. It is all data, so that a history can be
// run again without some of its steps.
type op struct {
	do    string
	path  string
	x     string // the value of the field X, which the last paths vary by
	id    int    // the entry's Status: no two are alike
	fetch int    // which open fetch: its ticket is presented
	tags  []store.Name
	deps  []store.Name
	all   bool // it carries the catch-all
	n     int  // ticks; or which of the last purges
}

func (o op) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-8s", o.do)
	for _, f := range []struct {
		show bool
		s    string
	}{
		{o.path != "", o.path},
		{o.x != "", "X=" + o.x},
		{o.do == "fetch" || o.do == "put", fmt.Sprintf("fetch %d", o.fetch)},
		{o.do == "put", fmt.Sprintf("id %d, life %d", o.id, o.n)},
		{len(o.tags) > 0, fmt.Sprintf("names %q", o.tags)},
		{len(o.deps) > 0, fmt.Sprintf("deps %q", o.deps)},
		{o.all, "catch-all"},
		{o.do == "pass" || strings.HasPrefix(o.do, "sweep"), fmt.Sprint(o.n)},
	} {
		if f.show {
			b.WriteString(" " + f.s)
		}
	}
	return b.String()
}

const (
	paths   = 5
	fetches = 3
)

func path(i int) string { return fmt.Sprintf("/%d", i) }

// history makes n random steps.
func history(r *rand.Rand, n int) []op {
	tag := func() store.Name { return store.Name(rune('a' + r.IntN(4))) }
	names := func(urls int) []store.Name {
		var ns []store.Name
		for range 1 + r.IntN(3) {
			switch k := r.IntN(20); {
			case k < urls:
				ns = append(ns, url(path(r.IntN(paths))))
			case k < urls+1 && urls > 0:
				ns = append(ns, store.HostName("shop.test"))
			case k < urls+2 && urls > 0:
				ns = append(ns, store.PrefixName("shop.test"+path(r.IntN(paths))))
			case k == 19 && urls > 0:
				ns = append(ns, store.AllName)
			default:
				ns = append(ns, tag())
			}
		}
		return ns
	}
	var ops []op
	for id := range n {
		o := op{path: path(r.IntN(paths)), fetch: r.IntN(fetches), id: 1000 + id}
		if o.path >= path(paths-2) {
			o.x = fmt.Sprint(r.IntN(2))
		}
		switch k := r.IntN(20); {
		case k < 3:
			o.do = "fetch"
		case k < 8:
			o.do, o.tags, o.all, o.n = "put", names(0), r.IntN(12) == 0, 1+r.IntN(40)
			if r.IntN(2) == 0 {
				o.deps = append(o.deps, url(path(r.IntN(paths))))
			}
			if r.IntN(4) == 0 {
				o.deps = append(o.deps, url(path(r.IntN(paths))), tag())
			}
		case k < 12:
			o.do = "get"
		case k < 16:
			o = op{do: []string{"purge", "soft", "cascade", "cascade soft"}[k-12], tags: names(3)}
		case k < 17:
			o = op{do: "sweep", n: r.IntN(3)}
		case k < 18:
			o = op{do: "count", tags: names(3)}
		default:
			o = op{do: "pass", n: 1 + r.IntN(10)}
		}
		ops = append(ops, o)
	}
	return ops
}

// play runs a history on a fresh store and a fresh model and returns the
// number of steps to the first difference, and what it is.
func play(t *testing.T, c Config, ops []op) (steps int, diff string) {
	l := &lab{T: t, c: c, s: c.New(t)}
	defer l.s.Close()
	m := newModel()
	tickets := make([]store.Seq, fetches)
	for i, o := range ops {
		if diff := l.step(m, tickets, o); diff != "" {
			return i + 1, diff
		}
	}
	// In the end everything is as the model says.
	for i := range paths {
		for _, x := range []string{"", "0", "1"} {
			if diff := l.step(m, tickets, op{do: "get", path: path(i), x: x}); diff != "" {
				return len(ops), fmt.Sprintf("in the end, %s X=%s: %s", path(i), x, diff)
			}
		}
	}
	return 0, ""
}

func (l *lab) step(m *model, tickets []store.Seq, o op) (diff string) {
	ctx := l.Context()
	fields, vary := ask("X", o.x), ""
	if o.path >= path(paths-2) {
		vary = "x"
	}
	switch o.do {
	case "fetch":
		tickets[o.fetch] = l.get(o.path, fields).Ticket
	case "get":
		v, fell := m.get(key(o.path), store.PickOf(vary, fields))
		f := l.get(o.path, fields)
		switch {
		case int(f.Ticket) != len(m.events):
			return fmt.Sprintf("the ticket is %d after %d purges", f.Ticket, len(m.events))
		case f.Hit && v == nil:
			return fmt.Sprintf("a hit with id %d, want a miss", f.Entry.Status)
		case !f.Hit && v != nil:
			return fmt.Sprintf("a miss, want a hit with id %d", v.Status)
		case f.Hit && f.Entry.Status != v.Status:
			return fmt.Sprintf("a hit with id %d, want %d", f.Entry.Status, v.Status)
		case f.Hit && !f.Fell.Equal(fell):
			return fmt.Sprintf("fell %v, want %v", f.Fell, fell)
		}
	case "put":
		e := &store.Entry{
			Key: key(o.path), Status: o.id, Ticket: tickets[o.fetch], Vary: vary, Pick: store.PickOf(vary, fields),
			Tags: store.NamesOf(o.tags...), Deps: store.NamesOf(o.deps...), Body: []byte(o.path),
			Life: store.Life{Born: time.Now(), TTL: l.ticks(float64(o.n))},
		}
		if o.all {
			e.Life.Flags = store.CatchAll
		}
		m.tried = append(m.tried, e)
		must, may := m.refuses(e)
		err := l.s.Put(ctx, e)
		switch {
		case errors.Is(err, store.ErrNewer):
			if must || !m.newer(e) {
				return fmt.Sprintf("%v than ticket %d", err, e.Ticket)
			}
		case err != nil && !errors.Is(err, store.ErrPurged):
			return err.Error()
		case err == nil && m.newer(e):
			return fmt.Sprintf("stored with ticket %d, in place of what is newer", e.Ticket)
		case err == nil && must:
			return fmt.Sprintf("stored with ticket %d, want a refusal", e.Ticket)
		case err != nil && !may:
			return fmt.Sprintf("%v, with ticket %d; want it stored", err, e.Ticket)
		case err == nil:
			m.put(e)
		}
	case "purge", "soft":
		ev, err := l.s.Purge(ctx, store.Purge{Names: o.tags, Soft: o.do == "soft"})
		if err != nil {
			return err.Error()
		}
		m.purge(ev)
	case "cascade", "cascade soft":
		evs, err := cascade(ctx, l.s, o.do == "cascade soft", o.tags...)
		if err != nil {
			return err.Error()
		}
		for _, ev := range evs {
			m.purge(ev)
		}
		if v := m.madeOf(o.tags, evs); v != nil {
			return fmt.Sprintf("id %d at %s was made of what fell, and the cascade to %q does not reach it", v.Status, v.Key, evs[0].Names)
		}
	case "sweep":
		if o.n < len(m.events) {
			return l.compareSweep(ctx, m, *m.events[len(m.events)-1-o.n])
		}
	case "count":
		for _, n := range o.tags {
			if _, ok := n.Prefix(); ok {
				continue // it is never carried
			}
			least, most := m.count(n)
			if c := l.count(n); c.Entries < least || c.Entries > most {
				return fmt.Sprintf("%d entries carry %s, want %d to %d", c.Entries, n, least, most)
			}
		}
	case "pass":
		l.pass(float64(o.n))
	}
	return ""
}

func (l *lab) compareSweep(ctx context.Context, m *model, ev store.Event) string {
	must, may := m.sweep(ev)
	for x, err := range l.s.Sweep(ctx, ev) {
		switch {
		case err != nil:
			return err.Error()
		case !must[x.Key] && !may[x.Key]:
			return fmt.Sprintf("the sweep of %d yields %s", ev.Seq, x.Key)
		}
		delete(must, x.Key)
		delete(may, x.Key)
	}
	for k := range must {
		return fmt.Sprintf("the sweep of %d does not yield %s", ev.Seq, k)
	}
	return ""
}

// runModel compares many histories.
//
// Mutations of memstore that this and the cases were seen to catch are listed
// beside TestContract in memstore_test.go.
func runModel(t *testing.T, c Config) {
	n := c.Histories
	if n == 0 {
		if n = 20; c.Bubble {
			n = 2000
		}
	}
	c.within(t, func(t *testing.T) {
		for seed := range uint64(n) {
			ops := history(rand.New(rand.NewPCG(seed, 1)), 40)
			if steps, diff := play(t, c, ops); diff != "" {
				ops, diff = shrink(t, c, ops[:steps], diff)
				var b strings.Builder
				for i, o := range ops {
					fmt.Fprintf(&b, "%3d  %s\n", i+1, o)
				}
				t.Fatalf("history %d:\n%s     %s", seed, &b, diff)
			}
		}
	})
}

// shrink leaves out of a history, which ends where store and model differ,
// whatever they differ without.
func shrink(t *testing.T, c Config, ops []op, diff string) ([]op, string) {
	for again := true; again; {
		again = false
		for i := len(ops) - 2; i >= 0; i-- {
			fewer := slices.Delete(slices.Clone(ops), i, i+1)
			if steps, d := play(t, c, fewer); d != "" {
				ops, diff, again = fewer[:steps], d, true
				i = min(i, len(ops)-1)
			}
		}
	}
	return ops, diff
}
