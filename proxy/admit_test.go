package proxy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"surrogate/store"
)

// epoch is when things happen in the tables. Date fields are written relative
// to it: "@" stands for it, "@-60" for a minute before.
var epoch = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// fields returns the header with these lines, "@" resolved.
func fields(lines string) http.Header {
	h := make(http.Header)
	for line := range strings.Lines(lines) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		if rest, ok := strings.CutPrefix(value, "@"); ok {
			n := 0
			if rest != "" {
				if _, err := fmt.Sscanf(rest, "%d", &n); err != nil {
					panic(line)
				}
			}
			value = epoch.Add(time.Duration(n) * time.Second).Format(http.TimeFormat)
		}
		h.Add(name, value)
	}
	return h
}

// full is a policy with everything on that changes no verdict of RFC 9111.
var full = Policy{
	Targeted:          []string{"Surrogate-Cache-Control", "Surrogate-Control", "CDN-Cache-Control"},
	HeuristicFraction: 0.1,
	HeuristicMax:      24 * time.Hour,
	Keep:              time.Hour,
	StoreSetCookie:    true,
	StoreAuthorized:   true,
	Capability:        "surrogate",
	MaxLife:           1000 * time.Hour,
}

// admitCases: each row is a sentence about responses. want is what describe
// says: the reason for not keeping it, or "ttl", windows and flags.
var admitCases = []struct {
	says   string
	method string
	ask    string
	status int
	h      string
	policy func(*Policy)
	want   string
}{
	// What may be stored at all (RFC 9111 section 3).
	{says: "max-age makes a response fresh", h: "Cache-Control: max-age=60", want: "ttl=60"},
	{says: "nothing known and no validator: nothing to keep", h: "Content-Type: a/b", want: "no-freshness"},
	{says: "nothing known but a validator: kept to be revalidated", h: `ETag: "a"`, want: "ttl=0"},
	{says: "nothing known but a validator, and nothing is kept for that", h: `ETag: "a"`, policy: func(p *Policy) { p.Keep = 0 }, want: "expired"},
	{says: "HEAD is not stored", method: "HEAD", h: "Cache-Control: max-age=60", want: "method"},
	{says: "PUT is not stored", method: "PUT", h: "Cache-Control: max-age=60", want: "method"},
	{says: "POST needs a Content-Location (RFC 9110 section 9.3.3)", method: "POST", h: "Cache-Control: max-age=60", want: "method"},
	{says: "POST with Content-Location and explicit freshness", method: "POST", h: "Cache-Control: max-age=60\nContent-Location: /a", want: "ttl=60"},
	{says: "POST is never heuristically fresh", method: "POST", h: "Content-Location: /a\nDate: @\nLast-Modified: @-1000", want: "method"},
	{says: "POST answered 201 is not what a GET returns", method: "POST", status: 201, h: "Cache-Control: max-age=60\nContent-Location: /a", want: "method"},
	{says: "interim responses are not final", status: 103, h: "Cache-Control: max-age=60", want: "status"},
	{says: "a 304 is not stored as such", status: 304, h: "Cache-Control: max-age=60", want: "status"},
	{says: "a 412 answers a precondition", status: 412, h: "Cache-Control: max-age=60", want: "status"},
	{says: "a 416 answers a range", status: 416, h: "Cache-Control: max-age=60", want: "status"},
	{says: "a 429 must not be stored (RFC 6585)", status: 429, h: "Cache-Control: max-age=60", want: "status"},
	{says: "a 403 is not cacheable by itself", status: 403, h: `ETag: "a"`, want: "status"},
	{says: "a 403 that says so is", status: 403, h: "Cache-Control: max-age=60", want: "ttl=60"},
	{says: "an unknown status with explicit freshness is", status: 599, h: "Date: @\nExpires: @60", want: "ttl=60"},
	{says: "must-understand and an unknown status (section 5.2.2.3)", status: 599, h: "Cache-Control: max-age=60, must-understand", want: "must-understand"},
	{says: "must-understand and no-store, and it is understood", h: "Cache-Control: max-age=60, no-store, must-understand", want: "ttl=60"},
	{says: "must-understand and no-store, and it is not", status: 299, h: "Cache-Control: max-age=60, no-store, must-understand", want: "must-understand"},
	{says: "no-store wins over freshness (section 5.2.2.5)", h: "Cache-Control: max-age=60, no-store", want: "no-store"},
	{says: "no-store on a second line", h: "Cache-Control: max-age=60\nCache-Control: no-store", want: "no-store"},
	{says: "No-StOrE", h: "Cache-Control: max-age=60, No-StOrE", want: "no-store"},
	{says: "no-store with a value nobody defined", h: "Cache-Control: max-age=60, no-store=0", want: "no-store"},
	{says: "no-store behind private=x, which swallows nothing", h: "Cache-Control: max-age=60, private=x,no-store", want: "no-store"},
	{says: "no-store behind a quote never closed", h: `Cache-Control: max-age=60, foo="bar, no-store`, want: "no-store"},
	{says: "no-store behind a quote never closed on another line", h: "Cache-Control: max-age=60, foo=\"bar\nCache-Control: no-store, x=\"", want: "no-store"},
	{says: "no-store with a comma forgotten", h: "Cache-Control: max-age=60 no-store", want: "no-store"},
	{says: "no-store with a semicolon for a comma", h: "Cache-Control: max-age=60; no-store", want: "no-store"},
	{says: "no-store in a quoted string is somebody's text", h: `Cache-Control: max-age=60, foo="no-store"`, want: "ttl=60"},
	{says: "the request's no-store (section 5.2.1.5)", ask: "Cache-Control: no-store", h: "Cache-Control: max-age=60", want: "request-no-store"},
	{says: "private (section 5.2.2.7)", h: "Cache-Control: private, max-age=60", want: "private"},
	{says: "private for a field: the rest is stored", h: `Cache-Control: private="Set-Cookie, x-a", max-age=60` + "\nSet-Cookie: a=b", policy: func(p *Policy) { p.StoreSetCookie = false }, want: "ttl=60 without Set-Cookie,X-A"},
	{says: "private for a field and private as well", h: `Cache-Control: private="x-a", private, max-age=60`, want: "private"},
	{says: "private for something that is no field", h: `Cache-Control: private="a b", max-age=60`, want: "private"},
	{says: "private for no field", h: `Cache-Control: private="", max-age=60`, want: "private"},
	{says: "private= cut off", h: `Cache-Control: private=, max-age=60`, want: "private"},
	{says: "Set-Cookie is stored when configured so", h: "Cache-Control: max-age=60\nSet-Cookie: a=b", want: "ttl=60"},
	{says: "Set-Cookie is not stored by default", h: "Cache-Control: max-age=60\nSet-Cookie: a=b", policy: func(p *Policy) { p.StoreSetCookie = false }, want: "set-cookie"},
	{says: "Authorization (section 3.5)", ask: "Authorization: FOO", h: "Date: @\nExpires: @60", want: "authorization"},
	{says: "Authorization and max-age are not enough", ask: "Authorization: FOO", h: "Cache-Control: max-age=60", want: "authorization"},
	{says: "Authorization and public", ask: "Authorization: FOO", h: "Cache-Control: max-age=60, public", want: "ttl=60"},
	{says: "Authorization and must-revalidate", ask: "Authorization: FOO", h: "Cache-Control: max-age=60, must-revalidate", want: "ttl=60 no-stale"},
	{says: "Authorization and s-maxage", ask: "Authorization: FOO", h: "Cache-Control: s-maxage=60", want: "ttl=60 no-stale"},
	{says: "Authorization where it is not to be stored", ask: "Authorization: FOO", h: "Cache-Control: max-age=60, public", policy: func(p *Policy) { p.StoreAuthorized = false }, want: "authorization"},
	{says: "Vary: * (section 4.1)", h: "Cache-Control: max-age=60\nVary: *", want: "vary-star"},
	{says: "Vary: * among others", h: "Cache-Control: max-age=60\nVary: Foo, *", want: "vary-star"},
	{says: "Vary: * on a second line", h: "Cache-Control: max-age=60\nVary: \nVary: *", want: "vary-star"},
	{says: "Vary is kept sorted", h: "Cache-Control: max-age=60\nVary: Foo, bar", want: "ttl=60 vary=bar,foo"},
	{says: "a 206 with Content-Range", status: 206, h: "Cache-Control: max-age=60\nContent-Range: bytes 0-4/10", want: "ttl=60"},
	{says: "a 206 without", status: 206, h: "Cache-Control: max-age=60", want: "partial"},
	{says: "a 206 with a Content-Range that is none", status: 206, h: "Cache-Control: max-age=60\nContent-Range: bytes 5-4/10", want: "partial"},
	{says: "a 206 with two", status: 206, h: "Cache-Control: max-age=60\nContent-Range: bytes 0-4/10\nContent-Range: bytes 5-9/10", want: "partial"},
	{says: "a garbage Content-Range on a 200 means nothing", h: "Cache-Control: max-age=60\nContent-Range: foo", want: "ttl=60"},

	// Explicit freshness (sections 4.2.1, 5.2.2, 5.3).
	{says: "max-age=0 and nothing to revalidate with", h: "Cache-Control: max-age=0", want: "expired"},
	{says: "max-age=0 and a validator", h: "Cache-Control: max-age=0\nETag: \"a\"", want: "ttl=0"},
	{says: "31 bits and more", h: "Cache-Control: max-age=99999999999", want: "ttl=3600000"},
	{says: "more digits than any number", h: "Cache-Control: max-age=" + strings.Repeat("9", 99), want: "ttl=3600000"},
	{says: "MaX-aGe", h: "Cache-Control: MaX-aGe=60", want: "ttl=60"},
	{says: "leading zeros", h: "Cache-Control: max-age=0060", want: "ttl=60"},
	{says: "quoted", h: `Cache-Control: max-age="60"`, want: "ttl=60"},
	{says: "single-quoted is invalid", h: "Cache-Control: max-age='60'", want: "invalid-cache-control"},
	{says: "negative is invalid", h: "Cache-Control: max-age=-60", want: "invalid-cache-control"},
	{says: "a fraction is invalid", h: "Cache-Control: max-age=60.0", want: "invalid-cache-control"},
	{says: "letters are invalid", h: "Cache-Control: max-age=60a", want: "invalid-cache-control"},
	{says: "space before =", h: "Cache-Control: max-age =60", want: "invalid-cache-control"},
	{says: "space after =", h: "Cache-Control: max-age= 60", want: "invalid-cache-control"},
	{says: "no value", h: "Cache-Control: max-age", want: "invalid-cache-control"},
	{says: "invalid, but with a validator", h: "Cache-Control: max-age=x\nETag: \"a\"", want: "ttl=0"},
	{says: "within a quoted string before it", h: `Cache-Control: extension="max-age=3600", max-age=1`, want: "ttl=1"},
	{says: "within a quoted string after it", h: `Cache-Control: max-age="1", extension="max-age=3600"`, want: "ttl=1"},
	{says: "an escaped quote does not end a quoted string", h: `Cache-Control: extension="\", max-age=3600, \"", max-age=1`, want: "ttl=1"},
	{says: "an escaped quote does not end a quoted string, so this is text", h: `Cache-Control: extension="\", no-store, \"", max-age=60`, want: "ttl=60"},
	{says: "twice: the smaller", h: "Cache-Control: max-age=1, max-age=60", want: "ttl=1"},
	{says: "twice, on two lines: the smaller", h: "Cache-Control: max-age=60\nCache-Control: max-age=1", want: "ttl=1"},
	{says: "twice, one invalid", h: "Cache-Control: max-age=60, max-age=x", want: "invalid-cache-control"},
	{says: "unknown directives do not matter", h: "Cache-Control: foobar, max-age=60, bar=\"x, y\", &&", want: "ttl=60"},
	{says: "s-maxage before max-age", h: "Cache-Control: max-age=0, s-maxage=60\nExpires: @-10", want: "ttl=60 no-stale"},
	{says: "s-maxage before max-age, shorter, on a second line", h: "Cache-Control: max-age=60\nCache-Control: s-maxage=1", want: "ttl=1 no-stale"},
	{says: "max-age before Expires", h: "Cache-Control: max-age=60\nExpires: @-10\nDate: @", want: "ttl=60"},
	{says: "max-age=0 before Expires", h: "Cache-Control: max-age=0\nExpires: @100\nDate: @", want: "expired"},
	{says: "Expires less Date", h: "Expires: @300\nDate: @-10", want: "ttl=310 age=10"},
	{says: "Expires before Date", h: "Expires: @300\nDate: @400", want: "expired"},
	{says: "Expires before Date, with a validator: no life below 0", h: "Expires: @300\nDate: @400\nETag: \"a\"", want: "ttl=0"},
	{says: "Expires now", h: "Expires: @\nDate: @", want: "expired"},
	{says: "Expires: 0", h: "Expires: 0\nDate: @\nLast-Modified: @-10000", want: "ttl=0"},
	{says: "Expires twice: the earlier", h: "Expires: @100\nExpires: @50\nDate: @", want: "ttl=50"},
	{says: "Expires twice, the earlier first", h: "Expires: @50\nExpires: @100\nDate: @", want: "ttl=50"},
	{says: "Expires twice, once invalid", h: "Expires: @100\nExpires: soon\nDate: @", want: "invalid-cache-control"},
	{says: "no Date: the time of arrival", h: "Expires: @100", want: "ttl=100"},
	{says: "an invalid Date: the time of arrival", h: "Expires: @100\nDate: foo", want: "ttl=100"},

	// Age (sections 4.2.3, 5.1).
	{says: "Age counts", h: "Cache-Control: max-age=60\nAge: 20", want: "ttl=60 age=20"},
	{says: "an Age beyond the life", h: "Cache-Control: max-age=60\nAge: 7200", want: "ttl=60 age=7200"},
	{says: "an Age beyond the life, and nothing is kept", h: "Cache-Control: max-age=60\nAge: 60", policy: func(p *Policy) { p.Keep = 0 }, want: "expired"},
	{says: "an Age beyond the whole life", h: "Cache-Control: max-age=60\nAge: 999999999", policy: func(p *Policy) { p.Keep = 0 }, want: "expired"},
	{says: "the windows count from expiry, so Age may have used them up", h: "Cache-Control: max-age=0, stale-while-revalidate=5\nAge: 5", policy: func(p *Policy) { p.Keep = 0 }, want: "expired"},
	{says: "Date counts", h: "Cache-Control: max-age=60\nDate: @-20", want: "ttl=60 age=20"},
	{says: "the larger of them counts", h: "Cache-Control: max-age=60\nDate: @-20\nAge: 30", want: "ttl=60 age=30"},
	{says: "a Date ahead does not make younger", h: "Cache-Control: max-age=60\nDate: @20\nAge: 5", want: "ttl=60 age=5"},
	{says: "an Age of 31 bits and more", h: "Cache-Control: max-age=60\nAge: 2147483649", want: "ttl=60 age=2147483647"},
	{says: "an Age that is no number", h: "Cache-Control: max-age=60\nAge: abc", want: "expired"},
	{says: "a negative Age", h: "Cache-Control: max-age=60\nAge: -7200", want: "expired"},
	{says: "a fractional Age", h: "Cache-Control: max-age=60\nAge: 7200.0", want: "expired"},
	{says: "an Age with a parameter", h: "Cache-Control: max-age=60\nAge: 7;foo=bar", want: "expired"},
	{says: "two Ages", h: "Cache-Control: max-age=60\nAge: 0\nAge: 7200", want: "expired"},
	{says: "two Ages joined", h: "Cache-Control: max-age=60\nAge: 0, 0", want: "expired"},
	{says: "a list of Ages: the first", h: "Cache-Control: max-age=60\nAge: 0,7200", want: "ttl=60"},
	{says: "a list of Ages: the first, old", h: "Cache-Control: max-age=60\nAge: 7200,0", want: "ttl=60 age=7200"},
	{says: "an odd Age and a validator: revalidated", h: "Cache-Control: max-age=60, stale-while-revalidate=9\nAge: abc\nETag: \"a\"", want: "ttl=0"},
	{says: "an odd Age to the letter of RFC 9111", h: "Cache-Control: max-age=60\nAge: abc", policy: func(p *Policy) { p.IgnoreBadAge = true }, want: "ttl=60"},
	{says: "several Ages to the letter of RFC 9111", h: "Cache-Control: max-age=60\nAge: 5, 0\nAge: 9", policy: func(p *Policy) { p.IgnoreBadAge = true }, want: "ttl=60 age=5"},

	// Heuristics (section 4.2.2) and the configuration's lives.
	{says: "a tenth of the time since Last-Modified", h: "Date: @\nLast-Modified: @-1000", want: "ttl=100 heuristic"},
	{says: "no more than a day of it", h: "Date: @\nLast-Modified: @-10000000", want: "ttl=86400 heuristic"},
	{says: "not where something explicit is said", h: "Date: @\nLast-Modified: @-1000\nCache-Control: max-age=0", want: "ttl=0"},
	{says: "not with Last-Modified ahead", h: "Date: @\nLast-Modified: @1000", want: "ttl=0"},
	{says: "not when it is off", h: "Date: @\nLast-Modified: @-1000", policy: func(p *Policy) { p.HeuristicFraction = 0 }, want: "ttl=0"},
	{says: "a 404 by heuristics", status: 404, h: "Date: @\nLast-Modified: @-1000", want: "ttl=100 heuristic"},
	{says: "a 201 not by heuristics", status: 201, h: "Date: @\nLast-Modified: @-1000", want: "status"},
	{says: "a 503 not by heuristics", status: 503, h: "Date: @\nLast-Modified: @-1000", want: "status"},
	{says: "an unknown status not by heuristics", status: 599, h: "Date: @\nLast-Modified: @-1000", want: "status"},
	{says: "an unknown status by heuristics if public (section 5.2.2.9)", status: 599, h: "Date: @\nLast-Modified: @-1000\nCache-Control: public", want: "ttl=100 heuristic"},
	{says: "Pragma in a response means nothing", h: "Cache-Control: max-age=60\nPragma: no-cache", want: "ttl=60"},
	{says: "the default life", h: "A: b", policy: func(p *Policy) { p.DefaultTTL = time.Minute }, want: "ttl=60 heuristic"},
	{says: "the default life is not a failure's", status: 404, h: "A: b", policy: func(p *Policy) { p.DefaultTTL = time.Minute }, want: "no-freshness"},
	{says: "the default life does not make private public", h: "Cache-Control: private", policy: func(p *Policy) { p.DefaultTTL = time.Minute }, want: "private"},
	{says: "a failure's life", status: 404, h: "A: b", policy: func(p *Policy) { p.NegativeTTL = time.Minute }, want: "ttl=60 heuristic"},
	{says: "a failure's life is not a success's", h: "A: b", policy: func(p *Policy) { p.NegativeTTL = time.Minute }, want: "no-freshness"},
	{says: "a failure that says for how long", status: 404, h: "Cache-Control: max-age=5", policy: func(p *Policy) { p.NegativeTTL = time.Minute }, want: "ttl=5"},

	// What outlives admission (sections 5.2.2, 4.2.4; RFC 5861).
	{says: "no-cache and a validator", h: "Cache-Control: no-cache\nETag: \"a\"", want: "ttl=0 no-cache"},
	{says: "no-cache and nothing to revalidate with", h: "Cache-Control: max-age=60, No-CaChE", want: "no-cache"},
	{says: "no-cache for fields", h: `Cache-Control: no-cache="a, b", max-age=60`, want: "ttl=60 without A,B"},
	{says: "no-cache for fields and no-cache as well", h: "Cache-Control: no-cache=\"a\", max-age=60\nCache-Control: no-cache\nETag: \"a\"", want: "ttl=60 no-cache without "},
	{says: "must-revalidate", h: "Cache-Control: max-age=60, must-revalidate", want: "ttl=60 no-stale"},
	{says: "proxy-revalidate", h: "Cache-Control: max-age=60, proxy-revalidate", want: "ttl=60 no-stale"},
	{says: "the stale windows", h: "Cache-Control: max-age=60, stale-while-revalidate=5, stale-if-error=7", want: "ttl=60 swr=5 sie=7"},
	{says: "the stale windows alone keep what is never fresh", h: "Cache-Control: max-age=0, stale-while-revalidate=5", want: "ttl=0 swr=5"},
	{says: "must-revalidate forbids them", h: "Cache-Control: max-age=60, stale-while-revalidate=5, stale-if-error=7, must-revalidate", want: "ttl=60 no-stale"},
	{says: "s-maxage forbids them", h: "Cache-Control: s-maxage=60, stale-while-revalidate=5", want: "ttl=60 no-stale"},
	{says: "s-maxage forbids them unless configured otherwise", h: "Cache-Control: s-maxage=60, stale-while-revalidate=5", policy: func(p *Policy) { p.LooseSMaxAge = true; p.IfError = time.Hour }, want: "ttl=60 swr=5"},
	{says: "must-revalidate forbids them whatever is configured", h: "Cache-Control: s-maxage=60, stale-while-revalidate=5, must-revalidate", policy: func(p *Policy) { p.LooseSMaxAge = true }, want: "ttl=60 no-stale"},
	{says: "s-maxage alone forbids the configured ones", h: "Cache-Control: s-maxage=60", policy: func(p *Policy) { p.LooseSMaxAge, p.WhileRevalidate = true, time.Hour }, want: "ttl=60 no-stale"},
	{says: "an invalid window is none", h: "Cache-Control: max-age=60, stale-while-revalidate=x", policy: func(p *Policy) { p.WhileRevalidate = time.Hour }, want: "ttl=60"},
	{says: "the configured windows", h: "Cache-Control: max-age=60", policy: func(p *Policy) { p.WhileRevalidate, p.IfError = time.Minute, time.Hour }, want: "ttl=60 swr=60 sie=3600"},
	{says: "the origin's before the configured ones", h: "Cache-Control: max-age=60, stale-while-revalidate=0, stale-if-error=1", policy: func(p *Policy) { p.WhileRevalidate, p.IfError = time.Minute, time.Hour }, want: "ttl=60 sie=1"},

	// Limits.
	{says: "the cap of the life counts from arrival", h: "Cache-Control: max-age=6000\nAge: 100", policy: func(p *Policy) { p.MaxTTL = time.Minute }, want: "ttl=160 age=100"},
	{says: "the cap of everything", h: "Cache-Control: max-age=60, stale-while-revalidate=99999, stale-if-error=99999", policy: func(p *Policy) { p.MaxLife = 100 * time.Second }, want: "ttl=60 swr=40 sie=40"},
	{says: "seven days where none is configured", h: "Cache-Control: max-age=99999999", policy: func(p *Policy) { p.MaxLife = 0 }, want: "ttl=604800"},
	{says: "jitter shortens what is left", h: "Cache-Control: max-age=200\nAge: 100", policy: func(p *Policy) { p.Jitter = 0.5 }, want: "ttl=175 age=100"},

	// Targeted fields (RFC 9213).
	{says: "a targeted field before Cache-Control and Expires", h: "CDN-Cache-Control: max-age=60\nCache-Control: no-store\nExpires: 0", want: "ttl=60"},
	{says: "the first in the list", h: "CDN-Cache-Control: max-age=60\nSurrogate-Cache-Control: max-age=5", want: "ttl=5"},
	{says: "one that restricts", h: "CDN-Cache-Control: no-store\nCache-Control: max-age=60", want: "no-store"},
	{says: "one that is private", h: "CDN-Cache-Control: private\nCache-Control: max-age=60", want: "private"},
	{says: "one with no-cache", h: "CDN-Cache-Control: no-cache\nCache-Control: max-age=60\nETag: \"a\"", want: "ttl=0 no-cache"},
	{says: "one with must-revalidate", h: "CDN-Cache-Control: max-age=60, must-revalidate", want: "ttl=60 no-stale"},
	{says: "one that is false", h: "CDN-Cache-Control: max-age=60, no-store=?0", want: "ttl=60"},
	{says: "one that says nothing of freshness: heuristics, not Expires", h: "CDN-Cache-Control: foo\nDate: @\nExpires: @60\nLast-Modified: @-100", want: "ttl=10 heuristic"},
	{says: "one that does not parse is ignored", h: "CDN-Cache-Control: max-age=60, &&&\nCache-Control: max-age=5", want: "ttl=5"},
	{says: "one that is empty is ignored", h: "CDN-Cache-Control: \nCache-Control: max-age=5", want: "ttl=5"},
	{says: "one with a number in quotes is ignored", h: "CDN-Cache-Control: max-age=\"60\"\nCache-Control: max-age=5", want: "ttl=5"},
	{says: "one with a fraction is ignored", h: "CDN-Cache-Control: max-age=60.5\nCache-Control: max-age=5", want: "ttl=5"},
	{says: "one with capitals does not parse", h: "CDN-Cache-Control: Max-Age=60\nCache-Control: max-age=5", want: "ttl=5"},
	{says: "one that is negative is stale", h: "CDN-Cache-Control: max-age=-60\nCache-Control: max-age=5", want: "invalid-cache-control"},
	{says: "one with fields", h: "CDN-Cache-Control: max-age=60, private=\"a\"", want: "ttl=60 without A"},
	{says: "one that is not in our list", h: "Other-Cache-Control: max-age=60\nCache-Control: max-age=5", want: "ttl=5"},
	{says: "parameters are ignored", h: "CDN-Cache-Control: max-age=60;foo=bar", want: "ttl=60"},
	{says: "Age counts against it", h: "CDN-Cache-Control: max-age=60\nAge: 7200", want: "ttl=60 age=7200"},

	// Surrogate-Control (Edge Architecture).
	{says: "max-age", h: "Surrogate-Control: max-age=60", want: "ttl=60"},
	{says: "max-age before no-store in Cache-Control", h: "Surrogate-Control: max-age=60;surrogate\nCache-Control: no-store", want: "ttl=60"},
	{says: "max-age=0", h: "Surrogate-Control: max-age=0\nExpires: @60\nDate: @", want: "expired"},
	{says: "MaX-aGe", h: "Surrogate-Control: foobar, MaX-aGe=60", want: "ttl=60"},
	{says: "max-age with an extension", h: "Surrogate-Control: max-age=60+5", want: "ttl=60 swr=5 sie=5"},
	{says: "max-age with an invalid extension", h: "Surrogate-Control: max-age=60+x\nCache-Control: max-age=5", want: "ttl=5"},
	{says: "an invalid max-age", h: "Surrogate-Control: max-age =60\nCache-Control: max-age=5", want: "ttl=5"},
	{says: "for another device", h: "Surrogate-Control: max-age=60;other\nCache-Control: max-age=5", want: "ttl=5"},
	{says: "for us before for all", h: "Surrogate-Control: max-age=60, max-age=5;surrogate", want: "ttl=5"},
	{says: "for us before for all, longer", h: "Surrogate-Control: max-age=5, max-age=60;surrogate", want: "ttl=60"},
	{says: "for us and others", h: "Surrogate-Control: max-age=60;other;Surrogate", want: "ttl=60"},
	{says: "for a device, and we have no name", h: "Surrogate-Control: max-age=60;surrogate\nCache-Control: max-age=5", policy: func(p *Policy) { p.Capability = "" }, want: "ttl=5"},
	{says: "no-store", h: "Surrogate-Control: no-store\nCache-Control: max-age=60", want: "no-store"},
	{says: "no-store beside something for us", h: "Surrogate-Control: no-store, max-age=60;surrogate", want: "no-store"},
	{says: "no-store for another device", h: "Surrogate-Control: no-store;other\nCache-Control: max-age=5", want: "ttl=5"},
	{says: "no-store in something malformed", h: "Surrogate-Control: max-age=60 no-store\nCache-Control: max-age=5", want: "no-store"},
	{says: "a number in something malformed is nothing", h: "Surrogate-Control: max-age=60 foo, max-age=5", want: "ttl=5"},
	{says: "an empty device is nobody", h: "Surrogate-Control: max-age=60;\nCache-Control: max-age=5", policy: func(p *Policy) { p.Capability = "" }, want: "ttl=5"},
	{says: "no-store-remote is not for a proxy at the origin", h: "Surrogate-Control: no-store-remote, max-age=60", want: "ttl=60"},
	{says: "content governs nothing", h: "Surrogate-Control: content=\"ESI/1.0, x\"\nCache-Control: max-age=5", want: "ttl=5"},
	{says: "content beside max-age", h: "Surrogate-Control: content=\"ESI/1.0;x, no-store\", max-age=60", want: "ttl=60"},
	{says: "a window without a life governs nothing", h: "Surrogate-Control: stale-while-revalidate=9\nCache-Control: max-age=5", want: "ttl=5"},
	{says: "a window beside a life", h: "Surrogate-Control: max-age=60, stale-while-revalidate=9", want: "ttl=60 swr=9"},
	{says: "nothing known in it", h: "Surrogate-Control: foo\nCache-Control: max-age=5", want: "ttl=5"},
	{says: "more digits than 31 bits", h: "Surrogate-Control: max-age=99999999999", want: "ttl=3600000"},
}

