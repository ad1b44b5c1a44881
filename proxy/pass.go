package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"surrogate/store"
)

// A passage is one request that is passed to the origin as it is, and what its
// response may do to the store.
type passage struct {
	q      *request
	o      *outcome
	found  *store.Found // for a HEAD: what it may freshen
	sent   time.Time
	ticket store.Seq // of a POST, valid if the request is storable
	interims
}

// pass sends the request to the origin and the response to the client. Upgrades
// become tunnels. found is what the store holds for a HEAD.
func (p *Proxy) pass(o *outcome, r *http.Request, q *request, found *store.Found) {
	g := &passage{q: q, o: o, found: found, sent: time.Now()}
	if r.Method == http.MethodPost {
		if f, err := p.store.Get(r.Context(), q.key, q); err == nil {
			g.ticket, q.storable = f.Ticket, true
		}
	}
	send := p.relay
	if upgrades(r.Header) {
		send = p.upgrade
	}
	if r, ok := replayable(r); ok {
		send(r, g)
	} else {
		o.refuse(http.StatusBadRequest, "the request's content broke off")
	}
	if r.Context().Err() != nil {
		o.gone = true
	}
}

// notPassed answers for an origin that did not.
func (p *Proxy) notPassed(ctx context.Context, g *passage, err error) {
	if ctx.Err() == nil {
		g.q.site.counts.fetchErrors.Inc()
		p.log.Warn("passing a request failed", "url", string(g.q.key), "error", err)
	}
	status, detail, text := failureOf(err)
	g.o.detail = detail
	g.o.refuse(status, text)
}

// maxReplay is the largest content of a request that is kept to be sent again.
const maxReplay = 64 << 10

// replayable returns r with its content read, if it is small, so that it can be
// sent on another connection when the kept one turns out to be closed before
// anything of the request was written: the origin has seen nothing of it then,
// whatever the method. It returns false when the client did not send all of it.
func replayable(r *http.Request) (*http.Request, bool) {
	n := r.ContentLength
	if n <= 0 || n > maxReplay {
		return r, true
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r.Body, b); err != nil {
		return r, false
	}
	r = r.WithContext(r.Context())
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	r.Body, _ = r.GetBody()
	return r, true
}

// passed does to the store what a passed response has to: an unsafe method that
// succeeded makes things fall (RFC 9111, section 4.4; RFC 9875, section 3), a
// HEAD freshens or ages what is stored (section 4.3.5), a POST may leave what a
// GET will return. When it returns, what falls has fallen: whoever asks after
// the response is never shown it.
func (p *Proxy) passed(ctx context.Context, resp *http.Response, g *passage) {
	received := time.Now()
	g.o.fwdStatus = resp.StatusCode
	cleanResponse(resp.Header, received)
	switch {
	case isUnsafe(g.q.asked.method) && resp.StatusCode >= 200 && resp.StatusCode < 400:
		p.invalidated(context.WithoutCancel(ctx), resp, g, received)
	case g.found != nil && g.found.Hit && resp.StatusCode == http.StatusOK:
		p.headed(context.WithoutCancel(ctx), resp, g, received)
	}
}

// isUnsafe reports whether a method may change the resource (RFC 9110, section
// 9.2.1). One that is not known may.
func isUnsafe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, "PROPFIND", "REPORT", "SEARCH", "QUERY":
		return false
	}
	return true
}

// invalidated makes fall what an unsafe request changed.
func (p *Proxy) invalidated(ctx context.Context, resp *http.Response, g *passage, received time.Time) {
	q := g.q
	names := store.URLNames(q.key)
	for _, f := range []string{"Location", "Content-Location"} {
		if k, ok := q.sameSite(resp.Header.Get(f)); ok && store.URLName(k) != names[0] {
			names = append(names, store.URLNames(k)...)
		}
	}
	if v := resp.Header["Cache-Group-Invalidation"]; v != nil && q.site.groups {
		groups, _ := store.ParseGroups(v)
		for _, group := range groups {
			names = append(names, store.GroupName(q.key.Origin(), group))
		}
	}
	if p.invalidate == nil {
		return
	}
	posted := p.admitPosted(ctx, resp, g, received)
	if err := p.invalidate(ctx, names, q.asked.method+" "+string(q.key)); err != nil {
		// The change was made, so the client must hear of it. What is stored
		// may be old until it expires, and the operator must know.
		p.log.Error("an unsafe request could not invalidate", "url", string(q.key), "method", q.asked.method, "error", err)
		q.site.counts.storeErrors.Inc()
		return
	}
	if posted != nil {
		p.keepPosted(ctx, resp, g, posted)
	}
}

