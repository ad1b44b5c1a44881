package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"surrogate/store"
)

// flights are the fetches under way that can be shared.
type flights struct {
	mu  sync.Mutex
	m   map[flightID]*flight
	all sync.WaitGroup // every fetch, shared or not
}

// board returns the flight that q's client travels with and whether it was
// begun for it. after, when not nil, is a flight that is no good to it and is
// replaced. An alone client shares with nobody.
func (p *Proxy) board(q *request, found *store.Found, d decision, id flightID, after *flight, alone bool) (f *flight, rd *reader) {
	if alone {
		f = p.launch(q, found, d, id, true)
		return f, f.join(true)
	}
	p.flights.mu.Lock()
	defer p.flights.mu.Unlock()
	if f = p.flights.m[id]; f != nil && f != after {
		return f, f.join(false)
	}
	f = p.launch(q, found, d, id, false)
	p.flights.m[id] = f
	return f, f.join(true)
}

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
	// What is refreshed is the whole entry, whatever part this client wants.
	c := q.forFill()
	delete(c.client, "Range")
	delete(c.client, "If-Range")
	c.asked = parseAsked(http.MethodGet, c.client)
	d.act = actRevalidate
	f := newFlight(id, found.Ticket, nil)
	f.lone, f.ledGone, f.background = true, true, true
	p.flights.m[id] = f
	p.fly(f, c, found, d, func() { <-p.refreshing })
}

// launch begins a fetch. Whoever registers it does so before anyone else can
// look, by holding flights.mu.
func (p *Proxy) launch(q *request, found *store.Found, d decision, id flightID, alone bool) *flight {
	f := newFlight(id, found.Ticket, nil)
	f.alone = alone
	p.fly(f, q.forFill(), found, d, nil)
	return f
}

func (p *Proxy) fly(f *flight, q *request, found *store.Found, d decision, after func()) {
	ctx, cancel := context.WithCancelCause(p.ctx)
	f.cancel = cancel
	in := *found
	p.flights.all.Go(func() {
		p.run(ctx, f, q, &in, d)
		p.land(f)
		f.over()
		close(f.landed)
		if after != nil {
			after()
		}
	})
}