// describe puts an admission in words.
func describe(a admission) string {
	if !a.keep {
		return a.why.String()
	}
	var b strings.Builder
	l := a.life
	fmt.Fprintf(&b, "ttl=%d", l.TTL/time.Second)
	if n := epoch.Sub(l.Born) / time.Second; n != 0 {
		fmt.Fprintf(&b, " age=%d", n)
	}
	if l.WhileRevalidate != 0 {
		fmt.Fprintf(&b, " swr=%d", l.WhileRevalidate/time.Second)
	}
	if l.IfError != 0 {
		fmt.Fprintf(&b, " sie=%d", l.IfError/time.Second)
	}
	for _, f := range []struct {
		flag store.Flags
		name string
	}{{store.NoCache, " no-cache"}, {store.NoStale, " no-stale"}, {store.Heuristic, " heuristic"}} {
		if l.Flags.Has(f.flag) {
			b.WriteString(f.name)
		}
	}
	if a.vary != "" {
		b.WriteString(" vary=" + a.vary)
	}
	if a.privateFields != nil {
		b.WriteString(" without " + strings.Join(a.privateFields, ","))
	}
	return b.String()
}

func TestAdmit(t *testing.T) {
	for _, c := range admitCases {
		t.Run(c.says, func(t *testing.T) {
			p := full
			if c.policy != nil {
				c.policy(&p)
			}
			a := parseAsked(orElse(c.method, "GET"), fields(c.ask))
			adm := p.admit(&a, max(c.status, 200*btoi(c.status == 0)), fields(c.h), epoch, epoch, 0.5)
			if got := describe(adm); got != strings.TrimSuffix(c.want, " without ") {
				t.Errorf("got %q, want %q, of\n%s", got, c.want, c.h)
			}
		})
	}
}

