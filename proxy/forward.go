package proxy

import (
	"net"
	"net/http"
	"net/netip"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// hopByHop are the fields that concern one connection only (RFC 9110, section
// 7.6.1, and those that practice adds).
var hopByHop = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Transfer-Encoding", "Upgrade",
	"Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info", "Trailer",
}

// removeHopByHop deletes the fields that are not to be passed on, those named by
// Connection included.
func removeHopByHop(h http.Header) {
	for _, v := range h["Connection"] {
		for n := range strings.SplitSeq(v, ",") {
			if n = textproto.TrimString(n); n != "" {
				h.Del(n)
			}
		}
	}
	for _, n := range hopByHop {
		delete(h, n)
	}
}

// endToEnd returns h without the fields that its Connection names, so that
// nothing is picked or decided by what the origin is not going to see. It
// returns h itself where Connection names none.
func endToEnd(h http.Header) http.Header {
	out := h
	for _, v := range h["Connection"] {
		for n := range strings.SplitSeq(v, ",") {
			n = http.CanonicalHeaderKey(textproto.TrimString(n))
			if _, has := h[n]; !has || slices.Contains(hopByHop, n) {
				continue
			}
			if len(out) == len(h) {
				out = h.Clone()
			}
			delete(out, n)
		}
	}
	return out
}

// upgrades reports whether the client wants another protocol on its connection
// that the origin may agree to. HTTP/2 in place of HTTP/1.1 is none: a client
// that offers it is content with what it is answered.
func upgrades(h http.Header) bool {
	if !headerHasToken(h["Connection"], "upgrade") {
		return false
	}
	for _, v := range h["Upgrade"] {
		for t := range strings.SplitSeq(v, ",") {
			if t = textproto.TrimString(t); t != "" && !strings.EqualFold(t, "h2c") && !strings.HasPrefix(strings.ToUpper(t), "HTTP/") {
				return true
			}
		}
	}
	return false
}

// overriding are fields by which some origins let a client say another URL,
// host or method than the request has. What is keyed must be what is asked for,
// so they end here.
var overriding = []string{
	"X-Original-Url", "X-Rewrite-Url", "X-Host", "X-Forwarded-Server", "X-Forwarded-Scheme", "X-Forwarded-Ssl",
	"X-Forwarded-Protocol", "X-Url-Scheme", "Front-End-Https", "X-Forwarded-Prefix", "X-Forwarded-Path", "X-Http-Method-Override", "X-Http-Method", "X-Method-Override",
	"X-Original-Host", "Surrogate-Capability",
}

// forwardHeader turns out, a copy of the client's fields, into what the origin
// is sent. The forwarded-for fields are made anew, with what a trusted proxy in
// front said before what we know ourselves.
func (p *Proxy) forwardHeader(out http.Header, q *request) {
	te := ""
	if headerHasToken(out["Te"], "trailers") {
		te = "trailers"
	}
	removeHopByHop(out)
	if te != "" {
		out.Set("Te", te)
	}
	forwardedFor := q.peer
	if v := out["X-Forwarded-For"]; q.trusted && len(v) > 0 {
		forwardedFor = strings.Join(v, ", ") + ", " + q.peer
	}
	for _, n := range overriding {
		delete(out, n)
	}
	if n, err := strconv.Atoi(out.Get("Max-Forwards")); err == nil && n > 0 {
		out["Max-Forwards"] = []string{strconv.Itoa(n - 1)}
	}
	delete(out, "Forwarded")
	delete(out, "X-Forwarded-Port")
	out["X-Forwarded-For"] = []string{forwardedFor}
	out["X-Forwarded-Host"] = []string{q.host}
	out["X-Forwarded-Proto"] = []string{q.scheme}
	out["X-Real-Ip"] = []string{firstOf(forwardedFor)}
	out["Via"] = append(out["Via"], "1.1 surrogate")
	out["Cdn-Loop"] = append(out["Cdn-Loop"], p.loopID)
	out["Surrogate-Capability"] = []string{`surrogate="Surrogate/1.0"`}
	if out["User-Agent"] == nil {
		out["User-Agent"] = []string{""} // net/http would name itself
	}
}

// fillHeader is the header of a fetch whose answer may be shared: the client's
// fields, normalised as they are keyed, without what only concerns the client's
// own copy.
func (p *Proxy) fillHeader(q *request) http.Header {
	out := q.client.Clone()
	for name, vs := range map[string][]string{"Accept-Encoding": q.Values("Accept-Encoding"), "Cookie": q.Values("Cookie")} {
		if vs == nil {
			delete(out, name)
		} else {
			out[name] = vs
		}
	}
	if out["Accept-Encoding"] == nil && q.site.Encodings != nil {
		// Without the field an origin may use any coding (RFC 9110, section
		// 12.5.3), and then all who asked for none would be given one.
		out["Accept-Encoding"] = []string{"identity"}
	}
	delete(out, "If-None-Match")
	delete(out, "If-Modified-Since")
	p.forwardHeader(out, q)
	return out
}

func firstOf(list string) string {
	first, _, _ := strings.Cut(list, ",")
	return strings.TrimSpace(first)
}

func headerHasToken(values []string, token string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			t, _, _ = strings.Cut(t, ";")
			if strings.EqualFold(textproto.TrimString(t), token) {
				return true
			}
		}
	}
	return false
}

// setTarget makes u the URL of target at an origin, byte for byte.
func setTarget(u *url.URL, origin *url.URL, target string) {
	*u = url.URL{Scheme: origin.Scheme, Host: origin.Host, User: origin.User}
	target = strings.TrimSuffix(origin.EscapedPath(), "/") + target
	if !strings.HasPrefix(target, "//") {
		// net/http writes an opaque URL as it is.
		u.Opaque = target
		return
	}
	// It would take an opaque one with two slashes for scheme-relative.
	path, query, ok := strings.Cut(target, "?")
	u.RawQuery, u.ForceQuery = query, ok && query == ""
	u.RawPath = path
	var err error
	if u.Path, err = url.PathUnescape(path); err != nil {
		u.Path = path
	}
}

// peerOf returns the address a request came from, without its port.
func peerOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// hostOf returns the host that a request is for: its Host, or what a trusted
// proxy says that was. Site, key and what the origin is told all go by it, so
// that no page is stored under another host than it was made for.
func (p *Proxy) hostOf(r *http.Request) string {
	if v := r.Header.Get("X-Forwarded-Host"); v != "" && p.isTrusted(peerOf(r)) {
		if h := firstOf(v); h != "" && !strings.ContainsAny(h, "/?#@\\ \t\"<>") {
			return h
		}
	}
	return r.Host
}

func (p *Proxy) isTrusted(peer string) bool {
	if len(p.trusted) == 0 {
		return false
	}
	a, err := netip.ParseAddr(peer)
	if err != nil {
		return false
	}
	a = a.Unmap().WithZone("")
	for _, n := range p.trusted {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
