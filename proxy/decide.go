package proxy

import (
	"net/http"
	"strings"
	"time"

	"surrogate/store"
)

// asked is what a request wants of a cache.
type asked struct {
	method      string
	header      http.Header
	directives  requestDirectives
	authorized  bool // has Authorization
	conditional bool // has If-None-Match or If-Modified-Since, which a cache evaluates
	foreign     bool // has If-Match or If-Unmodified-Since, which only the origin does (RFC 9111 section 4.3.2)
	ranged      bool // is a GET with Range (RFC 9110 section 14.2: no other method has ranges)
}

// parseAsked reads what a request wants. A plain request costs no allocation.
func parseAsked(method string, h http.Header) asked {
	a := asked{
		method:      method,
		header:      h,
		authorized:  len(h["Authorization"]) > 0,
		conditional: len(h["If-None-Match"]) > 0 || len(h["If-Modified-Since"]) > 0,
		foreign:     len(h["If-Match"]) > 0 || len(h["If-Unmodified-Since"]) > 0,
		ranged:      method == http.MethodGet && len(h["Range"]) > 0,
	}
	if cc := h["Cache-Control"]; len(cc) > 0 {
		a.directives = parseRequest(cc)
	} else if pragma := h["Pragma"]; len(pragma) > 0 {
		// Section 5.4: without Cache-Control, as HTTP/1.0 clients mean it.
		a.directives.noCache = headerListHas(pragma, "no-cache")
	}
	return a
}

func headerListHas(lines []string, token string) bool {
	for _, line := range lines {
		for m := range listed(line, true) {
			if strings.EqualFold(m, token) {
				return true
			}
		}
	}
	return false
}

// action is what to do with a request.
type action uint8

const (
	actFetch      action = iota // ask the origin: nothing stored can be used
	actHit                      // show the entry
	actStale                    // show the entry and refresh it in the background
	actRevalidate               // ask the origin whether the entry is still good, or for what it lacks
	actPass                     // ask the origin, store nothing, share nothing
	actRefuse                   // answer 504: only-if-cached, and nothing to show
)

// A decision is what to do with a request.
type decision struct {
	act     action
	fwd     string // why the request goes to the origin, as Cache-Status has it (RFC 9211 section 2.2); "" for a hit
	why     Reason
	age     time.Duration // the entry's
	fresh   time.Duration // how long it stays fresh; 0 or less when it is stale
	onError bool          // the entry may be shown instead of an error (stale-if-error)
	partial bool          // with actRevalidate: the entry is incomplete; ask for missingRange
}

// decide says what to do with a request, given what the store found (RFC 9111
// section 4). A hit costs no allocation.
func (p *Policy) decide(a *asked, f *store.Found, now time.Time) decision {
	if d, ok := p.passes(a, f); ok {
		return d
	}
	d := p.choose(a, f, now)
	if a.directives.onlyIfCached && (d.act == actFetch || d.act == actRevalidate) { // section 5.2.1.7
		d.act, d.why, d.onError, d.partial = actRefuse, whyOnlyIfCached, false, false
	}
	return d
}

// passes tells requests that no cache has a part in.
func (p *Policy) passes(a *asked, f *store.Found) (decision, bool) {
	switch {
	case a.method != http.MethodGet && a.method != http.MethodHead: // section 4: writes through
		return decision{act: actPass, fwd: "method", why: whyMethod}, true
	case a.foreign: // section 4.3.2
		return decision{act: actPass, fwd: "bypass", why: whyPrecondition}, true
	case a.authorized && !p.StoreAuthorized:
		return decision{act: actPass, fwd: "bypass", why: whyAuthorization}, true
	case a.directives.noStore && a.directives.onlyIfCached:
		return decision{act: actRefuse, fwd: "request", why: whyOnlyIfCached}, true
	case a.directives.noStore: // section 5.2.1.5
		fwd := missed(f)
		if f.Hit {
			fwd = "request"
		}
		return decision{act: actPass, fwd: fwd, why: whyRequestNoStore}, true
	}
	return decision{}, false
}

// missed is which of the misses of RFC 9211 section 2.2 finding nothing was.
func missed(f *store.Found) string {
	if f.Vary != "" { // there is something for the URL, but not for this request
		return "vary-miss"
	}
	return "uri-miss"
}

