package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"surrogate/store"
)

// decideCases: each row is a sentence about a request and what was found. The
// entry was born age seconds ago. want is what the decision says: action, fwd,
// why, and "on-error" when the entry may be shown instead of an error.
var decideCases = []struct {
	says   string
	method string
	ask    string
	age    int
	life   string // "ttl=60 swr=… sie=… keep=… no-cache no-stale fell=… (seconds ago) doubt"; "" finds nothing
	head   string
	parts  []store.Part // of ten bytes
	policy func(*Policy)
	want   string
}{
	{says: "nothing stored", want: "fetch uri-miss miss"},
	{says: "fresh", life: "ttl=60", age: 59, want: "hit - fresh"},
	{says: "a life ends when its age reaches it (section 4.2)", life: "ttl=60 keep=60", age: 60, want: "revalidate stale stale"},
	{says: "HEAD is answered from a GET", method: "HEAD", life: "ttl=60", want: "hit - fresh"},
	{says: "other methods write through (section 4)", method: "POST", life: "ttl=60", want: "pass method method"},
	{says: "unknown methods write through", method: "PURR", want: "pass method method"},
	{says: "methods are case-sensitive", method: "get", life: "ttl=60", want: "pass method method"},
	{says: "If-Match is for the origin (section 4.3.2)", ask: `If-Match: "a"`, life: "ttl=60", want: "pass bypass precondition"},
	{says: "If-Unmodified-Since is too", ask: "If-Unmodified-Since: @", life: "ttl=60", want: "pass bypass precondition"},
	{says: "If-None-Match is not", ask: `If-None-Match: "a"`, life: "ttl=60", want: "hit - fresh"},
	{says: "Authorization may use what is stored (section 3.5 is about storing)", ask: "Authorization: x", life: "ttl=60", want: "hit - fresh"},
	{says: "Authorization passes where it is so configured", ask: "Authorization: x", life: "ttl=60", policy: func(p *Policy) { p.StoreAuthorized = false }, want: "pass bypass authorization"},
	{says: "a Cookie does not matter", ask: "Cookie: a=b", life: "ttl=60", want: "hit - fresh"},
	{says: "unknown directives do not matter (section 5.2.3)", ask: "Cache-Control: nothing-to-see-here\nPragma: foo", life: "ttl=60", want: "hit - fresh"},

	// What the stored response forbids.
	{says: "no-cache (section 5.2.2.4)", life: "ttl=60 no-cache", want: "revalidate stale no-cache"},
	{says: "no-cache is not shown on error", life: "ttl=60 sie=60 no-cache", ask: "Cache-Control: stale-if-error=60", want: "revalidate stale no-cache"},
	{says: "purges were forgotten", life: "ttl=60 swr=60 sie=60 doubt", want: "revalidate stale doubt"},
	{says: "purges were forgotten and max-stale", life: "ttl=60 doubt", ask: "Cache-Control: max-stale", want: "revalidate stale doubt"},

	// The stale windows (RFC 5861).
	{says: "within stale-while-revalidate", life: "ttl=60 swr=10", age: 69, want: "stale - stale"},
	{says: "past stale-while-revalidate", life: "ttl=60 swr=10 keep=60", age: 70, want: "revalidate stale stale"},
	{says: "within stale-while-revalidate and stale-if-error", life: "ttl=60 swr=10 sie=20", age: 69, want: "stale - stale on-error"},
	{says: "within stale-if-error", life: "ttl=60 sie=10", age: 69, want: "revalidate stale stale on-error"},
	{says: "past stale-if-error", life: "ttl=60 sie=10 keep=60", age: 70, want: "revalidate stale stale"},
	{says: "past everything", life: "ttl=60 swr=5 sie=10 keep=20", age: 80, want: "fetch stale stale"},
	{says: "must-revalidate is never stale (section 5.2.2.2)", life: "ttl=60 swr=10 sie=10 keep=60 no-stale", age: 61, want: "revalidate stale stale"},
	{says: "must-revalidate while fresh", life: "ttl=60 no-stale", age: 1, want: "hit - fresh"},

	// Soft purges: stale since they fell, and the windows count from there.
	{says: "softly purged just now", life: "ttl=60 swr=10 fell=0", age: 1, want: "stale - soft-purged"},
	{says: "softly purged a while ago", life: "ttl=60 swr=10 keep=60 fell=10", age: 20, want: "revalidate stale soft-purged"},
	{says: "softly purged, for an error", life: "ttl=60 sie=20 fell=10", age: 20, want: "revalidate stale soft-purged on-error"},
	{says: "softly purged, no longer for an error", life: "ttl=60 sie=10 keep=60 fell=10", age: 20, want: "revalidate stale soft-purged"},
	{says: "softly purged and past all windows", life: "ttl=600 swr=5 sie=6 keep=7 fell=7", age: 20, want: "fetch stale soft-purged"},
	{says: "softly purged after it was stale: no longer life", life: "ttl=60 swr=10 keep=60 fell=1", age: 75, want: "revalidate stale stale"},
	{says: "softly purged and must-revalidate", life: "ttl=60 swr=10 keep=60 no-stale fell=1", age: 5, want: "revalidate stale soft-purged"},
	{says: "softly purged and min-fresh", life: "ttl=60 swr=10 keep=60 fell=1", ask: "Cache-Control: min-fresh=1", age: 5, want: "revalidate stale request-min-fresh"},

	// What the client asks (section 5.2.1).
	{says: "no-cache", ask: "Cache-Control: no-cache", life: "ttl=60", want: "revalidate request request-no-cache"},
	{says: "NO-CACHE among others", ask: "Cache-Control: foo, NO-CACHE", life: "ttl=60", want: "revalidate request request-no-cache"},
	{says: "no-cache on a second line", ask: "Cache-Control: foo\nCache-Control: no-cache", life: "ttl=60", want: "revalidate request request-no-cache"},
	{says: "no-cache takes nothing stale either", ask: "Cache-Control: no-cache", life: "ttl=60 swr=10 sie=60", age: 61, want: "revalidate stale request-no-cache"},
	{says: "Pragma: no-cache (section 5.4)", ask: "Pragma: no-cache", life: "ttl=60", want: "revalidate request request-no-cache"},
	{says: "Pragma beside Cache-Control", ask: "Pragma: no-cache\nCache-Control: foo", life: "ttl=60", want: "hit - fresh"},
	{says: "max-age=0", ask: "Cache-Control: max-age=0", life: "ttl=60", age: 1, want: "revalidate request request-max-age on-error"},
	{says: "max-age below the age", ask: "Cache-Control: max-age=9", life: "ttl=60", age: 10, want: "revalidate request request-max-age on-error"},
	{says: "max-age at the age", ask: "Cache-Control: max-age=10", life: "ttl=60", age: 10, want: "hit - fresh"},
	{says: "max-age, several: the least", ask: "Cache-Control: max-age=10, max-age=5", life: "ttl=60", age: 10, want: "revalidate request request-max-age on-error"},
	{says: "max-age, invalid: as little as possible", ask: "Cache-Control: max-age=x", life: "ttl=60", age: 10, want: "revalidate request request-max-age on-error"},
	{says: "max-age takes nothing stale (section 5.2.1.1)", ask: "Cache-Control: max-age=600", life: "ttl=60 swr=10", age: 61, want: "revalidate stale stale"},
	{says: "max-age with max-stale does", ask: "Cache-Control: max-age=600, max-stale", life: "ttl=60 swr=10", age: 61, want: "stale - stale"},
	{says: "a reload of what is immutable (RFC 8246)", ask: "Cache-Control: max-age=0", life: "ttl=60", age: 1, head: "Cache-Control: max-age=60, immutable", want: "hit - fresh"},
	{says: "a forced reload of what is immutable", ask: "Cache-Control: no-cache", life: "ttl=60", age: 1, head: "Cache-Control: max-age=60, immutable", want: "revalidate request request-no-cache"},
	{says: "a reload of what is immutable, but stale", ask: "Cache-Control: max-age=0", life: "ttl=60 keep=60", age: 61, head: "Cache-Control: max-age=60, immutable", want: "revalidate stale request-max-age"},
	{says: "min-fresh that it is", ask: "Cache-Control: min-fresh=50", life: "ttl=60", age: 10, want: "hit - fresh"},
	{says: "min-fresh that it is not", ask: "Cache-Control: min-fresh=51", life: "ttl=60", age: 10, want: "revalidate request request-min-fresh on-error"},
	{says: "min-fresh, several: the most", ask: "Cache-Control: min-fresh=51, min-fresh=1", life: "ttl=60", age: 10, want: "revalidate request request-min-fresh on-error"},
	{says: "max-stale without a value", ask: "Cache-Control: max-stale", life: "ttl=60 keep=600", age: 600, want: "hit - request-max-stale"},
	{says: "max-stale that covers it", ask: "Cache-Control: max-stale=5", life: "ttl=60 keep=60", age: 65, want: "hit - request-max-stale"},
	{says: "max-stale that does not", ask: "Cache-Control: max-stale=5", life: "ttl=60 keep=60", age: 66, want: "revalidate stale stale"},
	{says: "max-stale, several: the least", ask: "Cache-Control: max-stale, max-stale=5", life: "ttl=60 keep=60", age: 66, want: "revalidate stale stale"},
	{says: "max-stale, invalid: none", ask: "Cache-Control: max-stale=x", life: "ttl=60 keep=60", age: 66, want: "revalidate stale stale"},
	{says: "max-stale against must-revalidate", ask: "Cache-Control: max-stale", life: "ttl=60 keep=60 no-stale", age: 66, want: "revalidate stale stale"},
	{says: "stale-if-error of the request", ask: "Cache-Control: stale-if-error=10", life: "ttl=60 keep=60", age: 69, want: "revalidate stale stale on-error"},
	{says: "stale-if-error of the request is shorter", ask: "Cache-Control: stale-if-error=5", life: "ttl=60 sie=60", age: 69, want: "revalidate stale stale"},
	{says: "stale-if-error=0 of the request", ask: "Cache-Control: stale-if-error=0", life: "ttl=60 sie=60", age: 69, want: "revalidate stale stale"},
	{says: "stale-if-error of the request against must-revalidate", ask: "Cache-Control: stale-if-error=10", life: "ttl=60 keep=60 no-stale", age: 69, want: "revalidate stale stale"},
	{says: "no-store, and nothing stored (section 5.2.1.5)", ask: "Cache-Control: no-store", want: "pass uri-miss request-no-store"},
	{says: "no-store, and something stored", ask: "Cache-Control: no-store", life: "ttl=60", want: "pass request request-no-store"},
	{says: "only-if-cached, and nothing stored (section 5.2.1.7)", ask: "Cache-Control: only-if-cached", want: "refuse uri-miss only-if-cached"},
	{says: "only-if-cached, and it is fresh", ask: "Cache-Control: only-if-cached", life: "ttl=60", want: "hit - fresh"},
	{says: "only-if-cached, and it may be shown stale", ask: "Cache-Control: only-if-cached", life: "ttl=60 swr=60", age: 61, want: "stale - stale"},
	{says: "only-if-cached, and it is stale", ask: "Cache-Control: only-if-cached", life: "ttl=60 sie=60", age: 61, want: "refuse stale only-if-cached"},
	{says: "only-if-cached and max-stale", ask: "Cache-Control: only-if-cached, max-stale", life: "ttl=60 keep=60", age: 61, want: "hit - request-max-stale"},
	{says: "only-if-cached and no-store", ask: "Cache-Control: only-if-cached, no-store", life: "ttl=60", want: "refuse request only-if-cached"},

	// Incomplete entries (section 3.3).
	{says: "a GET for all of it", life: "ttl=60", parts: []store.Part{{From: 0, Len: 5}}, want: "revalidate partial partial complete"},
	{says: "a GET for all of it, stale", life: "ttl=60 swr=60", age: 61, parts: []store.Part{{From: 0, Len: 5}}, want: "revalidate partial partial complete"},
	{says: "a HEAD", method: "HEAD", life: "ttl=60", parts: []store.Part{{From: 0, Len: 5}}, want: "fetch partial partial"},
	{says: "a range it holds", ask: "Range: bytes=1-4", life: "ttl=60", parts: []store.Part{{From: 0, Len: 5}}, want: "hit - fresh"},
	{says: "a range it holds, stale", ask: "Range: bytes=1-4", life: "ttl=60 keep=60", age: 61, parts: []store.Part{{From: 0, Len: 5}}, want: "revalidate stale stale"},
	{says: "a range it holds a part of", ask: "Range: bytes=1-5", life: "ttl=60", parts: []store.Part{{From: 0, Len: 5}}, want: "fetch partial partial"},
	{says: "the end, which it holds", ask: "Range: bytes=-3", life: "ttl=60", parts: []store.Part{{From: 5, Len: 5}}, want: "hit - fresh"},
	{says: "the end, which it does not", ask: "Range: bytes=-3", life: "ttl=60", parts: []store.Part{{From: 0, Len: 5}}, want: "fetch partial partial"},
	{says: "several ranges", ask: "Range: bytes=1-2,3-4", life: "ttl=60", parts: []store.Part{{From: 0, Len: 5}}, want: "fetch partial partial"},
	{says: "a range that the origin must judge", ask: "Range: lines=1-2", life: "ttl=60", parts: []store.Part{{From: 0, Len: 5}}, want: "fetch partial partial"},
	{says: "If-Range that matches", ask: "Range: bytes=1-4\nIf-Range: \"a\"", life: "ttl=60", head: "ETag: \"a\"", parts: []store.Part{{From: 0, Len: 5}}, want: "hit - fresh"},
	{says: "If-Range that does not", ask: "Range: bytes=1-4\nIf-Range: \"b\"", life: "ttl=60", head: "ETag: \"a\"", parts: []store.Part{{From: 0, Len: 5}}, want: "fetch partial partial"},
	{says: "a part, and only-if-cached", ask: "Cache-Control: only-if-cached", life: "ttl=60", parts: []store.Part{{From: 0, Len: 5}}, want: "refuse partial only-if-cached"},
	{says: "a part, and purges were forgotten", life: "ttl=60 doubt", parts: []store.Part{{From: 0, Len: 5}}, want: "fetch partial partial"},
	{says: "a range it holds, and purges were forgotten", ask: "Range: bytes=1-4", life: "ttl=60 doubt", parts: []store.Part{{From: 0, Len: 5}}, want: "revalidate stale doubt"},
	{says: "a range of a complete entry", ask: "Range: bytes=1-4", life: "ttl=60", want: "hit - fresh"},
}