// land takes the flight off the board, so that newcomers look in the store.
func (p *Proxy) land(f *flight) {
	p.flights.mu.Lock()
	if p.flights.m[f.id] == f {
		delete(p.flights.m, f.id)
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

var (
	errResponseTimeout = fmt.Errorf("no response from the origin in time: %w", context.DeadlineExceeded)
	errIdleTimeout     = fmt.Errorf("the origin stopped sending: %w", context.DeadlineExceeded)
	errUnasked         = errors.New("the origin answered 304 to a request without a condition")
	errDeadline        = fmt.Errorf("the fetch took too long: %w", context.DeadlineExceeded)
)

// run does one fetch: request, response head, admission, content, storing. It
// never sees a client's ResponseWriter or Request.
func (p *Proxy) run(ctx context.Context, f *flight, q *request, found *store.Found, d decision) {
	s := q.site
	release, e, err := p.agree(ctx, f, q, found)
	defer release() // what is stored can be seen by then
	switch {
	case err != nil:
		f.finish(nil, err)
		return
	case e != nil:
		f.stored = e
		f.answered(&answer{kept: true, other: true, whole: e, entry: e, status: e.Status, length: int64(len(e.Body))})
		f.finish(nil, nil)
		return
	}
	header := p.fillHeader(q)
	var old *store.Entry
	conditional, completing := false, false
	if found.Hit {
		old = &found.Entry
		switch {
		case d.partial:
			rng, ifRange, ok := missingRange(old)
			if completing = ok; ok {
				header["Range"] = []string{rng}
				if ifRange != "" {
					header["If-Range"] = []string{ifRange}
				}
			}
		case d.act == actRevalidate || d.act == actStale:
			conditional = setConditional(header, old)
		}
		if old.Complete() {
			// The flight is shared by all who want any of it: see flightID.
			delete(header, "Range")
			delete(header, "If-Range")
		}
	}
	timer := time.AfterFunc(s.Fill.ResponseTimeout, func() { f.cancel(errResponseTimeout) })
	defer timer.Stop()
	origin := s.origin
	if f.warming {
		origin = s.warming
		s.counts.warmFetches.Inc()
	} else {
		s.counts.visiting.Add(1)
		defer s.counts.visiting.Add(-1)
	}
	sent := time.Now()
	s.counts.fetches.Inc()
	resp, err := origin.send(p.newFetch(ctx, q, header), f.interim(s))
	timer.Stop()
	received := time.Now()
	f.cost = received.Sub(sent)
	p.tellFetch(f, s, resp, err)
	if err != nil {
		var netErr net.Error
		if err = cause(ctx, err); errors.As(err, &netErr) && netErr.Timeout() && received.Sub(sent) >= s.Fill.ResponseTimeout {
			err = errResponseTimeout // the transport's own limit was a moment faster
		}
		p.failed(f, q, old, err)
		return
	}
	s.counts.fetchSeconds.Update(received.Sub(sent).Seconds())
	cleanResponse(resp.Header, received)

	switch {
	case resp.StatusCode == http.StatusNotModified && conditional && selects304(old, resp.Header):
		resp.Body.Close()
		p.revalidated(f, q, old, resp.Header, sent, received)
		return
	case resp.StatusCode == http.StatusNotModified:
		// It is about something that neither this proxy nor its client has.
		resp.Body.Close()
		if !conditional {
			p.failed(f, q, old, errUnasked)
			return
		}
		p.again(ctx, f, q)
		return
	case isOriginError(resp.StatusCode) && d.onError:
		resp.Body.Close()
		p.failed(f, q, old, errStatus(resp.StatusCode))
		return
	case resp.StatusCode == http.StatusPartialContent && completing:
		p.completed(ctx, f, q, old, resp, sent, received)
		return
	}
	p.receive(ctx, f, q, found, resp, sent, received)
}

// receive takes in a response and stores it, if it is to be kept.
func (p *Proxy) receive(ctx context.Context, f *flight, q *request, found *store.Found, resp *http.Response, sent, received time.Time) {
	s := q.site
	adm := s.Policy.admit(&q.asked, resp.StatusCode, resp.Header, sent, received, rand.Float64())
	if adm.keep && resp.ContentLength > s.MaxObject {
		adm.keep, adm.why = false, whyTooLarge
	}
	if adm.keep && !q.storable {
		adm.keep, adm.why = false, whyStore
	}
	a := &answer{at: received, kept: adm.keep, why: adm.why, status: resp.StatusCode, length: resp.ContentLength}
	if !adm.keep {
		if !isOriginError(resp.StatusCode) && q.storable {
			p.unshared.add(q.key, adm.why, received, s.Fill.Unshared)
		}
		if found.Hit {
			// What is stored stays as it is: refreshing it brought nothing.
			p.resting.add(q.key, adm.why, received, restFor)
		}
		s.counts.notKept(adm.why)
		f.unkept = adm.why
		s.hide(resp.Header)
		a.header, a.live = resp.Header, resp
		f.answered(a)
		return
	}
	defer resp.Body.Close()
	p.unshared.remove(q.key)
	e := p.newEntry(q, f.ticket, resp.StatusCode, resp.Header, adm, received.Sub(sent))
	s.hide(resp.Header)
	a.entry, a.header = e, resp.Header
	announceTrailers(a.header, resp.Trailer)
	if n := resp.ContentLength; n > 0 {
		f.buf = make([]byte, 0, min(n, 1<<20))
	}
	f.answered(a)

	fits, err := p.copyIn(ctx, f, q, resp, received)
	if err != nil || !fits {
		f.finish(nil, err)
		if err != nil {
			p.log.Warn("fetch broke off", "url", string(q.key), "error", err)
			s.counts.fetchErrors.Inc()
		} else {
			s.counts.notKept(whyTooLarge)
			f.unkept = whyTooLarge
			p.unshared.add(q.key, whyTooLarge, time.Now(), s.Fill.Unshared)
		}
		return
	}
	removeHopByHop(resp.Trailer)
	full := *e
	full.Body = f.buf
	if len(resp.Trailer) > 0 {
		full.Trailer, _ = s.split(resp.Trailer, []string{"Set-Cookie", "Set-Cookie2"})
	}
	// The clients have all they wait for; storing is not their concern. But it
	// comes before landing, so that nobody finds neither flight nor entry.
	f.finish(s.visible(resp.Trailer), nil)
	if full.Parts != nil && found.Hit {
		if c, ok := combine(&found.Entry, &full); ok {
			full = c
		}
	}
	makeWhole(&full)
	p.keep(ctx, f, q, &full)
}

// copyIn reads the content into the flight. fits is false when it became too
// large to be stored, or nobody wanted the rest of it.
func (p *Proxy) copyIn(ctx context.Context, f *flight, q *request, resp *http.Response, began time.Time) (fits bool, err error) {
	fill := &q.site.Fill
	end := began.Add(fill.Deadline)
	patience := func() time.Duration { return min(fill.IdleTimeout, time.Until(end)) }
	timer := time.AfterFunc(patience(), func() {
		if time.Now().Before(end) {
			f.cancel(errIdleTimeout)
		} else {
			f.cancel(errDeadline)
		}
	})
	defer func() { timer.Stop() }()
	chunk := getChunk()
	defer putChunk(chunk)
	fits = true
	for {
		n, err := resp.Body.Read(*chunk)
		if n > 0 {
			timer.Reset(patience())
			if !f.write(ctx, (*chunk)[:n], q.site.MaxObject) {
				return false, cause(ctx, ctx.Err())
			}
			if fits && f.spilled {
				// Newcomers could not read it from the start.
				fits = false
				timer.Stop()
				patience = func() time.Duration { return fill.IdleTimeout }
				timer = time.AfterFunc(patience(), func() { f.cancel(errIdleTimeout) })
				p.land(f)
			}
			if fits {
				continue
			}
		}
		if errors.Is(err, io.EOF) {
			return fits, nil
		}
		if err != nil {
			return fits, cause(ctx, err)
		}
	}
}

// revalidated stores and answers with old as a 304 updates it.
func (p *Proxy) revalidated(f *flight, q *request, old *store.Entry, h http.Header, sent, received time.Time) {
	e, keep := p.freshened(q, f.ticket, old, h, sent, received)
	q.site.counts.revalidated.Inc()
	if !keep {
		f.unkept = whyNoStore
		p.unshared.add(q.key, whyNoStore, received, q.site.Fill.Unshared)
		p.resting.add(q.key, whyNoStore, received, restFor)
	}
	f.answered(&answer{at: received, kept: keep, whole: &e, entry: &e, status: http.StatusNotModified, length: int64(len(e.Body))})
	f.finish(nil, nil)
	if keep {
		p.keep(p.ctx, f, q, &e) // whether or not a client still waits
	}
}

// failed ends a fetch that was not answered, or with an error that a stored
// entry may stand in for. Until it is worth trying again, nobody refreshes.
func (p *Proxy) failed(f *flight, q *request, old *store.Entry, err error) {
	q.site.counts.fetchErrors.Inc()
	if !errors.Is(err, context.Canceled) {
		p.log.Warn("fetch failed", "url", string(q.key), "error", err)
	}
	if old != nil {
		p.resting.add(q.key, whyNone, time.Now(), restFor)
	}
	f.finish(nil, err)
}

// restFor is how long a background refresh that failed, or brought nothing to
// store, is not tried again.
const restFor = time.Second

// interim takes in the interim responses that clients are passed.
func (f *flight) interim(s *site) func(status int, h http.Header) error {
	return func(status int, h http.Header) error {
		if status == http.StatusEarlyHints || status == http.StatusProcessing {
			return f.hint(hint{status, s.visible(h)})
		}
		return nil
	}
}

// cause returns why ctx ended, if that is what err is about, else err.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil && ctx.Err() != nil {
		return c
	}
	return err
}

// isOriginError reports whether a status is one that a stale response may be
// shown instead of (RFC 5861, section 4).
func isOriginError(status int) bool {
	switch status {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
