package proxy

import (
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestParseRequestDirectives(t *testing.T) {
	s := func(n time.Duration) span { return span{n * time.Second, true} }
	for _, c := range []struct {
		lines string
		want  requestDirectives
	}{
		{"", requestDirectives{}},
		{"foo, bar=baz", requestDirectives{}},
		{"no-cache, no-store|only-if-cached, no-transform", requestDirectives{noCache: true, noStore: true, onlyIfCached: true}},
		{"max-age=1, min-fresh=2, max-stale=3, stale-if-error=4", requestDirectives{maxAge: s(1), minFresh: s(2), maxStale: s(3), ifError: s(4)}},
		{"max-stale", requestDirectives{maxStale: span{forever, true}}},
		{"max-stale=5, max-stale", requestDirectives{maxStale: s(5)}},
		{"stale-if-error=0", requestDirectives{ifError: s(0)}},
		{"max-age=99999999999", requestDirectives{maxAge: span{forever, true}}},
		{`no-cache="x", no-store=1`, requestDirectives{noCache: true, noStore: true}},
		{`foo="no-cache"`, requestDirectives{}},
		{`foo="no-cache`, requestDirectives{noCache: true}},
		{"s-maxage=5, private, must-revalidate", requestDirectives{}}, // a response's
	} {
		if got := parseRequest(strings.Split(c.lines, "|")); got != c.want {
			t.Errorf("%q: %+v", c.lines, got)
		}
	}
	if parseRequest(nil) != (requestDirectives{}) {
		t.Error("no lines ask for something")
	}
}

func TestParseResponseDirectives(t *testing.T) {
	s := func(n time.Duration) span { return span{n * time.Second, true} }
	for _, c := range []struct {
		lines string
		want  responseDirectives
	}{
		{"", responseDirectives{}},
		{"public, immutable, must-understand, no-transform, must-revalidate, proxy-revalidate, no-store", responseDirectives{
			public: true, immutable: true, mustUnderstand: true, mustRevalidate: true, proxyRevalidate: true, noStore: true}},
		{"public=1, immutable=x, must-understand=\"\"", responseDirectives{}}, // what permits must be said plainly
		{"must-revalidate=x", responseDirectives{mustRevalidate: true}},
		{"max-age=1, s-maxage=2, stale-while-revalidate=3, stale-if-error=4", responseDirectives{maxAge: s(1), sMaxAge: s(2), whileRevalidate: s(3), ifError: s(4)}},
		{"private, no-cache", responseDirectives{private: true, noCache: true}},
		{`private="a, b", no-cache=b|no-cache="C"`, responseDirectives{fields: []string{"A", "B", "C"}}},
		{`private="a"|private`, responseDirectives{private: true}},
		{`private|private="a"`, responseDirectives{private: true}},
		{`private="a, é"`, responseDirectives{private: true}},
		{`no-cache=", ,"`, responseDirectives{noCache: true}},
		{"max-age=1;s-maxage=5", responseDirectives{maxAge: s(0), sMaxAge: s(0), invalid: true}},
		{"max-age=5 private", responseDirectives{maxAge: s(0), private: true, invalid: true}},
		{"=no-store", responseDirectives{noStore: true}},
		{`"no-store"`, responseDirectives{noStore: true}},
		{"max-stale, only-if-cached, min-fresh=5", responseDirectives{}}, // a request's
	} {
		if got := parseResponse(strings.Split(c.lines, "|")); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %+v", c.lines, got)
		}
	}
}

// TestQuotesCostLinearTime: clients can send a megabyte of quotes.
func TestQuotesCostLinearTime(t *testing.T) {
	for _, unit := range []string{`"\"`, `"`, `\"`, `a="\`, ","} {
		line := strings.Repeat(unit, 1<<20/len(unit))
		start := time.Now()
		parseRequest([]string{line})
		parseResponse([]string{line})
		parseSurrogate([]string{line}, "surrogate")
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("1 MiB of %q took %v", unit, d)
		}
	}
}

// FuzzDirectives: nothing that is added makes directives less restrictive, and
// parsing always succeeds.
func FuzzDirectives(f *testing.F) {
	f.Add("max-age=60, public", `private="x`)
	f.Add(`no-cache="a", max-age=5`, `max-age=9`)
	f.Add("private=x,no-store", `"`)
	f.Fuzz(func(t *testing.T, a, b string) {
		one, two := parseResponse([]string{a}), parseResponse([]string{a, b})
		if one.noStore && !two.noStore || one.private && !two.private || one.noCache && !two.noCache ||
			one.mustRevalidate && !two.mustRevalidate || one.proxyRevalidate && !two.proxyRevalidate {
			t.Errorf("%q frees %q", b, a)
		}
		for _, s := range [][2]span{{one.maxAge, two.maxAge}, {one.sMaxAge, two.sMaxAge}, {one.whileRevalidate, two.whileRevalidate}, {one.ifError, two.ifError}} {
			if s[0].ok && (!s[1].ok || s[1].d > s[0].d) {
				t.Errorf("%q lengthens %q", b, a)
			}
		}
		for _, name := range one.fields {
			if !two.private && !two.noCache && !strings.Contains(strings.Join(two.fields, ","), name) {
				t.Errorf("%q frees field %s of %q", b, name, a)
			}
		}
		ask, more := parseRequest([]string{a}), parseRequest([]string{a, b})
		if ask.noCache && !more.noCache || ask.noStore && !more.noStore || ask.onlyIfCached && !more.onlyIfCached {
			t.Errorf("%q frees request %q", b, a)
		}
		if ask.maxAge.ok && more.maxAge.d > ask.maxAge.d || ask.minFresh.ok && more.minFresh.d < ask.minFresh.d ||
			ask.maxStale.ok && more.maxStale.d > ask.maxStale.d {
			t.Errorf("%q frees request %q", b, a)
		}
		parseSurrogate([]string{a, b}, "surrogate")
		if d, ok := parseTargeted([]string{a, "no-store"}); ok && !d.noStore {
			t.Errorf("%q, no-store may be stored", a)
		}
	})
}

// What was parsed before is not mixed up with what falls into its place.
func TestControlsAreKept(t *testing.T) {
	for range 2 {
		for i := range 1000 {
			line := "max-age=" + strconv.Itoa(i)
			if i%2 == 1 {
				line += `, private="a"`
			}
			if got, want := parseResponse([]string{line}), parseControl([]string{line}); !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: %+v, not %+v", line, got, want)
			}
		}
	}
}
