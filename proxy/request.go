package proxy

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"surrogate/store"
)

// A request is what the proxy knows of one client's request. It is used by the
// goroutine that serves it only, unless copied by forFill.
type request struct {
	site    *site
	key     store.Key
	client  http.Header // the client's fields as they came; never edited
	asked   asked
	arrived time.Time
	peer    string // the client's address, without port
	scheme  string // as the client used it, or as a trusted proxy says
	host    string // the client's Host, or what a trusted proxy says it was
	trusted bool   // the peer is a trusted proxy

	storable bool   // a ticket was given, so that what is fetched may be stored
	deaf     bool   // this node did not hear when it looked in the store: what it knows may have fallen
	vary     string // the Vary of an answer that turned out not to be this client's

	encoding   []string // Accept-Encoding, reduced; see Values
	cookie     []string // Cookie, reduced
	normalised bool
}

// Values makes a request the store.Fields that a pick is taken from: the
// client's fields with those normalised that the site normalises. What is
// picked by is what is forwarded.
func (q *request) Values(name string) []string {
	switch name {
	case "Accept-Encoding":
		q.normalise()
		return q.encoding
	case "Cookie":
		q.normalise()
		return q.cookie
	}
	return q.client[name]
}

// PickFor makes a request a store.Picker.
func (q *request) PickFor(vary string) (store.Pick, bool) {
	switch codings := q.client["Accept-Encoding"]; {
	case vary != "accept-encoding" || len(codings) > 1:
		return "", false
	case len(codings) == 0:
		return "", true
	default:
		return q.site.picks.of(codings[0], q), true
	}
}

func (q *request) normalise() {
	if q.normalised {
		return
	}
	q.normalised = true
	q.encoding = reduceEncodings(q.client["Accept-Encoding"], q.site.Encodings)
	q.cookie = reduceCookies(q.client["Cookie"], q.site.VaryCookies)
}

// reduceEncodings returns Accept-Encoding with only the codings in allowed, in
// their order, so that clients which accept the same share one copy. Codings
// that the client refuses (";q=0") are left out; "*" accepts all that are not
// named. A nil allowed leaves the field alone.
func reduceEncodings(values, allowed []string) []string {
	if allowed == nil || values == nil {
		return values
	}
	star, seen := false, make(map[string]bool, 8)
	for _, v := range values {
		for m := range strings.SplitSeq(v, ",") {
			name, weight, _ := strings.Cut(m, ";")
			name = strings.ToLower(strings.TrimSpace(name))
			ok := true
			if _, q, found := strings.Cut(weight, "="); found {
				f, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
				ok = err == nil && f > 0
			}
			switch name {
			case "":
			case "*":
				star = ok
			case "x-gzip":
				seen["gzip"] = ok
			default:
				seen[name] = ok
			}
		}
	}
	var out []string
	for _, a := range allowed {
		if ok, named := seen[a]; ok || !named && star {
			out = append(out, a)
		}
	}
	if out == nil {
		return nil
	}
	return []string{strings.Join(out, ", ")}
}

// reduceCookies returns Cookie with only the cookies named in keep, by name. A
// nil keep leaves the field alone.
func reduceCookies(values, keep []string) []string {
	if keep == nil || values == nil {
		return values
	}
	var out []string
	for name, pair := range cookies(values) {
		if matchName(keep, name) {
			out = append(out, pair)
		}
	}
	if out == nil {
		return nil
	}
	slices.Sort(out)
	return []string{strings.Join(out, "; ")}
}

// hasCookie reports whether a cookie matches one of patterns.
func hasCookie(values, patterns []string) bool {
	if len(patterns) == 0 {
		return false
	}
	for name := range cookies(values) {
		if matchName(patterns, name) {
			return true
		}
	}
	return false
}

func cookies(values []string) func(yield func(name, pair string) bool) {
	return func(yield func(string, string) bool) {
		for _, v := range values {
			for pair := range strings.SplitSeq(v, ";") {
				pair = strings.TrimSpace(pair)
				name, _, _ := strings.Cut(pair, "=")
				if pair != "" && !yield(name, pair) {
					return
				}
			}
		}
	}
}

func matchName(patterns []string, name string) bool {
	for _, p := range patterns {
		if rest, ok := strings.CutSuffix(p, "*"); ok && strings.HasPrefix(name, rest) || p == name {
			return true
		}
	}
	return false
}

// forFill returns a copy of q that a fill may keep after the client has left. The
// client's fields are shared: nobody edits them.
func (q *request) forFill() *request {
	c := *q
	c.normalise()
	return &c
}

// forWhole is forFill for all there is, whatever part the client wants.
func (q *request) forWhole() *request {
	c := q.forFill()
	if c.client["Range"] != nil || c.client["If-Range"] != nil {
		c.client = maps.Clone(c.client)
		delete(c.client, "Range")
		delete(c.client, "If-Range")
	}
	c.asked = parseAsked(http.MethodGet, c.client)
	return c
}

// passes reports whether nothing about the request can be answered from, or
// kept in, a cache, and says why.
func (q *request) passes(r *http.Request) (fwd string, why string) {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return "method", ""
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		return "bypass", "request has content"
	case hasCookie(q.client["Cookie"], q.site.BypassCookies):
		return "bypass", "cookie"
	}
	return "", ""
}

// targetOf returns path and query of the request as the client wrote them, and
// false when it names none. The path is never cleaned: the URL that is keyed is
// the URL that is forwarded.
func targetOf(r *http.Request) (string, bool) {
	t := r.RequestURI
	if t == "" {
		t = r.URL.RequestURI() // a request made in a test
	}
	if strings.ContainsAny(t, "# ") {
		return "", false // no target has a fragment, or a blank, which HTTP/2 could carry (RFC 9112, section 3.2)
	}
	if strings.HasPrefix(t, "/") {
		return t, true
	}
	if t == "*" {
		return t, r.Method == http.MethodOptions
	}
	// Absolute-form (RFC 9112, section 3.2.2); net/http has taken Host from it.
	_, rest, ok := strings.Cut(t, "://")
	if !ok {
		return "", false
	}
	i := strings.IndexAny(rest, "/?")
	switch {
	case i < 0:
		return "/", true
	case rest[i] == '?':
		return "/" + rest[i:], true
	}
	return rest[i:], true
}