func orElse(s, t string) string {
	if s == "" {
		return t
	}
	return s
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestAdmitZeroPolicy shows the safe defaults.
func TestAdmitZeroPolicy(t *testing.T) {
	var p Policy
	for _, c := range []struct{ ask, h, want string }{
		{"", "Cache-Control: max-age=60", "ttl=60"},
		{"", "Cache-Control: max-age=60\nSet-Cookie: a=b", "set-cookie"},
		{"Authorization: x", "Cache-Control: max-age=60, public", "authorization"},
		{"", "Date: @\nLast-Modified: @-1000", "expired"},
		{"", "Surrogate-Control: max-age=60", "no-freshness"},
	} {
		a := parseAsked("GET", fields(c.ask))
		if got := describe(p.admit(&a, 200, fields(c.h), epoch, epoch, 0)); got != c.want {
			t.Errorf("%q: got %q, want %q", c.h, got, c.want)
		}
	}
}

// TestAgeCountsTheWait: corrected_age_value includes the response delay (RFC
// 9111 section 4.2.3), and the whole life ends maxLife after the fetch began.
func TestAgeCountsTheWait(t *testing.T) {
	p := full
	p.MaxLife = 100 * time.Second
	a := parseAsked("GET", nil)
	sent := epoch.Add(-5 * time.Second)
	adm := p.admit(&a, 200, fields("Cache-Control: max-age=6000\nAge: 30\nDate: @"), sent, epoch, 0)
	if got := age(&store.Entry{Life: adm.life}, epoch); got != 35*time.Second {
		t.Errorf("age is %v", got)
	}
	if got := adm.life.Ends(); !got.Equal(sent.Add(100 * time.Second)) {
		t.Errorf("ends %v after the fetch began", got.Sub(sent))
	}
}

// TestApparentAgeIsInWholeSeconds: a response made and received within one
// second has no age, though Date is that second's start.
func TestApparentAgeIsInWholeSeconds(t *testing.T) {
	p := full
	a := parseAsked("GET", nil)
	now := epoch.Add(999 * time.Millisecond)
	adm := p.admit(&a, 200, fields("Cache-Control: max-age=1\nDate: @"), now, now, 0)
	if !adm.life.Born.Equal(now) {
		t.Errorf("born %v before it was received", now.Sub(adm.life.Born))
	}
}

// TestWhatArrivesStaleIsKept: Keep counts from the arrival then, so that a
// validator is of use however old the response was.
func TestWhatArrivesStaleIsKept(t *testing.T) {
	p := full
	a := parseAsked("GET", nil)
	adm := p.admit(&a, 200, fields("Cache-Control: max-age=60\nAge: 100000\nETag: \"a\""), epoch, epoch, 0)
	if got := adm.life.Ends().Sub(epoch); got != p.Keep {
		t.Errorf("kept for %v", got)
	}
}

func TestAnswersGet(t *testing.T) {
	rules := &store.KeyRules{SortQuery: true}
	key := rules.Key("http", "shop.example", "/a?x=1&y=2")
	for loc, want := range map[string]bool{
		"/a?y=2&x=1":                     true,
		"http://shop.example/a?x=1&y=2":  true,
		"//SHOP.example:80/a?x=1&y=2":    true,
		"https://shop.example/a?x=1&y=2": false,
		"/b":                             false,
		"shop.example/a?x=1&y=2":         false,
		"":                               false,
	} {
		if got := answersGet(key, rules, http.Header{"Content-Location": {loc}}); got != want {
			t.Errorf("%q: %v", loc, got)
		}
	}
	if answersGet(key, rules, http.Header{}) || answersGet(key, rules, http.Header{"Content-Location": {"/a?x=1&y=2", "/b"}}) {
		t.Error("no or two Content-Locations")
	}
}

func TestReasonsHaveNames(t *testing.T) {
	var names []string
	for r := range numReasons {
		if !isSFToken(r.String()) {
			t.Errorf("reason %d is called %q", r, r)
		}
		names = append(names, r.String())
	}
	slices.Sort(names)
	if n := len(slices.Compact(names)); n != int(numReasons) {
		t.Errorf("%d names for %d reasons", n, numReasons)
	}
	if Reason(255).String() != "unknown" {
		t.Error("an unknown reason has a name")
	}
}

// FuzzAdmit: adding no-store never makes a response storable, and adding
// anything at all never makes it fresh for longer, nor stale for longer.
func FuzzAdmit(f *testing.F) {
	for _, c := range admitCases {
		h := fields(c.h)
		f.Add(h.Get("Cache-Control"), `x="`, 200, h.Get("Surrogate-Control"))
	}
	f.Fuzz(func(t *testing.T, cc, garbage string, status int, sc string) {
		p := full
		a := parseAsked("GET", nil)
		admit := func(cc ...string) admission {
			h := http.Header{"Cache-Control": cc, "Etag": {`"a"`}}
			if sc != "" {
				h["Surrogate-Control"] = []string{sc}
			}
			return p.admit(&a, status, h, epoch, epoch, 0)
		}
		plain := admit(cc)
		for _, with := range [][]string{{cc, "no-store"}, {"no-store", cc}, {cc + ", no-store"}, {"no-store, " + cc}} {
			if adm := admit(with...); adm.keep && !plain.keep {
				t.Errorf("%q is stored, %q is not", with, cc)
			} else if adm.keep && sc == "" && !parseResponse([]string{cc}).mustUnderstand {
				t.Errorf("%q is stored", with)
			}
		}
		if !plain.keep || parseResponse([]string{garbage}).public {
			return
		}
		before := parseResponse([]string{cc})
		after := parseResponse([]string{garbage})
		if !before.maxAge.ok && !before.sMaxAge.ok || after.sMaxAge.ok {
			return // what is added may say for how long where nobody did
		}
		adm := admit(cc, garbage)
		if adm.keep && adm.life.TTL > plain.life.TTL {
			t.Errorf("%q makes %q last %v instead of %v", garbage, cc, adm.life.TTL, plain.life.TTL)
		}
	})
}

func BenchmarkAdmit(b *testing.B) {
	p := full
	a := parseAsked("GET", http.Header{})
	h := fields("Cache-Control: public, max-age=60, stale-while-revalidate=30\nDate: @\nETag: \"a\"\nContent-Type: text/html\nVary: Accept-Encoding")
	b.ReportAllocs()
	for b.Loop() {
		p.admit(&a, 200, h, epoch, epoch, 0.5)
	}
}
