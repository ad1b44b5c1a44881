package redisstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"surrogate/store"
	"surrogate/store/fences"
)

const (
	// sweepBatch is how many members of the index a sweep reads together.
	sweepBatch = 64
	// lookBatch is at how many places it looks together. Redis answers nobody else
	// meanwhile: some tenths of a millisecond.
	lookBatch = 16
)

// A Put writes the index first, so a member whose entry is not there may be one
// that is about to be. After so long it is not.
const dangling = time.Minute

// Sweep implements store.Store. What it goes by is the event.
//
// A hard sweep yields what it removes, and nothing is removed twice, so it
// yields each key once however many nodes sweep. A soft one removes nothing. It
// meets a key under each of its names and yields it under the first of them, in
// the order of the event: no need to remember what was yielded.
func (s *Store) Sweep(ctx context.Context, ev store.Event) iter.Seq2[store.Swept, error] {
	return func(yield func(store.Swept, error) bool) {
		inc, err := s.ready(ctx)
		if err != nil {
			yield(store.Swept{}, err)
			return
		}
		sw := sweep{s: s, inc: inc, ev: ev, first: make(map[store.Name]int)}
		for _, n := range append([]store.Name{store.CatchAllName}, ev.Names...) {
			if _, twice := sw.first[n]; twice {
				continue
			}
			sw.first[n] = sw.n
			if p, ok := n.Prefix(); ok {
				sw.prefixes = append(sw.prefixes, prefix{p, sw.n})
			}
			if url, ok := n.URL(); ok {
				key := idOf(url)
				sw.urls = append(sw.urls, visit{place{key, schemes[0]}, sw.n}, visit{place{key, schemes[1]}, sw.n})
			}
			for _, set := range inc.walked(n) {
				sw.sets, sw.owner = append(sw.sets, set), append(sw.owner, sw.n)
			}
			sw.n++
		}
		if err := sw.run(ctx, func(x store.Swept) bool { return yield(x, nil) }); err != nil && !errors.Is(err, errStop) {
			yield(store.Swept{}, fmt.Errorf("redisstore: sweep %d: %w", ev.Seq, err))
		}
	}
}

// errStop says that nobody wants any more.
var errStop = errors.New("stop")

// A sweep visits what one purge killed or made stale.
type sweep struct {
	s        *Store
	inc      *incarnation
	ev       store.Event
	first    map[store.Name]int // the event's names by their place in it
	prefixes []prefix
	n        int
	urls     []visit
	sets     []string
	owner    []int // which name a set is of
	yielded  int
}

type prefix struct {
	text string
	n    int
}

// A visit is a place and the name under which it is met.
type visit struct {
	place
	n int
}

func (sw *sweep) run(ctx context.Context, yield func(store.Swept) bool) error {
	for at := range slices.Chunk(sw.urls, lookBatch) {
		if err := sw.visit(ctx, at, yield); err != nil {
			return err
		}
	}
	w := &walk{s: sw.s, sets: sw.sets, size: sweepBatch}
	last, set := place{}, -1 // the last that was met, and in which set
	for {
		began, yielded := time.Now(), sw.yielded
		page, err := w.next(ctx)
		if err != nil || len(page) == 0 {
			return err
		}
		at := make([]visit, 0, len(page))
		for _, m := range page {
			if m.place != last || m.set != set {
				at = append(at, visit{m.place, sw.owner[m.set]})
				last, set = m.place, m.set
			}
		}
		for part := range slices.Chunk(at, lookBatch) {
			if err := sw.visit(ctx, part, yield); err != nil {
				return err
			}
		}
		if err := sw.s.tidy(ctx, sw.inc, w, page); err != nil {
			return err
		}
		if sw.yielded == yielded {
			// Whoever sweeps rests when something is yielded. A walk over much that did
			// not fall, as of a prefix, rests by itself.
			sw.s.rest(ctx, nil, time.Since(began))
		}
	}
}

// visit deals with what fell at some places.
func (sw *sweep) visit(ctx context.Context, at []visit, yield func(store.Swept) bool) error {
	if err := sw.s.usable(ctx); err != nil {
		return err
	}
	out, err := sw.reclaim(ctx, at)
	for _, x := range out {
		sw.yielded++
		if !yield(x) {
			return errStop
		}
	}
	return err
}

