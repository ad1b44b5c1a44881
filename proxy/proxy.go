package proxy

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"surrogate/store"
)

// A Proxy serves clients from a store and from origins. It is an http.Handler.
type Proxy struct {
	store      store.Store
	fleet      store.Fleet // the store again, if several nodes share it
	invalidate func(ctx context.Context, names []store.Name, by string) error
	served     func(Served)
	heat       func(store.Key) float64
	fetched    func(Fetched)
	covers     func(*tls.ConnectionState, string) bool
	trusted    []netip.Prefix
	log        *slog.Logger
	access     *slog.Logger
	transport  func(s *Site) http.RoundTripper
	counts     *counts
	loop       []string // one value, which names this proxy in CDN-Loop

	sites      atomic.Pointer[siteTable]
	flights    flights
	unshared   *unshared // keys whose answers are not kept
	searches   searches
	resting    *unshared // keys whose refresh failed a moment ago
	refreshing chan struct{}

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
}

// New returns a Proxy. It starts nothing; goroutines belong to the requests that
// need them, and Close waits for those that outlive theirs.
func New(o Options) (*Proxy, error) {
	if o.Store == nil {
		return nil, errors.New("proxy: there is no store")
	}
	p := &Proxy{
		store: o.Store, invalidate: o.Invalidate, served: o.Served, heat: o.Heat, fetched: o.Fetched, covers: o.Covers, trusted: o.Trusted, log: o.Log, access: o.Access, transport: o.Transport,
		unshared: newUnshared(), resting: newUnshared(), loop: []string{"surrogate-" + rand.Text()[:12]},
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.fleet, _ = o.Store.(store.Fleet)
	if o.MaxRefreshes <= 0 {
		o.MaxRefreshes = 256
	}
	p.refreshing = make(chan struct{}, o.MaxRefreshes)
	p.flights.m, p.flights.seed = make(map[flightID]*flight), maphash.MakeSeed()
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.counts = newCounts(o.Metrics)
	if err := p.SetSites(o.Sites); err != nil {
		return nil, err
	}
	return p, nil
}

// SetSites replaces the sites, all of them or, returning an error, none.
// Requests under way keep the one they have.
func (p *Proxy) SetSites(sites []Site) error {
	t, err := p.newSiteTable(sites)
	if err != nil {
		return err
	}
	if old := p.sites.Swap(t); old != nil {
		old.closeIdle()
	}
	return nil
}

// Close ends the fetches under way and waits for them. No request may be served
// any more when it is called.
func (p *Proxy) Close() error {
	p.cancel()
	p.flights.all.Wait()
	p.sites.Load().closeIdle()
	return nil
}

// maxTarget is the longest path and query that is served. A target is kept in
// many places: as key, as what fell, in the log.
const maxTarget = 16 << 10

// ServeHTTP answers one request.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o := &outcome{w: w, arrived: time.Now(), method: r.Method, old: !r.ProtoAtLeast(1, 1)}
	defer p.record(o, r)
	host := p.hostOf(r)
	s := p.sites.Load().find(host)
	if s == nil {
		o.refuse(http.StatusMisdirectedRequest, fmt.Sprintf("no site is served for the host %q", host))
		return
	}
	o.site = s
	if p.misdirected(r) {
		o.refuse(http.StatusMisdirectedRequest, fmt.Sprintf("this connection is not for the host %q", host))
		return
	}
	target, ok := targetOf(r)
	switch {
	case !ok:
		o.refuse(http.StatusBadRequest, "the request names no path")
		return
	case len(target) > maxTarget:
		o.refuse(http.StatusRequestURITooLong, fmt.Sprintf("the target is longer than %d bytes", maxTarget))
		return
	case r.Method == http.MethodConnect || r.Method == http.MethodTrace:
		w.Header()["Allow"] = []string{"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}
		o.refuse(http.StatusMethodNotAllowed, "this method is not passed on")
		return
	case r.Method == http.MethodOptions && r.Header.Get("Max-Forwards") == "0":
		// RFC 9110, section 7.6.2: it is for us to answer.
		w.Header()["Allow"] = []string{"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}
		w.Header()["Content-Length"] = []string{"0"}
		o.writeHeader(http.StatusOK)
		return
	case headerHasToken(r.Header["Cdn-Loop"], p.loop[0]):
		o.refuse(http.StatusLoopDetected, "the request has come by here before")
		return
	}
	q := p.newRequest(s, r, host, target, o.arrived)
	o.key = q.key
	if s.RedirectHTTPS != 0 && q.scheme == "http" && target != "*" && !isChallenge(r) {
		o.redirect(overHTTPS(host, s.RedirectHTTPS, target))
		return
	}
	if upgrades(r.Header) {
		o.fwd, o.detail = "bypass", "upgrade"
		p.pass(o, r, q, nil)
		return
	}
	if fwd, why := q.passes(r); fwd != "" {
		o.fwd, o.detail = fwd, why
		p.pass(o, r, q, nil)
		return
	}
	p.lookup(o, r, q)
}

func (p *Proxy) newRequest(s *site, r *http.Request, host, target string, now time.Time) *request {
	q := &request{site: s, client: endToEnd(r.Header), arrived: now, peer: peerOf(r), scheme: "http"}
	if r.TLS != nil {
		q.scheme = "https"
	}
	if q.trusted = p.isTrusted(q.peer); q.trusted {
		if v := strings.ToLower(firstOf(r.Header.Get("X-Forwarded-Proto"))); v == "http" || v == "https" {
			q.scheme = v
		}
	}
	// The host that is keyed is the host that the origin is told.
	q.host = store.CanonicalHost(q.scheme, host)
	var room [256]byte
	q.key = p.searches.key(store.Key(s.Key.AppendKey(room[:0], q.scheme, host, target)))
	q.asked = parseAsked(r.Method, q.client)
	return q
}

// maxTurns bounds how often a request looks again because the fetch it waited
// for was no good to it.
const maxTurns = 4

// lookup answers a GET or HEAD from the store or from a fetch. A client that
// waited for a fetch and got nothing by it looks again: with its own fetch at
// the last turn where the fetches were answered but not for it, and with an
// error where they failed, for there is no point in asking a failing origin as
// often as there are clients.
func (p *Proxy) lookup(o *outcome, r *http.Request, q *request) {
	var t turn
	for t.count = 1; ; t.count++ {
		q.deaf = !p.hears()
		t.landings = p.flights.landings(q.key)
		found, err := p.store.Get(r.Context(), q.key, q)
		if q.storable = err == nil; !q.storable {
			// Reads fail open: the origin answers, and nothing is stored.
			q.site.counts.storeErrors.Inc()
			p.log.Error("could not look up", "url", string(q.key), "error", err)
			found = store.Found{}
		}
		now := time.Now()
		d := q.site.Policy.decide(&q.asked, &found, now)
		if found.Bodyless && !q.headDoes(&found, d) {
			// A node that has it all in Redis alone is asked again for all of it.
			if found, err = p.store.Get(r.Context(), q.key, wholly{q}); err != nil {
				found, q.storable = store.Found{}, false
			}
			d = q.site.Policy.decide(&q.asked, &found, now)
		}
		o.why = d.why
		switch d.act {
		case actHit:
			if !found.Bodyless && p.wantsEarly(q.site, &found, now) {
				p.refresh(q, &found, d)
			}
			p.serve(&found.Entry, q.arrived, true)
			p.deliverEntry(o, r, q, &found.Entry, d)
			return
		case actStale:
			p.refresh(q, &found, d)
			p.serve(&found.Entry, q.arrived, true)
			p.deliverEntry(o, r, q, &found.Entry, d)
			return
		case actRefuse:
			o.refuse(http.StatusGatewayTimeout, "only-if-cached, and it is not in the cache")
			return
		case actPass:
			o.fwd = d.fwd
			p.pass(o, r, q, nil)
			return
		case actFetch, actRevalidate:
			o.fwd = d.fwd
			if q.asked.method == http.MethodHead {
				p.pass(o, r, q, &found)
				return
			}
			if p.fill(o, r, q, &found, d, &t) {
				return
			}
		default:
			panic(fmt.Sprintf("proxy: unknown action %d", d.act))
		}
	}
}

// A turn is one look of a client that may have to look again.
type turn struct {
	count    int
	landings uint32  // before it looked
	again    bool    // it looks because a flight had landed meanwhile
	after    *flight // the flight that was no good to it
	failed   bool    // because it failed, or did not answer
}

func (t *turn) last() bool { return t.count >= maxTurns }

// fill answers from a fetch, this client's own or one it may share. It returns
// true when the client was answered or has left, and false, with t saying why,
// when it has to look again.
func (p *Proxy) fill(o *outcome, r *http.Request, q *request, found *store.Found, d decision, t *turn) bool {
	alone := !q.storable || q.asked.directives.noStore || p.unshared.has(q.key, q.arrived) || t.last() && !t.failed
	f, rd := p.board(found, q.flightID(found), t, alone)
	if f == nil {
		t.again = true
		t.count-- // it has waited for nothing
		return false
	}
	defer f.leave(rd)
	patience, onHint := q.site.Fill.Wait, func(h hint) { o.interim(h.status, h.header) }
	if rd.led {
		p.lead(r.Context(), f, rd, q.forFill(), found, d, onHint)
		patience, onHint = 0, nil
	}
	a, err := f.await(r.Context(), patience, onHint)
	if r.Context().Err() != nil {
		o.gone = true
		return true
	}
	o.collapsed = !rd.led || err == nil && a.other
	if err == nil && !rd.led && !a.kept && isOriginError(a.status) {
		err = errStatus(a.status)
	}
	t.after, t.failed = f, err != nil
	switch {
	case errors.Is(err, errElsewhere):
		t.failed = false
		return false
	case err != nil && d.onError && q.storable:
		d.act = actStale
		o.detail = "stale-if-error"
		p.serve(&found.Entry, q.arrived, false)
		p.deliverEntry(o, r, q, &found.Entry, d)
	case err != nil && (rd.led || t.last()):
		var status int
		var text string
		status, o.detail, text = failureOf(err)
		o.refuse(status, text)
	case err != nil:
		return false
	case rd.led || p.shares(q, found, f, a):
		if a.kept {
			p.serve(a.entry, q.arrived, false)
		}
		p.deliverFlight(o, r, q, f, rd, a)
	default:
		if a.entry != nil {
			q.vary = a.entry.Vary
		}
		return false
	}
	return true
}

// late reports whether q was asked only after the answer's head had come.
func (a *answer) late(q *request) bool { return a.at.Before(q.arrived) }

// shares reports whether the answer of a flight that was begun for somebody else
// may be this client's too.
func (p *Proxy) shares(q *request, found *store.Found, f *flight, a *answer) bool {
	switch {
	case !a.kept:
		return false
	case store.PickOf(a.entry.Vary, q) != a.entry.Pick:
		return false
	case a.status == http.StatusPartialContent && a.whole == nil && f.id.ranges == "":
		return false
	case a.late(q) && q.site.Policy.decide(&q.asked, &store.Found{Hit: true, Entry: *a.entry}, time.Now()).act != actHit:
		// It came before this client asked, so it is to it like something
		// stored: it has to be fresh, and what the client wants.
		return false
	case f.isSpilled():
		return false
	case q.deaf && f.began.Before(q.arrived):
		// A purge that this node has not heard of may have happened since.
		return false
	case found.Ticket > f.ticket:
		// A purge has happened since the flight began and before this client
		// asked. It may not be shown what the purge covers.
		return p.store.Check(a.entry) == nil
	}
	return true
}
