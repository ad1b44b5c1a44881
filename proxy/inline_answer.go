package proxy

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"surrogate/store"
)

// An inlineHit is a request that is looked at inline, and what was found for it.
type inlineHit struct {
	ask    plainAsk
	site   *site
	scheme string
	key    store.Key // a view
	found  store.Found
	d      decision
	body   []byte      // to be sent
	vec    [2][]byte   // head and body
	bufs   net.Buffers // of vec
}

// inlineCopy is the length up to which copying a body behind its head costs less
// than writing the two from where they are.
const inlineCopy = 16 << 10

// meet does for a hit that was found what comes before its answer is written. b is
// its request. false: it is not answered inline after all.
func (c *inlineConn) meet(sc *scratch, b []byte, now time.Time) (o outcome, ok bool) {
	h, p := &sc.hit, c.in.proxy
	e := &h.found.Entry
	o = outcome{site: h.site, method: http.MethodGet, arrived: now, hit: true, status: e.Status}
	if h.ask.head {
		o.method = http.MethodHead
	}
	if p.wantsEarly(h.site, &h.found, now) && !c.refresh(h, b, now) {
		return o, false
	}
	p.serve(e, now, true)
	if e.Status == http.StatusOK && notModifiedBy(h.ask.all("If-None-Match", &h.ask.noneMatch, h.ask.matches), h.ask.all("If-Modified-Since", &h.ask.since, h.ask.sinces), e) {
		o.status = http.StatusNotModified
	} else if !h.ask.head {
		h.body = e.Body
	}
	return o, true
}

// answer answers the request at the front of b if it is a plain one, and returns its
// length; 0 if it is not. now is when b was there, and is moved to when the answer was
// written.
func (c *inlineConn) answer(b []byte, sc *scratch, now *time.Time) (int, error) {
	h := &sc.hit
	size := h.ask.parsePlain(b)
	if size == 0 {
		return 0, nil
	}
	if !c.find(sc, *now) {
		return c.serve(b[:size], sc, now)
	}
	defer h.forget()
	o, ok := c.meet(sc, b[:size], *now)
	if !ok {
		return 0, nil
	}
	if o.status == http.StatusNotModified {
		sc.out = appendNotModified(sc.out[:0], &h.found.Entry, h.d.age, h.d.fresh)
	} else {
		sc.out = appendHit(sc.out[:0], &h.found.Entry, h.d.age, h.d.fresh)
	}
	if !c.moves(stateLooking, stateAnswering) {
		return 0, net.ErrClosed
	}
	var err error
	o.bytes, err = c.send(sc, h.body)
	o.gone = err != nil
	c.answered = true
	took, p := time.Since(o.arrived), c.in.proxy // cheaper than a time.Now
	*now = o.arrived.Add(took)
	c.last = *now
	p.counts.record(&o, took, sc.lane)
	if p.logs() {
		p.logAccess(&o, took, c.client(), strings.Clone(h.ask.host), strings.Clone(h.ask.target), "HTTP/1.1")
	}
	if !c.moves(stateAnswering, stateLooking) {
		return 0, net.ErrClosed
	}
	return size, err
}

// find looks for a fresh entry that answers h.ask as it is.
func (c *inlineConn) find(sc *scratch, now time.Time) bool {
	h, p := &sc.hit, c.in.proxy
	if h.ask.remarkable {
		return false
	}
	h.scheme = c.scheme()
	if (h.ask.readdressed || h.ask.protos > 0) && p.isTrusted(c.client()) {
		switch proto := h.ask.proto[0]; {
		case h.ask.readdressed || h.ask.protos != 1:
			return false
		case proto == "http", proto == "https":
			h.scheme = proto
		default:
			return false
		}
	}
	h.site = p.sites.Load().find(h.ask.host)
	if h.site == nil || h.site.Debug || h.site.RedirectHTTPS != 0 && h.scheme == "http" || hasCookie(h.ask.all("Cookie", &h.ask.cookie, h.ask.cookies), h.site.BypassCookies) {
		return false
	}
	if c.misdirected(h.ask.host) {
		return false
	}
	sc.key = h.site.Key.AppendKey(sc.key[:0], h.scheme, h.ask.host, h.ask.target)
	h.key = p.searches.key(store.Key(view(sc.key)))
	if !c.in.peeker.Peek(h.key, h, &h.found) {
		h.forget()
		return false
	}
	asked := asked{method: http.MethodGet, conditional: h.ask.matches+h.ask.sinces > 0}
	if h.ask.head {
		asked.method = http.MethodHead
	}
	if h.found.Entry.Life.Flags.Has(store.Plain) {
		if h.d = h.site.Policy.decide(&asked, &h.found, now); h.d.act == actHit {
			return true
		}
	}
	h.forget()
	return false
}

