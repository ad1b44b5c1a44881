package proxy

import (
	"context"
	"errors"
	"hash/maphash"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"surrogate/store"
)

// flights are the fetches under way that can be shared.
type flights struct {
	mu  sync.Mutex
	m   map[flightID]*flight
	all sync.WaitGroup // every fetch, shared or not

	// landings count the flights that were taken off the board, by a hash of their
	// key: see landings.
	seed  maphash.Seed
	taken [256]atomic.Uint32
}

// landings returns a number that changes whenever a flight for k, or for some other
// keys, is taken off the board. Who has looked in the store and wants to board has
// to know: if a flight has landed in between, he has found neither it nor what it
// stored.
func (fs *flights) landings(k store.Key) uint32 { return fs.taken[fs.place(k)].Load() }

func (fs *flights) place(k store.Key) int {
	return int(maphash.String(fs.seed, string(k)) % uint64(len(fs.taken)))
}

// board returns the flight that q's client travels with, and its place in it. If
// the flight was begun for it, it has to lead. The flight that was no good to it
// before is replaced. An alone client shares with nobody. There is no flight if one
// has landed since the client looked in the store: it has to look again, once.
func (p *Proxy) board(found *store.Found, id flightID, t *turn, alone bool) (f *flight, rd *reader) {
	if alone {
		f = newFlight(p.ctx, id, found.Ticket)
		f.alone = true
		return f, f.join(true)
	}
	p.flights.mu.Lock()
	defer p.flights.mu.Unlock()
	if f = p.flights.m[id]; f != nil && f != t.after {
		return f, f.join(false)
	}
	if f == nil && !t.again && p.flights.landings(id.key) != t.landings {
		return nil, nil
	}
	f = newFlight(p.ctx, id, found.Ticket)
	p.flights.m[id] = f
	return f, f.join(true)
}

// lead makes the flight's fetch for the client it was begun for, in that
// client's own goroutine. What takes longer than the response's head does, and
// what need not be waited for, goes on without it. Interim responses are handed to
// onHint as they come.
func (p *Proxy) lead(ctx context.Context, f *flight, rd *reader, q *request, found *store.Found, d decision, onHint func(hint)) {
	p.flights.all.Add(1)
	defer p.flights.all.Done()
	stop := context.AfterFunc(ctx, func() { f.leave(rd) })
	defer stop()
	f.leader.tell(onHint)
	led := false
	defer func() {
		if !led { // others must not wait for what has panicked
			f.cancel(errPanicked)
			f.failAll(errPanicked)
			p.land(f)
		}
	}()
	in := *found
	c := p.ask(f, q, &in, d)
	f.leader.tell(nil)
	switch {
	case c != nil && !c.here():
		p.flights.all.Go(func() {
			p.bring(f, q, c)
			p.land(f)
		})
	case p.fleet != nil: // to store it takes round trips, and so does to give up the claim
		var e *store.Entry
		if c != nil {
			e = p.takeIn(f, q, c)
		}
		p.flights.all.Go(func() {
			p.keep(f, q, e)
			p.land(f)
		})
	case c == nil:
		p.land(f)
	default:
		p.bring(f, q, c)
		p.land(f)
	}
	led = true
}

var errPanicked = errors.New("the fetch came to a bad end")

// refresh revalidates an entry in the background, once however many ask for it.
func (p *Proxy) refresh(q *request, found *store.Found, d decision) {
	id := q.flightID(found)
	now := time.Now()
	if p.resting.has(q.key, now) {
		return
	}
	p.flights.mu.Lock()
	defer p.flights.mu.Unlock()
	if p.flights.m[id] != nil {
		return
	}
	select {
	case p.refreshing <- struct{}{}:
	default:
		q.site.counts.refreshDropped.Inc()
		return
	}
	if d.act == actHit {
		q.site.counts.refreshEarly.Inc()
	}
	c := q.forWhole()
	d.act = actRevalidate
	f := newFlight(p.ctx, id, found.Ticket)
	f.lone, f.ledGone, f.background = true, true, true
	p.flights.m[id] = f
	p.fly(f, c, found, d, func() { <-p.refreshing })
}

// fly makes a flight's fetch that no client waits for yet. after is called when
// it is over. Whoever registers the flight does so before anyone else can look, by
// holding flights.mu.
func (p *Proxy) fly(f *flight, q *request, found *store.Found, d decision, after func()) {
	in := *found
	p.flights.all.Go(func() {
		if c := p.ask(f, q, &in, d); c != nil {
			p.bring(f, q, c)
		}
		p.land(f)
		if after != nil {
			after()
		}
	})
}

// land ends a flight: what it brought can be seen by now.
func (p *Proxy) land(f *flight) {
	if f.visits != nil {
		f.visits.Add(-1)
	}
	if f.release != nil {
		f.release()
	}
	p.unboard(f)
	f.over()
	close(f.landed)
}

// unboard takes the flight off the board, so that newcomers look in the store.
func (p *Proxy) unboard(f *flight) {
	p.flights.mu.Lock()
	if p.flights.m[f.id] == f {
		delete(p.flights.m, f.id)
		p.flights.taken[p.flights.place(f.id.key)].Add(1)
	}
	p.flights.mu.Unlock()
}

// flightID is what a fetch for q can be shared by.
func (q *request) flightID(found *store.Found) flightID {
	vary := found.Vary
	if vary == "" {
		vary = q.vary
	}
	id := flightID{key: q.key, pick: store.PickOf(vary, q)}
	if r := q.client["Range"]; r != nil && q.asked.method == http.MethodGet && !(found.Hit && found.Entry.Complete()) {
		id.ranges = strings.Join(r, ",") + "\n" + strings.Join(q.client["If-Range"], ",")
	}
	return id
}
