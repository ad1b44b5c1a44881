package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"surrogate/store"
)

// A WarmAsk is a page that is to be stored before a visitor asks for it.
type WarmAsk struct {
	URL string // absolute
	// Vary and Pick say which visitors it is for, as in store.Entry: the fields
	// that Vary lists have exactly the values that Pick has. All others are as
	// most browsers would send them; with "" for Vary that goes for all.
	Vary  string
	Pick  store.Pick
	Force bool // ask the origin even for what is stored and fresh
	Body  bool // of what is fresh already the body is wanted, too
}

// A WarmState is how a WarmAsk can end.
type WarmState uint8

// The states.
const (
	WarmFresh  WarmState = iota // it was stored and fresh: nobody was asked
	WarmStored                  // it was fetched, and is stored now
	WarmUnkept                  // it was fetched, now or a moment ago, and is not to be stored
	WarmFailed                  // it was not fetched
)

// A WarmResult is what became of a WarmAsk.
type WarmResult struct {
	State    WarmState
	Why      string        // of WarmUnkept and WarmFailed
	Passing  bool          // of WarmFailed: it may be otherwise after a while
	Unwell   bool          // the origin gave no answer, or one that says it is unwell: 500, 502, 503, 504, 429
	After    time.Duration // how long the origin wants to be left alone (Retry-After); 0 if it did not say
	Status   int           // of the answer, the origin's or what is stored; 0 if there was none
	Entry    *store.Entry  // what is stored, of WarmFresh and WarmStored; nobody may write to it
	Bytes    int64         // of its body
	Cost     time.Duration // from the request to the answer's head, of a fetch of ours; 0 if there was none
	Joined   bool          // a fetch begun for a visitor, or by another node, brought it
	Location string        // where a redirect leads, absolute; "" if it is none
}

// A Fetched is a fetch that fills or refreshes the store.
type Fetched struct {
	Site    string
	Took    time.Duration // until the response's head, or the failure
	Failed  bool          // no answer, or one that says the origin is unwell: 500, 502, 503, 504, 429
	Warming bool          // begun by Warm, for no visitor
}

// tellFetch tells how a fetch was answered.
func (p *Proxy) tellFetch(f *flight, s *site, resp *http.Response, err error) {
	if p.fetched == nil || errors.Is(err, context.Canceled) {
		return
	}
	failed := err != nil || isUnwell(resp.StatusCode)
	p.fetched(Fetched{Site: s.Name, Took: f.cost, Failed: failed, Warming: f.warming})
}

// Visiting is how many fetches for visitors are under way at a site's origin.
func (p *Proxy) Visiting(siteName string) int { return int(p.counts.site(siteName).visiting.Load()) }

// SiteOf is the name of the site that serves a URL, and the key it is stored
// under; ok is false if there is none.
func (p *Proxy) SiteOf(rawURL string) (siteName string, key store.Key, ok bool) {
	s, scheme, host, target, err := p.locate(rawURL)
	if err != nil {
		return "", "", false
	}
	return s.Name, p.searches.key(s.Key.Key(scheme, host, target)), true
}

// locate tells which site serves a URL.
func (p *Proxy) locate(rawURL string) (s *site, scheme, host, target string, err error) {
	scheme, host, target, err = store.SplitURL(rawURL, "")
	switch {
	case err != nil:
		return nil, "", "", "", err
	case scheme == "":
		return nil, "", "", "", fmt.Errorf("%w: %.200q has neither http:// nor https://", store.ErrBadURL, rawURL)
	case len(target) > maxTarget:
		return nil, "", "", "", fmt.Errorf("%w: its target is longer than %d bytes", store.ErrBadURL, maxTarget)
	}
	if s = p.sites.Load().find(host); s == nil {
		return nil, "", "", "", fmt.Errorf("no site is served for the host %q", host)
	}
	return s, scheme, host, target, nil
}

