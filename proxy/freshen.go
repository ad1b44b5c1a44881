package proxy

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"surrogate/store"
)

// refresh admits e anew as updated by the fields h of a 304, or of a 200 to a
// HEAD (RFC 9111 sections 4.3.4, 4.3.5). Freshness is that of the updated
// fields, counted from the new response: from its Date and Age, never from the
// stored ones. When the admission says not to keep it, the entry returned is
// good for this answer only. The caller sets what it alone knows: Ticket, and
// Pick and Alt, since the Vary may be another.
func (p *Policy) refresh(a *asked, e *store.Entry, h http.Header, sent, received time.Time, rnd float64) (store.Entry, admission) {
	fields := updated(e, h)
	if _, ok := dateOf(h, "Date", received); !ok {
		fields["Date"] = []string{received.UTC().Format(http.TimeFormat)} // RFC 9110 section 6.6.1
	}
	get := asked{method: http.MethodGet, header: a.header, directives: a.directives, authorized: a.authorized}
	status := e.Status
	if !e.Complete() {
		status = http.StatusOK // its parts were admitted before, its fields are those of the whole
	}
	if ages := h["Age"]; len(ages) > 0 {
		fields["Age"] = ages
	}
	adm := p.admit(&get, status, fields, sent, received, rnd)
	out := *e
	out.Head = storedHead(fields, func(name string) bool { return slices.Contains(adm.privateFields, name) })
	out.Life = adm.life
	if adm.keep {
		out.Vary = adm.vary
	}
	return out, adm
}

// updated returns the fields of e with those of h in place of the same ones,
// all lines of a name at once (RFC 9111 section 3.2).
func updated(e *store.Entry, h http.Header) http.Header {
	fields := e.Head.Header()
	for name, vs := range h {
		if !updates(name) || name == "Etag" && fields[name] != nil || isHopByHop(name, h) {
			continue
		}
		fields[name] = slices.Clone(vs)
	}
	return fields
}

// updates reports whether a field of a 304 takes the place of the stored one:
// not those that describe the bytes which are stored, and were not sent again.
// ETag is one of them, but a stored response without one may be given one.
// (Apache's mod_deflate is known for other tags in its 304s than in its 200s.)
func updates(name string) bool {
	switch name {
	case "Content-Length", "Content-Encoding", "Content-Range", "Content-Md5", "Content-Digest", "Repr-Digest", "Digest", "Age":
		return false
	}
	return true
}

// isHopByHop reports whether the field concerns the connection only (RFC 9111
// section 3.1, RFC 9110 section 7.6.1): by its name, or because Connection in h
// lists it.
func isHopByHop(name string, h http.Header) bool {
	switch name { // as hopByHop
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Transfer-Encoding", "Upgrade",
		"Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info", "Trailer":
		return true
	}
	for _, line := range h["Connection"] {
		for n := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(textproto.TrimString(n), name) {
				return true
			}
		}
	}
	return false
}

// storedHead is what of a response's fields is stored: all but Age, the
// hop-by-hop ones, and those that omit says.
func storedHead(h http.Header, omit func(name string) bool) store.Head {
	return store.HeadOfSome(h, func(name string) bool {
		return name != "Age" && !isHopByHop(name, h) && !omit(name)
	})
}

// headMatches reports whether the 200 to a HEAD with fields h describes e: then
// it freshens e, else e is to be considered stale (RFC 9111 section 4.3.5). What
// h does not say does not contradict.
//
// A 200 without any validator says nothing of what e holds: hasValidator tells
// those apart.
func headMatches(e *store.Entry, h http.Header) bool {
	for _, name := range []string{"Etag", "Last-Modified"} {
		if vs := h[name]; len(vs) > 0 && (len(vs) > 1 || vs[0] != e.Head.Get(name)) {
			return false
		}
	}
	vs := h["Content-Length"]
	if len(vs) == 0 {
		return true
	}
	length, ok := parseDigits(textproto.TrimString(vs[0]))
	if stored := e.Head.Get("Content-Length"); stored != "" && e.Complete() {
		n, valid := parseDigits(stored)
		return ok && valid && n == length
	}
	size := e.Size
	if e.Complete() {
		size = int64(len(e.Body))
	}
	return ok && (size < 0 || size == length)
}