// choose decides by the entry found.
func (p *Policy) choose(a *asked, f *store.Found, now time.Time) decision {
	if !f.Hit {
		return decision{act: actFetch, fwd: missed(f), why: whyMiss}
	}
	e := &f.Entry
	d := decision{act: actRevalidate, age: age(e, now), fresh: freshUntil(f).Sub(now)}
	if !e.Complete() && !(a.ranged && covers(e, a.header)) {
		// Section 3.3: an incomplete entry answers nothing but ranges in it. One
		// that covers them in part is of no use either; what the client asked for
		// is fetched, and combined.
		d.fwd, d.why = "partial", whyPartial
		d.partial = a.method == http.MethodGet && !a.ranged && !f.Doubt
		if !d.partial {
			d.act = actFetch
		}
		return d
	}
	flags := e.Life.Flags
	staleFor := -d.fresh
	stale := d.fresh <= 0
	q := &a.directives

	// What the entry cannot be used for without asking, whoever asks.
	switch {
	case f.Doubt: // a purge may have been forgotten that covers it
		d.fwd, d.why = "stale", whyDoubt
		return d
	case flags.Has(store.NoCache): // section 5.2.2.4
		d.fwd, d.why = "stale", whyNoCache
		return d
	}

	// Section 4.2.4 and RFC 5861 section 4: what may be shown rather than an
	// error. A window that the request names takes the place of the entry's.
	window := e.Life.IfError
	if q.ifError.ok {
		window = q.ifError.d
	}
	d.onError = !q.noCache && (!stale || !flags.Has(store.NoStale) && staleFor < window)

	// What the client does not want (section 5.2.1).
	switch {
	case q.noCache:
		d.fwd, d.why = "request", whyRequestNoCache
	case q.maxAge.ok && d.age > q.maxAge.d && !(!stale && immutable(e)):
		d.fwd, d.why = "request", whyRequestMaxAge
	case q.minFresh.ok && d.fresh < q.minFresh.d:
		d.fwd, d.why = "request", whyRequestMinFresh
	case !stale:
		return decision{act: actHit, why: whyFresh, age: d.age, fresh: d.fresh}
	}
	if d.why != whyNone {
		if stale {
			d.fwd = "stale" // RFC 9211: "request" is for fresh responses
		}
		return d
	}

	// Stale.
	d.fwd, d.why = "stale", whyStale
	if !f.Fell.IsZero() && f.Fell.Before(e.Life.Expires()) {
		d.why = whySoftPurged
	}
	asksFresh := q.maxAge.ok && !q.maxStale.ok // section 5.2.1.1: then the client wants nothing stale
	switch {
	case flags.Has(store.NoStale):
	case !asksFresh && staleFor < e.Life.WhileRevalidate: // RFC 5861 section 3
		d.act, d.fwd = actStale, ""
	case q.maxStale.ok && staleFor <= q.maxStale.d: // section 5.2.1.2
		d.act, d.fwd, d.why = actHit, "", whyRequestMaxStale
	}
	if d.act == actRevalidate && staleFor >= max(e.Life.WhileRevalidate, e.Life.IfError, e.Life.Keep) && !d.onError {
		d.act = actFetch // past everything it was kept for
	}
	return d
}

// age is the entry's current age (RFC 9111 section 4.2.3).
func age(e *store.Entry, now time.Time) time.Duration { return max(0, now.Sub(e.Life.Born)) }

// freshUntil is when what was found stops being fresh, or when it did: a soft
// purge never extends a life.
func freshUntil(f *store.Found) time.Time {
	t := f.Entry.Life.Expires()
	if !f.Fell.IsZero() && f.Fell.Before(t) {
		return f.Fell
	}
	return t
}

// immutable reports whether the response said that it does not change while it
// is fresh. A browser's reload sends max-age=0 out of habit; RFC 8246 section 2
// has a proxy spare the origin that, and heed no-cache.
func immutable(e *store.Entry) bool {
	cc := e.Head.Get("Cache-Control")
	return cc != "" && parseResponse([]string{cc}).immutable
}

// covers reports whether the entry holds all that the request's Range asks for,
// and the client's If-Range, if any, allows a part of it.
func covers(e *store.Entry, h http.Header) bool {
	if !ifRangeMatches(h, e) || len(h["Range"]) != 1 {
		return false
	}
	ranges, ok, satisfiable := parseRange(h["Range"][0], e.Size)
	if !ok || !satisfiable || len(ranges) != 1 { // several are the origin's to answer
		return false
	}
	_, held := slicePart(e, ranges[0])
	return held
}