// found builds what the table describes.
func found(t testing.TB, life, head string, age int, parts []store.Part) *store.Found {
	f := &store.Found{Hit: life != ""}
	if !f.Hit {
		return f
	}
	f.Entry = store.Entry{Status: 200, Head: store.HeadOf(fields(head)), Life: store.Life{Born: epoch.Add(-time.Duration(age) * time.Second)}}
	f.Entry.Body = []byte("0123456789")
	if parts != nil {
		f.Entry.Parts, f.Entry.Size, f.Entry.Body = parts, 10, nil
		for _, p := range parts {
			f.Entry.Body = append(f.Entry.Body, "0123456789"[p.From:p.From+p.Len]...)
		}
	}
	l := &f.Entry.Life
	for word := range strings.FieldsSeq(life) {
		name, value, _ := strings.Cut(word, "=")
		n := 0
		if value != "" {
			if _, err := fmt.Sscan(value, &n); err != nil {
				t.Fatal(word)
			}
		}
		d := time.Duration(n) * time.Second
		switch name {
		case "ttl":
			l.TTL = d
		case "swr":
			l.WhileRevalidate = d
		case "sie":
			l.IfError = d
		case "keep":
			l.Keep = d
		case "no-cache":
			l.Flags |= store.NoCache
		case "no-stale":
			l.Flags |= store.NoStale
		case "doubt":
			f.Doubt = true
		case "fell":
			f.Fell = epoch.Add(-d)
		default:
			t.Fatal("no such word: " + word)
		}
	}
	return f
}