// Warm sees to it that a page is stored and fresh. It goes the way of a
// visitor's request: one fetch serves both it and whoever comes meanwhile, and
// over a fleet one node makes it. It returns soon after ctx ends; a fetch that
// nobody else waits for ends with it.
func (p *Proxy) Warm(ctx context.Context, ask WarmAsk) WarmResult {
	s, scheme, host, target, err := p.locate(ask.URL)
	if err != nil {
		return WarmResult{State: WarmFailed, Why: err.Error()}
	}
	q := &request{
		site: s, client: ask.header(s), arrived: time.Now(), peer: warmPeer, scheme: scheme,
		host: store.CanonicalHost(scheme, host), storable: true,
	}
	q.key = p.searches.key(s.Key.Key(scheme, host, target))
	q.asked = parseAsked(http.MethodGet, q.client)
	if hasCookie(q.client["Cookie"], s.BypassCookies) {
		return WarmResult{State: WarmUnkept, Why: "cookie"}
	}
	for range maxTurns {
		r, again := p.warmOnce(ctx, q, &ask)
		if !again {
			return r
		}
		if ctx.Err() != nil {
			break
		}
	}
	if err := context.Cause(ctx); err != nil {
		return WarmResult{State: WarmFailed, Why: err.Error(), Passing: true}
	}
	return WarmResult{State: WarmFailed, Why: "it was purged again and again while it was fetched", Passing: true}
}

// warmPeer stands for the client's address in what the origin is told.
const warmPeer = "127.0.0.1"

// header is what a visitor whom the page is for would send. A field that Vary
// lists and Pick has no value for is one that these visitors do not send.
func (ask *WarmAsk) header(s *site) http.Header {
	h := ask.Pick.Header()
	listed := strings.Split(ask.Vary, ",")
	usual := func(name, value string) {
		if h[name] == nil && value != "" && !slices.Contains(listed, strings.ToLower(name)) {
			h[name] = []string{value}
		}
	}
	codings := "gzip, deflate, br, zstd"
	if s.Encodings != nil {
		codings = strings.Join(s.Encodings, ", ")
	}
	usual("Accept-Encoding", codings)
	usual("Accept", "*/*")
	usual("User-Agent", "surrogate (warming)")
	return h
}

// headOnly is a request that can do without the body.
type headOnly struct{ *request }

func (headOnly) WantsBody() bool { return false }

// warmOnce looks once, and has fetched what is not fresh. again says that
// nothing came of it for this ask, and a further look may help.
func (p *Proxy) warmOnce(ctx context.Context, q *request, ask *WarmAsk) (r WarmResult, again bool) {
	if !p.hears() {
		return WarmResult{State: WarmFailed, Why: "this node has lost touch with the others", Passing: true}, false
	}
	look := func(fields store.Fields) (store.Found, decision, error) {
		found, err := p.store.Get(ctx, q.key, fields)
		d := decision{}
		if err == nil {
			d = q.site.Policy.decide(&q.asked, &found, time.Now())
		}
		return found, d, err
	}
	fields := store.Fields(headOnly{q})
	if ask.Body || ask.Force {
		fields = wholly{q}
	}
	found, d, err := look(fields)
	if err == nil && found.Bodyless && (d.act != actHit || ask.Force) {
		found, d, err = look(wholly{q}) // to be revalidated
	}
	switch {
	case err != nil:
		return WarmResult{State: WarmFailed, Why: "could not look it up: " + err.Error(), Passing: true}, false
	case d.act == actHit && !ask.Force:
		e := found.Entry
		return WarmResult{State: WarmFresh, Entry: &e, Status: e.Status, Bytes: int64(len(e.Body)), Location: q.redirect(&e)}, false
	case d.act == actHit, d.act == actStale:
		d.act = actRevalidate
	case d.act == actFetch, d.act == actRevalidate:
	default: // passed or refused, and so whoever asks
		return WarmResult{State: WarmUnkept, Why: d.why.String()}, false
	}
	// One that only visitors have met is asked for once more: whoever wants it warm
	// is to know whether it is there at all.
	if u, known := p.unshared.get(q.key); known && u.status > 0 && !ask.Force && time.Now().Before(u.until) {
		return WarmResult{State: WarmUnkept, Why: u.why.String(), Status: u.status}, false
	}
	ask.Force = false // what the next look finds fresh is fresh enough
	f, ours := p.boardWarm(q, &found, d)
	select {
	case <-f.landed:
	case <-ctx.Done():
		r := WarmResult{State: WarmFailed, Why: context.Cause(ctx).Error(), Passing: true}
		if ours {
			r.Cost, r.Unwell = time.Since(f.began), true
			f.abandon(context.Cause(ctx))
		}
		return r, false
	}
	return p.landed(q, f, ours)
}