func (sw *sweep) reclaim(ctx context.Context, at []visit) ([]store.Swept, error) {
	places := make([]place, len(at))
	for i, v := range at {
		places[i] = v.place
	}
	all, err := sw.s.lookAll(ctx, sw.inc, places)
	if err != nil {
		return nil, err
	}
	var todo []removal
	var out []store.Swept
	now := time.Now()
	for j, ks := range all {
		first := sw.n
		r := removal{at: places[j]}
		for _, k := range ks {
			n := sw.covers(&k.Entry)
			if k.Ticket >= sw.ev.Seq || n == sw.n || sw.ev.Soft && (k.dead(now) || sw.s.fellHard(&k.Entry)) {
				continue
			}
			first = min(first, n)
			r.going = append(r.going, k)
		}
		switch {
		case len(r.going) == 0:
		case !sw.ev.Soft:
			todo = append(todo, r)
		case first == at[j].n:
			out = append(out, swept(r.going))
		}
	}
	if len(todo) == 0 {
		return out, nil
	}
	// First remembered, then removed: see fallen.go.
	if err := sw.s.recordFallen(ctx, sw.inc, sw.ev.Seq, todo); err != nil {
		return nil, err
	}
	out, err = sw.s.remove(ctx, sw.inc, todo)
	for _, x := range out {
		sw.s.data.swept.Add(uint64(x.Entries))
	}
	return out, err
}

// covers returns the first of the event's names that covers an entry, by its
// number; n if none does.
func (sw *sweep) covers(e *store.Entry) int {
	first := sw.n
	for n := range e.Names() {
		if i, ok := sw.first[n]; ok {
			first = min(first, i)
		}
	}
	for _, p := range sw.prefixes {
		if strings.HasPrefix(e.Key.URL(), p.text) {
			first = min(first, p.n)
		}
	}
	return first
}

// carries reports whether an entry falls with a name.
func carries(e *store.Entry, n store.Name) bool {
	if p, ok := n.Prefix(); ok {
		return strings.HasPrefix(e.Key.URL(), p)
	}
	for have := range e.Names() {
		if have == n {
			return true
		}
	}
	return false
}

// fellHard reports whether a hard fence covers an entry.
func (s *Store) fellHard(e *store.Entry) bool {
	v := fences.Verdict{Ticket: e.Ticket}
	s.book.Judge(e, &v)
	return v.Dead
}

func swept(ks []kept) store.Swept {
	x := store.Swept{Key: store.Key(strings.Clone(string(ks[0].Key)))}
	for i := range ks {
		x.Entries++
		x.Bytes += ks[i].held
	}
	return x
}

// A removal is what is to go of one place.
type removal struct {
	at    place
	going []kept
}

// remove takes entries out and returns what it took, a key each.
func (s *Store) remove(ctx context.Context, inc *incarnation, todo []removal) ([]store.Swept, error) {
	calls := make([]call, len(todo))
	for i, r := range todo {
		calls[i] = call{script: removeScript, keys: []string{inc.entries(r.at)}}
		for _, k := range r.going {
			alt := ""
			if k.Alt != "" {
				a := pickIDOf(k.Alt)
				alt = string(a[:])
			}
			calls[i].args = append(calls[i].args, string(k.gen[:]), alt)
		}
	}
	if err := s.guardPatient(ctx, "remove", func(ctx context.Context) error { return s.eval(ctx, calls) }); err != nil {
		return nil, err
	}
	var out []store.Swept
	members := make(map[string][]any)
	var bodies []removal
	for i, r := range todo {
		gone := texts(calls[i].cmd.Val())
		took := slices.DeleteFunc(slices.Clone(r.going), func(k kept) bool { return !slices.Contains(gone, string(k.gen[:])) })
		if len(took) == 0 {
			continue
		}
		if took[0].Key != "" {
			out = append(out, swept(took))
		}
		for j := range took {
			for _, c := range leaves(inc, r.at, &took[j]) {
				members[c.keys[0]] = append(members[c.keys[0]], c.args...)
			}
			if took[j].chunked {
				bodies = append(bodies, removal{r.at, took[j : j+1]})
			}
		}
	}
	calls = calls[:0]
	for set, ms := range members {
		calls = append(calls, call{script: leaveScript, keys: []string{set}, args: ms})
	}
	err := s.guardPatient(ctx, "index", func(ctx context.Context) error { return s.eval(ctx, calls) })
	for _, b := range bodies {
		if err == nil {
			err = s.forget(ctx, inc, b.at, b.going)
		}
	}
	return out, err
}

// tidy takes members out of the index whose entries are not there.
func (s *Store) tidy(ctx context.Context, inc *incarnation, w *walk, page []met) error {
	old := time.Now().Add(-dangling).UnixMilli()
	var at []place
	var ms []met
	for _, m := range page {
		if m.stored() < old {
			ms, at = append(ms, m), append(at, m.place)
		}
	}
	if len(ms) == 0 {
		return nil
	}
	at = slices.Compact(at)
	there := make(map[string]bool)
	orders, err := s.orders(ctx, inc, at)
	if err != nil {
		return err
	}
	for _, o := range orders {
		for _, v := range o {
			there[string(v.gen[:])] = true
		}
	}
	members := make(map[int][]any)
	for _, m := range ms {
		if !there[string(m.gen[:])] {
			members[m.set] = append(members[m.set], m.text)
		}
	}
	var calls []call
	for set, texts := range members {
		calls = append(calls, call{script: leaveScript, keys: []string{w.sets[set]}, args: texts})
	}
	return s.guardPatient(ctx, "index", func(ctx context.Context) error { return s.eval(ctx, calls) })
}