func (d decision) describe() string {
	acts := map[action]string{actFetch: "fetch", actHit: "hit", actStale: "stale", actRevalidate: "revalidate", actPass: "pass", actRefuse: "refuse"}
	s := acts[d.act] + " " + orElse(d.fwd, "-") + " " + d.why.String()
	if d.onError && d.act != actHit {
		s += " on-error"
	}
	if d.partial {
		s += " complete"
	}
	return s
}

func TestDecide(t *testing.T) {
	for _, c := range decideCases {
		t.Run(c.says, func(t *testing.T) {
			p := full
			if c.policy != nil {
				c.policy(&p)
			}
			a := parseAsked(orElse(c.method, "GET"), fields(c.ask))
			f := found(t, c.life, c.head, c.age, c.parts)
			d := p.decide(&a, f, epoch)
			if got := d.describe(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if d.fwd != "" != (d.act != actHit && d.act != actStale) {
				t.Errorf("%q and fwd=%q", d.describe(), d.fwd)
			}
			if f.Hit && d.act != actPass && d.act != actRefuse && d.age != time.Duration(c.age)*time.Second {
				t.Errorf("age is %v", d.age)
			}
		})
	}
}

func TestDecisionTellsFreshness(t *testing.T) {
	p := full
	a := parseAsked("GET", nil)
	for life, want := range map[string]time.Duration{"ttl=60": 50, "ttl=60 fell=3": -3, "ttl=5 swr=60": -5} {
		if d := p.decide(&a, found(t, life, "", 10, nil), epoch); d.fresh != want*time.Second {
			t.Errorf("%s: %v", life, d.fresh)
		}
	}
}

// FuzzDecide: no request is shown as a hit what is stale, unless it asks for
// it, nor anything at all that must be validated first.
func FuzzDecide(f *testing.F) {
	for _, c := range decideCases {
		h := fields(c.ask)
		f.Add(h.Get("Cache-Control"), h.Get("Range"), 60, c.age, 10, byte(0))
	}
	f.Fuzz(func(t *testing.T, cc, rng string, ttl, age, fell int, bits byte) {
		p := full
		e := store.Entry{Status: 200, Body: []byte("0123456789")}
		const limit = 1 << 30
		e.Life = store.Life{Born: epoch.Add(-time.Duration(age%limit) * time.Second), TTL: time.Duration(ttl%limit) * time.Second, IfError: time.Hour, Keep: time.Hour}
		e.Life.Flags = store.Flags(bits & 3)
		found := store.Found{Hit: true, Entry: e, Doubt: bits&4 != 0}
		if bits&8 != 0 {
			found.Fell = epoch.Add(-time.Duration(fell%limit) * time.Second)
		}
		a := parseAsked("GET", http.Header{"Cache-Control": {cc}, "Range": {rng}})
		d := p.decide(&a, &found, epoch)
		shown := d.act == actHit || d.act == actStale
		if shown && (found.Doubt || e.Life.Flags.Has(store.NoCache)) {
			t.Errorf("shown: %+v", d)
		}
		stale := !freshUntil(&found).After(epoch)
		if shown && stale && (e.Life.Flags.Has(store.NoStale) || !a.directives.maxStale.ok) {
			t.Errorf("shown stale: %+v", d)
		}
		if d.onError && stale && e.Life.Flags.Has(store.NoStale) {
			t.Errorf("on error: %+v", d)
		}
	})
}

// TestHitsAllocateNothing holds the price of the hit path.
func TestHitsAllocateNothing(t *testing.T) {
	h := http.Header{"Accept": {"*/*"}, "User-Agent": {"x"}, "Cookie": {"a=b"}}
	f := found(t, "ttl=60 swr=10", "Cache-Control: max-age=60", 10, nil)
	p := full
	if n := testing.AllocsPerRun(100, func() {
		a := parseAsked("GET", h)
		if p.decide(&a, f, epoch).act != actHit {
			t.Error("no hit")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDecide(b *testing.B) {
	h := http.Header{"Accept": {"*/*"}, "User-Agent": {"x"}}
	f := found(b, "ttl=60 swr=10", "Cache-Control: max-age=60", 10, nil)
	p := full
	b.ReportAllocs()
	for b.Loop() {
		a := parseAsked("GET", h)
		p.decide(&a, f, epoch)
	}
}

func BenchmarkParseAskedReload(b *testing.B) {
	h := http.Header{"Cache-Control": {"max-age=0"}}
	b.ReportAllocs()
	for b.Loop() {
		parseAsked("GET", h)
	}
}
