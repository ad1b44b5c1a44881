package proxy_test

import (
	"context"
	"iter"
	"sync"
	"time"

	"surrogate/store"
)

// A beyond is a store that lives outside a bubble of fake time, as one that
// talks to a network must, for a house that is in one. Whoever calls it waits in
// a way that the bubble does not take for rest: no time passes in there and
// synctest.Wait does not return before the store has answered.
//
// Inside it is the year 2000. The times of entries and purges are shifted, by
// what lay between when the house was opened. The store outside does not notice
// when time passes inside: nothing ends its life, and a soft purge is as old as
// it is outside. Whether something is fresh is decided inside.
type beyond struct {
	store.Fleet
	shift time.Duration
	jobs  chan func()

	mu     sync.Mutex // guards what follows
	events []store.Event
	news   chan struct{} // of the bubble; closed when one comes
}

// outside does what is sent to it outside any bubble, until jobs is closed. It
// is started before the bubble.
func outside(jobs chan func()) {
	for job := range jobs {
		go job()
	}
}

// enter returns the store as it is seen from the bubble that this is called in.
func enter(f store.Fleet, jobs chan func(), opened time.Time) *beyond {
	return &beyond{Fleet: f, shift: time.Until(opened), jobs: jobs, news: make(chan struct{})}
}

// do has f done outside, and waits for it. A mutex belongs to no bubble.
func (b *beyond) do(ctx context.Context, f func(ctx context.Context)) {
	out, cancel := context.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, cancel)
	var done sync.Mutex
	done.Lock()
	b.jobs <- func() {
		defer done.Unlock()
		f(out)
	}
	done.Lock()
	stop()
	cancel()
}

func (b *beyond) Get(ctx context.Context, key store.Key, ask store.Fields) (f store.Found, err error) {
	b.do(ctx, func(ctx context.Context) { f, err = b.Fleet.Get(ctx, key, ask) })
	b.in(&f.Entry)
	if !f.Fell.IsZero() {
		f.Fell = b.before(f.Fell)
	}
	return f, err
}

// before is a time outside that has come, as a time inside: outside it may be
// later by now.
func (b *beyond) before(t time.Time) time.Time {
	if t, now := t.Add(-b.shift), time.Now(); t.Before(now) {
		return t
	} else {
		return now
	}
}

// in moves an entry's times into the bubble.
func (b *beyond) in(e *store.Entry) {
	if !e.Life.Born.IsZero() {
		e.Life.Born = e.Life.Born.Add(-b.shift)
	}
}

func (b *beyond) Put(ctx context.Context, e *store.Entry) (err error) {
	moved := *e
	moved.Life.Born = e.Life.Born.Add(b.shift)
	b.do(ctx, func(ctx context.Context) { err = b.Fleet.Put(ctx, &moved) })
	return err
}

func (b *beyond) Check(e *store.Entry) (err error) {
	b.do(context.Background(), func(context.Context) { err = b.Fleet.Check(e) })
	return err
}

func (b *beyond) Purge(ctx context.Context, p store.Purge) (ev store.Event, err error) {
	b.do(ctx, func(ctx context.Context) { ev, err = b.Fleet.Purge(ctx, p) })
	if err != nil {
		return ev, err
	}
	out := ev
	ev.At = b.before(ev.At)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.events = append(b.events, out)
	close(b.news)
	b.news = make(chan struct{})
	return ev, nil
}

func (b *beyond) Dependents(ctx context.Context, names []store.Name) (out []store.Name, err error) {
	b.do(ctx, func(ctx context.Context) { out, err = b.Fleet.Dependents(ctx, names) })
	return out, err
}

// Sweep sweeps as it is asked to, and not ahead.
func (b *beyond) Sweep(ctx context.Context, ev store.Event) iter.Seq2[store.Swept, error] {
	return func(yield func(store.Swept, error) bool) {
		ev.At = ev.At.Add(b.shift)
		var next func() (store.Swept, error, bool)
		var stop func()
		b.do(ctx, func(ctx context.Context) {
			next, stop = iter.Pull2(b.Fleet.Sweep(context.WithoutCancel(ctx), ev))
		})
		defer b.do(ctx, func(context.Context) { stop() })
		for ctx.Err() == nil {
			var sw store.Swept
			var err error
			var more bool
			b.do(ctx, func(context.Context) { sw, err, more = next() })
			if !more || !yield(sw, err) {
				return
			}
		}
	}
}

// Events yields what was purged from inside, of which there is no other.
func (b *beyond) Events(ctx context.Context, after store.Seq) iter.Seq2[store.Event, error] {
	return func(yield func(store.Event, error) bool) {
		for i := 0; ctx.Err() == nil; {
			b.mu.Lock()
			evs, news := b.events[i:], b.news
			b.mu.Unlock()
			for _, ev := range evs {
				i++
				if ev.At = b.before(ev.At); ev.Seq > after && !yield(ev, nil) {
					return
				}
			}
			if len(evs) > 0 {
				continue
			}
			select {
			case <-news:
			case <-ctx.Done():
			}
		}
	}
}

func (b *beyond) Count(ctx context.Context, n store.Name) (c store.Count, err error) {
	b.do(ctx, func(ctx context.Context) { c, err = b.Fleet.Count(ctx, n) })
	return c, err
}

func (b *beyond) List(ctx context.Context, n store.Name, cursor string, limit int) (es []store.Entry, next string, err error) {
	b.do(ctx, func(ctx context.Context) { es, next, err = b.Fleet.List(ctx, n, cursor, limit) })
	for i := range es {
		b.in(&es[i])
	}
	return es, next, err
}

func (b *beyond) Stats(ctx context.Context) (st store.Stats, err error) {
	b.do(ctx, func(ctx context.Context) { st, err = b.Fleet.Stats(ctx) })
	return st, err
}

func (b *beyond) Nodes(ctx context.Context) (ns []store.Node, err error) {
	b.do(ctx, func(ctx context.Context) { ns, err = b.Fleet.Nodes(ctx) })
	return ns, err
}

func (b *beyond) Await(ctx context.Context, seq store.Seq) (heard map[string]store.Seq, all bool, err error) {
	b.do(ctx, func(ctx context.Context) { heard, all, err = b.Fleet.Await(ctx, seq) })
	return heard, all, err
}

func (b *beyond) Hears() (yes bool) {
	b.do(context.Background(), func(context.Context) { yes = b.Fleet.Hears() })
	return yes
}

// Claim gives a channel of the bubble to whoever has to wait. There is but this
// node, which closes the channel outside before Release returns: so looking at
// that now and then, in fake time, misses nothing.
func (b *beyond) Claim(ctx context.Context, id string, ttl time.Duration) (store.Claim, <-chan struct{}, error) {
	var claim store.Claim
	var over <-chan struct{}
	var err error
	b.do(ctx, func(ctx context.Context) { claim, over, err = b.Fleet.Claim(ctx, id, ttl) })
	if claim != nil {
		return claimBeyond{b, claim}, nil, err
	}
	if over == nil {
		return nil, nil, err
	}
	inside := make(chan struct{})
	go func() {
		defer close(inside)
		for end := time.Now().Add(ttl); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			select {
			case <-over:
				return
			default:
			}
		}
	}()
	return nil, inside, err
}

type claimBeyond struct {
	b     *beyond
	claim store.Claim
}

func (c claimBeyond) Release(ctx context.Context) { c.b.do(ctx, c.claim.Release) }

// Run lets the house go on: the store is run, and closed, by whoever started it.
func (b *beyond) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (b *beyond) Close() error { return nil }
