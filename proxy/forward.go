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

// ended are the fields of a client's that the origin is not sent, or not as they
// came: see forwardHeader.
var ended = func() map[string]bool {
	m := map[string]bool{"Forwarded": true, "X-Forwarded-For": true, "X-Forwarded-Host": true, "X-Forwarded-Proto": true, "X-Forwarded-Port": true, "X-Real-Ip": true}
	for _, n := range slices.Concat(hopByHop, overriding) {
		m[n] = true
	}
	return m
}()

// forwardHeader makes what the origin is sent of the client's fields. The
// forwarded-for fields are made anew, with what a trusted proxy in front said
// before what we know ourselves. The values are the client's own.
func (p *Proxy) forwardHeader(q *request) http.Header {
	in := q.client // without what Connection names
	out := make(http.Header, len(in)+9)
	for k, v := range in {
		if !ended[k] {
			out[k] = v
		}
	}
	forwardedFor := q.peer
	if v := in["X-Forwarded-For"]; q.trusted && len(v) > 0 {
		forwardedFor = strings.Join(v, ", ") + ", " + q.peer
	}
	own := [...]string{forwardedFor, q.host, q.scheme, firstOf(forwardedFor)}
	out["X-Forwarded-For"] = own[0:1:1]
	out["X-Forwarded-Host"] = own[1:2:2]
	out["X-Forwarded-Proto"] = own[2:3:3]
	out["X-Real-Ip"] = own[3:4:4]
	out["Surrogate-Capability"] = capability
	out["Via"] = with(in["Via"], via)
	out["Cdn-Loop"] = with(in["Cdn-Loop"], p.loop)
	if headerHasToken(in["Te"], "trailers") {
		out["Te"] = teTrailers
	}
	if v := in["Max-Forwards"]; len(v) > 0 {
		if n, err := strconv.Atoi(v[0]); err == nil && n > 0 {
			out["Max-Forwards"] = []string{strconv.Itoa(n - 1)}
		}
	}
	if out["User-Agent"] == nil {
		out["User-Agent"] = nobody // net/http would name itself
	}
	return out
}

// What every request to an origin is sent; nobody edits them.
var (
	via        = []string{"1.1 surrogate"}
	capability = []string{`surrogate="Surrogate/1.0"`}
	teTrailers = []string{"trailers"}
	nobody     = []string{""}
	identity   = []string{"identity"}
)

// with returns the values of both, neither of which it edits.
func with(v, more []string) []string {
	if len(v) == 0 {
		return more
	}
	return slices.Concat(v, more)
}

// fillHeader is the header of a fetch whose answer may be shared: the client's
// fields, normalised as they are keyed, without what only concerns the client's
// own copy.
func (p *Proxy) fillHeader(q *request) http.Header {
	out := p.forwardHeader(q)
	for _, name := range [...]string{"Accept-Encoding", "Cookie"} {
		if vs := q.Values(name); vs == nil {
			delete(out, name)
		} else {
			out[name] = vs
		}
	}
	if out["Accept-Encoding"] == nil && q.site.Encodings != nil {
		// Without the field an origin may use any coding (RFC 9110, section
		// 12.5.3), and then all who asked for none would be given one.
		out["Accept-Encoding"] = identity
	}
	delete(out, "If-None-Match")
	delete(out, "If-Modified-Since")
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

// prefixOf is what stands before each target at an origin.
func prefixOf(origin *url.URL) string {
	if origin.Path == "" {
		return ""
	}
	return strings.TrimSuffix(origin.EscapedPath(), "/")
}

// setTarget makes u the URL of target at an origin, byte for byte.
func setTarget(u *url.URL, origin *url.URL, target string) {
	*u = url.URL{Scheme: origin.Scheme, Host: origin.Host, User: origin.User}
	target = prefixOf(origin) + target
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
