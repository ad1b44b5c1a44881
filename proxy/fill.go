package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"surrogate/store"
)

var (
	errResponseTimeout = fmt.Errorf("no response from the origin in time: %w", context.DeadlineExceeded)
	errIdleTimeout     = fmt.Errorf("the origin stopped sending: %w", context.DeadlineExceeded)
	errUnasked         = errors.New("the origin answered 304 to a request without a condition")
	errDeadline        = fmt.Errorf("the fetch took too long: %w", context.DeadlineExceeded)
)

// ask makes a fetch: request, response head, admission. It returns a response
// whose content is still to be taken in, or nil where that was all. It never sees a
// client's ResponseWriter or Request.
func (p *Proxy) ask(f *flight, q *request, found *store.Found, d decision) *coming {
	s := q.site
	release, e, err := p.agree(f.ctx, f, q, found)
	f.release = release
	switch {
	case err != nil:
		f.finish(nil, err)
		return nil
	case e != nil:
		f.stored = e
		f.answered(&answer{kept: true, other: true, whole: e, entry: e, status: e.Status, length: int64(len(e.Body))})
		f.finish(nil, nil)
		return nil
	}
	return p.fetch(f, q, found, d, s)
}

// fetch asks the origin.
func (p *Proxy) fetch(f *flight, q *request, found *store.Found, d decision, s *site) *coming {
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
	origin := s.origin
	if f.warming {
		origin = s.warming
		s.counts.warmFetches.Inc()
	} else if f.visits == nil {
		f.visits = &s.counts.visiting
		f.visits.Add(1)
	}
	stop := func() bool { return true }
	if !origin.bounded {
		stop = time.AfterFunc(s.Fill.ResponseTimeout, func() { f.cancel(errResponseTimeout) }).Stop
	}
	sent := time.Now()
	s.counts.fetches.Inc()
	resp, err := origin.send(p.newFetch(f.ctx, q, header), f.interim(s))
	stop()
	received := time.Now()
	f.cost = received.Sub(sent)
	p.tellFetch(f, s, resp, err)
	if err != nil {
		var netErr net.Error
		if err = cause(f.ctx, err); errors.As(err, &netErr) && netErr.Timeout() && received.Sub(sent) >= s.Fill.ResponseTimeout {
			err = errResponseTimeout // the transport's own limit was a moment faster
		}
		p.failed(f, q, old, err)
		return nil
	}
	s.counts.fetchSeconds.Update(received.Sub(sent).Seconds())
	cleanResponse(resp.Header, received)

	switch {
	case resp.StatusCode == http.StatusNotModified && conditional && selects304(old, resp.Header):
		resp.Body.Close()
		return p.revalidated(f, q, old, resp.Header, sent, received)
	case resp.StatusCode == http.StatusNotModified:
		// It is about something that neither this proxy nor its client has.
		resp.Body.Close()
		if !conditional {
			p.failed(f, q, old, errUnasked)
			return nil
		}
		return p.again(f, q)
	case isOriginError(resp.StatusCode) && d.onError:
		resp.Body.Close()
		p.failed(f, q, old, errStatus(resp.StatusCode))
		return nil
	case resp.StatusCode == http.StatusPartialContent && completing:
		return p.completed(f, q, old, resp, sent, received)
	}
	return p.receive(f, q, found, resp, sent, received)
}

// receive decides what becomes of a response, and tells those who wait.
func (p *Proxy) receive(f *flight, q *request, found *store.Found, resp *http.Response, sent, received time.Time) *coming {
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
		return nil
	}
	p.unshared.remove(q.key)
	e := p.newEntry(q, f.ticket, resp.StatusCode, resp.Header, adm, received.Sub(sent))
	s.hide(resp.Header)
	a.entry, a.header = e, resp.Header
	announceTrailers(a.header, resp.Trailer)
	c := &coming{resp: resp, entry: e, found: found, received: received, size: -1}
	if b, ok := resp.Body.(interface{ Here() (int64, bool) }); ok {
		if n, here := b.Here(); here && n <= s.MaxObject {
			c.size = n
		}
	} else if resp.Body == http.NoBody {
		c.size = 0
	}
	if n := resp.ContentLength; n > 0 && !c.here() {
		f.buf = make([]byte, 0, min(n, 1<<20))
	}
	f.answered(a)
	return c
}