// forget lets go of the entry: a scratch is kept longer.
func (h *inlineHit) forget() {
	h.found = store.Found{}
	h.body = nil
	h.vec = [2][]byte{}
	h.bufs = nil
}

// send writes the answer and returns how much of the body went out.
func (c *inlineConn) send(sc *scratch, body []byte) (int64, error) {
	if err := c.deadlineToWrite(); err != nil {
		return 0, err
	}
	head := len(sc.out)
	n, err := c.put(sc, body)
	return max(0, n-int64(head)), err
}

// put writes what is in sc.out, and body behind it.
func (c *inlineConn) put(sc *scratch, body []byte) (int64, error) {
	switch {
	case len(body) <= inlineCopy:
		sc.out = append(sc.out, body...)
		n, err := c.write(sc.out)
		return int64(n), err
	case c.secure != nil:
		return c.secure.send(sc, body)
	}
	h := &sc.hit
	h.vec = [2][]byte{sc.out, body}
	h.bufs = h.vec[:]
	return h.bufs.WriteTo(c.Conn)
}

// refresh does for an early refresh what ServeHTTP does. The request is parsed
// again: this one is to outlive the answer.
func (c *inlineConn) refresh(h *inlineHit, b []byte, now time.Time) bool {
	r := c.request(context.Background(), b, &h.ask)
	if r == nil {
		return false
	}
	r.RemoteAddr = c.Conn.RemoteAddr().String()
	q := c.in.proxy.newRequest(h.site, r, r.Host, r.RequestURI, now)
	q.storable = true
	c.in.proxy.refresh(q, &h.found, h.d)
	return true
}

// PickFor makes an inlineHit a store.Picker.
func (h *inlineHit) PickFor(vary string) (store.Pick, bool) {
	switch {
	case vary == "accept-encoding" && h.ask.encodings <= 1:
		if h.ask.encodings == 0 {
			return "", true
		}
		return h.site.picks.of(h.ask.encoding[0], h), true
	case strings.Contains(vary, "accept-language"):
		return "", false
	}
	return store.PickOf(vary, h), true
}

// Values makes it store.Fields, as request.Values does.
func (h *inlineHit) Values(name string) []string {
	switch name {
	case "Host":
		return nil // net/http does not count it among the fields
	case "Accept-Encoding":
		return reduceEncodings(h.ask.values(name), h.site.Encodings)
	case "Cookie":
		return reduceCookies(h.ask.values(name), h.site.VaryCookies)
	}
	return h.ask.values(name)
}

// codingPicks remembers what the Accept-Encodings that clients send come to: the
// few that browsers have are asked for all the time.
type codingPicks struct {
	known atomic.Pointer[map[string]store.Pick]
	mu    sync.Mutex // held to replace known
}

const (
	maxCodings     = 128 // Accept-Encodings remembered
	maxCodingBytes = 256
)

// of returns the pick of a request with this one Accept-Encoding.
func (c *codingPicks) of(coding string, request store.Fields) store.Pick {
	if m := c.known.Load(); m != nil {
		if p, ok := (*m)[coding]; ok {
			return p
		}
	}
	p := store.PickOf("accept-encoding", request)
	c.mu.Lock()
	defer c.mu.Unlock()
	m := make(map[string]store.Pick)
	if old := c.known.Load(); old != nil {
		if len(*old) >= maxCodings {
			return p
		}
		for k, v := range *old {
			m[k] = v
		}
	}
	if len(coding) <= maxCodingBytes {
		m[strings.Clone(coding)] = p
		c.known.Store(&m)
	}
	return p
}