// boardWarm returns the flight that brings q's page, and whether it was begun
// for this. One that is under way for a visitor will do.
func (p *Proxy) boardWarm(q *request, found *store.Found, d decision) (f *flight, ours bool) {
	id := q.flightID(found)
	p.flights.mu.Lock()
	defer p.flights.mu.Unlock()
	if f = p.flights.m[id]; f != nil {
		return f, false
	}
	f = newFlight(p.ctx, id, found.Ticket)
	// Nobody need wait for it, and what is not stored has no reader.
	f.lone, f.ledGone, f.warming = true, true, true
	p.flights.m[id] = f
	p.fly(f, q.forFill(), found, d, nil)
	return f, true
}

// abandon ends a flight that no client waits for.
func (f *flight) abandon(why error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.clients) == 0 && !f.done {
		f.cancel(why)
	}
}

// landed is what a flight that is over came to.
func (p *Proxy) landed(q *request, f *flight, ours bool) (r WarmResult, again bool) {
	f.mu.Lock()
	a, err := f.ans, f.err
	f.mu.Unlock()
	r.Joined = !ours || a != nil && a.other
	if ours {
		r.Cost = f.cost
	}
	if a != nil {
		r.Status = a.status
	}
	switch {
	case f.stored != nil:
		e := *f.stored
		r.State, r.Entry, r.Bytes, r.Location = WarmStored, &e, int64(len(e.Body)), q.redirect(&e)
		r.Status = e.Status
		r.Unwell = isUnwell(e.Status)
	case f.unkept == whyPurged, errors.Is(err, context.Canceled), errors.Is(err, errElsewhere):
		return r, true
	case err != nil:
		_, word, text := failureOf(err)
		if own, ok := errors.AsType[errStatus](err); ok {
			text = own.Error()
		}
		r.State, r.Why, r.Passing, r.Unwell = WarmFailed, word+": "+text, true, true
	case a == nil:
		return r, true
	case isUnwell(a.status):
		r.State, r.Why, r.Passing, r.Unwell = WarmFailed, errStatus(a.status).Error(), true, true
		r.After = retryAfter(a.header.Get("Retry-After"), time.Now())
	case f.unkept == whyStore:
		r.State, r.Why, r.Passing = WarmFailed, "the store failed", true
	default:
		r.State, r.Why = WarmUnkept, f.unkept.String()
		p.unshared.note(q.key, a.status)
		r.Location = q.target(a.status, a.header.Get("Location"))
	}
	return r, false
}

// isUnwell reports whether a status says that the origin had better be left alone.
func isUnwell(status int) bool { return isOriginError(status) || status == http.StatusTooManyRequests }

// redirect is where an entry leads, if it is a redirect.
func (q *request) redirect(e *store.Entry) string { return q.target(e.Status, e.Head.Get("Location")) }

// target resolves the Location of a redirect (RFC 9110, section 10.2.2).
func (q *request) target(status int, location string) string {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return ""
	}
	base, err := url.Parse(string(q.key))
	if err != nil || location == "" {
		return ""
	}
	ref, err := base.Parse(location)
	if err != nil {
		return ""
	}
	ref.Fragment = ""
	return ref.String()
}

// retryAfter reads Retry-After (RFC 9110, section 10.2.3).
func retryAfter(v string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(strings.TrimSpace(v)); err == nil && n >= 0 && n <= 1<<20 {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(now))
	}
	return 0
}