// admitPosted returns the entry that the response to a POST is kept as, if it
// says that it is what a GET would return and no purge has covered it since the
// request was sent. Its ticket is that of now, before the POST's own purge.
func (p *Proxy) admitPosted(ctx context.Context, resp *http.Response, g *passage, received time.Time) *store.Entry {
	if g.q.asked.method != http.MethodPost || !g.q.storable || resp.StatusCode != http.StatusOK || !answersGet(g.q.key, &g.q.site.Key, resp.Header) {
		return nil
	}
	q := g.q.forFill()
	now, err := p.store.Get(ctx, q.key, q)
	if err != nil {
		return nil
	}
	adm := q.site.Policy.admit(&q.asked, resp.StatusCode, resp.Header, g.sent, received, rand.Float64())
	if !adm.keep || resp.ContentLength > q.site.MaxObject {
		return nil
	}
	e := p.newEntry(q, g.ticket, resp.StatusCode, resp.Header, adm, received.Sub(g.sent))
	if p.store.Check(e) != nil {
		return nil
	}
	e.Ticket = now.Ticket
	return e
}

// keepPosted stores the response to a POST, whose own purge has just been made.
// The entry is given the ticket that came with that purge, provided that none of
// the purges in between, but that one, is about this response.
func (p *Proxy) keepPosted(ctx context.Context, resp *http.Response, g *passage, e *store.Entry) {
	now, err := p.store.Get(ctx, e.Key, g.q)
	if err != nil || now.Ticket <= e.Ticket || !p.fellOnce(ctx, e, now.Ticket) {
		return
	}
	e.Ticket = now.Ticket
	resp.Body = &keeping{ReadCloser: resp.Body, limit: g.q.site.MaxObject, done: func(body []byte) {
		e.Body = body
		p.put(ctx, g.q, e)
	}}
	g.o.stored = true
}

// maxBetween bounds the purges that are looked at for a response to a POST.
const maxBetween = 100

// fellOnce reports whether just one of the purges after e's ticket, up to last,
// may have covered e. It is false where that is not known.
func (p *Proxy) fellOnce(ctx context.Context, e *store.Entry, last store.Seq) bool {
	switch n := last - e.Ticket; {
	case n == 1:
		return true
	case n > maxBetween:
		return false
	}
	fell := 0
	for ev, err := range p.store.Events(ctx, e.Ticket) {
		if err != nil {
			return false
		}
		if mayCover(&ev, e) {
			fell++
		}
		if ev.Seq >= last {
			break
		}
	}
	return fell == 1
}

// mayCover reports whether ev covers e, or might: prefixes are not compared.
func mayCover(ev *store.Event, e *store.Entry) bool {
	if e.Life.Flags.Has(store.CatchAll) {
		return true
	}
	for _, n := range ev.Names {
		if _, prefix := n.Prefix(); prefix {
			return true
		}
	}
	for n := range e.Names() {
		if slices.Contains(ev.Names, n) {
			return true
		}
	}
	return false
}

// A keeping reader keeps what is read through it and hands it over at the end,
// unless it is more than limit.
type keeping struct {
	io.ReadCloser
	buf   []byte
	limit int64
	done  func(body []byte)
}

func (k *keeping) Read(b []byte) (int, error) {
	n, err := k.ReadCloser.Read(b)
	if k.done == nil {
		return n, err
	}
	k.buf = append(k.buf, b[:n]...)
	switch {
	case int64(len(k.buf)) > k.limit || err != nil && !errors.Is(err, io.EOF):
		k.done, k.buf = nil, nil
	case err != nil:
		k.done(k.buf)
		k.done = nil
	}
	return n, err
}

// headed lets the 200 to a HEAD freshen the stored response, or, where they
// differ, make it stale (RFC 9111, section 4.3.5).
func (p *Proxy) headed(ctx context.Context, resp *http.Response, g *passage, received time.Time) {
	q, old := g.q.forFill(), &g.found.Entry
	if !q.storable || !hasValidator(resp.Header) {
		// Nothing tells whether this is about what is stored, and a purge that
		// made it stale must not be undone by a guess.
		return
	}
	var e store.Entry
	keep := true
	if headMatches(old, resp.Header) {
		e, keep = p.freshened(q, g.found.Ticket, old, resp.Header, g.sent, received)
	} else {
		e = *old
		e.Ticket = g.found.Ticket
		e.Life.TTL, e.Life.WhileRevalidate = 0, 0
	}
	if keep {
		p.put(ctx, q, &e)
	}
}