// A coming is a response that is to be kept, and of which only the head has been
// taken in.
type coming struct {
	whole    *store.Entry // all of it, and then nothing below is needed; nil: not yet
	resp     *http.Response
	entry    *store.Entry // without content
	found    *store.Found // what was stored before
	received time.Time    // when its head was
	size     int64        // of its content, where all of that has come; -1 where not
}

// here reports whether nothing of the content has to be waited for.
func (c *coming) here() bool { return c.whole != nil || c.size >= 0 }

// bring takes in the content, and stores it.
func (p *Proxy) bring(f *flight, q *request, c *coming) { p.keep(f, q, p.takeIn(f, q, c)) }

// takeIn takes in the content for those who wait, and returns what is to be
// stored; nil if it came to nothing.
func (p *Proxy) takeIn(f *flight, q *request, c *coming) *store.Entry {
	if c.whole != nil {
		return c.whole
	}
	s, resp := q.site, c.resp
	defer resp.Body.Close()
	fits, err := true, error(nil)
	if c.here() {
		err = f.takeAll(resp.Body, c.size)
	} else {
		fits, err = p.copyIn(f, q, resp, c.received)
	}
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
		return nil
	}
	removeHopByHop(resp.Trailer)
	full := *c.entry
	full.Body = f.buf
	if len(resp.Trailer) > 0 {
		full.Trailer, _ = s.split(resp.Trailer, []string{"Set-Cookie", "Set-Cookie2"})
	}
	// The clients have all they wait for; storing is not their concern. But it
	// comes before landing, so that nobody finds neither flight nor entry.
	f.finish(s.visible(resp.Trailer), nil)
	if full.Parts != nil && c.found.Hit {
		if x, ok := combine(&c.found.Entry, &full); ok {
			full = x
		}
	}
	makeWhole(&full)
	return &full
}

// copyIn reads the content into the flight. fits is false when it became too
// large to be stored, or nobody wanted the rest of it.
func (p *Proxy) copyIn(f *flight, q *request, resp *http.Response, began time.Time) (fits bool, err error) {
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
			if !f.write(f.ctx, (*chunk)[:n], q.site.MaxObject) {
				return false, cause(f.ctx, f.ctx.Err())
			}
			if fits && f.spilled {
				// Newcomers could not read it from the start.
				fits = false
				timer.Stop()
				patience = func() time.Duration { return fill.IdleTimeout }
				timer = time.AfterFunc(patience(), func() { f.cancel(errIdleTimeout) })
				p.unboard(f)
			}
			if fits {
				continue
			}
		}
		if errors.Is(err, io.EOF) {
			return fits, nil
		}
		if err != nil {
			return fits, cause(f.ctx, err)
		}
	}
}

// revalidated answers with old as a 304 updates it, and returns that, if it is to
// be stored.
func (p *Proxy) revalidated(f *flight, q *request, old *store.Entry, h http.Header, sent, received time.Time) *coming {
	e, keep := p.freshened(q, f.ticket, old, h, sent, received)
	q.site.counts.revalidated.Inc()
	if !keep {
		f.unkept = whyNoStore
		p.unshared.add(q.key, whyNoStore, received, q.site.Fill.Unshared)
		p.resting.add(q.key, whyNoStore, received, restFor)
	}
	f.answered(&answer{at: received, kept: keep, whole: &e, entry: &e, status: http.StatusNotModified, length: int64(len(e.Body))})
	f.finish(nil, nil)
	if !keep {
		return nil
	}
	return &coming{whole: &e}
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
