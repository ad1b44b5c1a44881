package purge

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// tokens are hashes, so that comparing takes the same time whatever is
// presented.
type tokens [][32]byte

func newTokens(list ...string) tokens {
	var ts tokens
	for _, t := range list {
		if t != "" {
			ts = append(ts, sha256.Sum256([]byte(t)))
		}
	}
	return ts
}

func (ts tokens) match(presented string) bool {
	sum := sha256.Sum256([]byte(presented))
	ok := 0
	for i := range ts {
		ok |= subtle.ConstantTimeCompare(ts[i][:], sum[:])
	}
	return ok == 1
}

// tokenFields carry a token as they are.
var tokenFields = [...]string{"X-Purge-Token", "X-Invalidate-Token", "Fastly-Key"}

// hasToken reports whether r presents one of ts, in any of the ways that purge
// clients can be configured to: Authorization (Bearer, or the password of
// Basic), X-Purge-Token, X-Invalidate-Token, Fastly-Key.
func (ts tokens) hasToken(r *http.Request) bool {
	if len(ts) == 0 {
		return false
	}
	auth := r.Header.Get("Authorization")
	if scheme, token, ok := strings.Cut(auth, " "); ok && strings.EqualFold(scheme, "Bearer") && ts.match(strings.TrimSpace(token)) {
		return true
	}
	if _, password, ok := r.BasicAuth(); ok && ts.match(password) {
		return true
	}
	for _, f := range tokenFields {
		if t := r.Header.Get(f); t != "" && ts.match(t) {
			return true
		}
	}
	return false
}

// forwardedFields are added by proxies, terminators and CDNs, and by nobody who
// speaks for himself.
var forwardedFields = [...]string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "X-Client-Ip", "True-Client-Ip",
	"Cf-Connecting-Ip", "Fastly-Client-Ip", "Via"}

// forwarded returns the field that tells that r came through an intermediary.
func forwarded(h http.Header) string {
	for _, f := range forwardedFields {
		if _, ok := h[f]; ok {
			return f
		}
	}
	return ""
}

// keptOut says why r may not purge on the public listener; "" when it may. See
// the package comment.
func (p *Purger) keptOut(r *http.Request) string {
	a := p.access.Load()
	if a.tokens.hasToken(r) {
		return ""
	}
	field := forwarded(r.Header)
	switch {
	case !a.lists(r.RemoteAddr):
		return "this address is not in purge.acl and no valid token was sent"
	case fromBrowser(r.Header):
		return "web pages need a token"
	case field != "" && !a.forwarded:
		return "it came through an intermediary (" + field + ") and no valid token was sent; see purge.acl_forwarded"
	}
	return ""
}

// lists reports whether the address of a connection is in the list.
func (a *access) lists(remote string) bool {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	addr := peer.Addr().Unmap().WithZone("")
	return slices.ContainsFunc(a.acl, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// Guard protects the admin API. With a token, requests must present it, as
// Authorization: Bearer or in the other ways that hasToken lists. Without one,
// the listener is bound to loopback, and what remains to be kept out are web
// pages in a browser on the same machine: requests must be addressed to an IP
// address or localhost, because a page whose name was made to resolve to
// loopback (DNS rebinding) is addressed by its name. Either way no page of
// another origin may change anything. Purge methods are addressed to the host
// they mean, so those must not come from a browser at all.
func Guard(token string, next http.Handler) http.Handler {
	return newTokens(token).guard(next, func() {})
}

func (ts tokens) guard(next http.Handler, denied func()) http.Handler {
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case len(ts) > 0 && !ts.hasToken(r):
			denied()
			w.Header().Set("WWW-Authenticate", `Bearer realm="surrogate"`)
			writeProblem(w, http.StatusUnauthorized, "The admin API needs its token: Authorization: Bearer …", nil)
		case isPurgeMethod(r.Method) && fromBrowser(r.Header):
			denied()
			writeProblem(w, http.StatusForbidden, "Purge methods are not for web pages.", nil)
		case len(ts) == 0 && !isPurgeMethod(r.Method) && !isAddress(hostname(r.Host)):
			denied()
			writeProblem(w, http.StatusForbidden,
				"Without a token the admin API answers only when it is addressed by IP address or as localhost, to keep out web pages that rebind their name.", nil)
		case cross.Check(r) != nil:
			denied()
			writeProblem(w, http.StatusForbidden, "Requests from pages of another origin are refused.", nil)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// fromBrowser reports whether a page in a browser sent a request. An address
// does not let those in: the page is anybody's.
func fromBrowser(h http.Header) bool {
	return h.Get("Origin") != "" || h.Get("Sec-Fetch-Site") != ""
}

// hostname is a Host field without its port, in lower case.
func hostname(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// isAddress reports whether a name can only mean an address, or this machine.
func isAddress(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}
