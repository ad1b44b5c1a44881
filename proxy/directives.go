package proxy

import (
	"hash/maphash"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pquerna/cachecontrol/cacheobject"
)

// A span is a directive's delta-seconds, if it was there. Its zero value is an
// absent directive.
type span struct {
	d  time.Duration
	ok bool
}

// forever is what delta-seconds beyond 31 bits become (RFC 9111 section 1.2.2).
const forever = math.MaxInt32 * time.Second

// requestDirectives are what the Cache-Control of a request asks (RFC 9111
// section 5.2.1, RFC 5861 section 4). The zero value asks nothing. no-transform
// is not among them, here and in responses: we transform nothing.
type requestDirectives struct {
	noCache, noStore, onlyIfCached bool

	maxAge, minFresh, ifError span
	maxStale                  span // forever where it had no value
}

// responseDirectives are what a response says of its caching (RFC 9111 section
// 5.2.2, RFC 5861, RFC 8246), in Cache-Control or in a targeted field.
type responseDirectives struct {
	noStore, public, mustRevalidate, proxyRevalidate bool
	mustUnderstand, immutable                        bool
	private, noCache                                 bool     // without field names
	fields                                           []string // named by no-cache="…" and private="…": canonical, sorted

	maxAge, sMaxAge, whileRevalidate, ifError span
	invalid                                   bool // one of these had no valid value, and counts as 0
}

// parseRequest parses the Cache-Control lines of a request.
func parseRequest(lines []string) requestDirectives {
	if len(lines) == 0 {
		return requestDirectives{}
	}
	c := cleaner{request: true}
	for m := range members(lines) {
		c.add(m)
	}
	cd, err := cacheobject.ParseRequestCacheControl(c.String())
	if err != nil {
		// What is clean parses. Were it not so, the client is told nothing that
		// is stored.
		return requestDirectives{noCache: true}
	}
	d := requestDirectives{
		noCache: cd.NoCache, noStore: cd.NoStore, onlyIfCached: cd.OnlyIfCached,
		maxAge: spanOf(cd.MaxAge), minFresh: spanOf(cd.MinFresh), maxStale: spanOf(cd.MaxStale),
	}
	if cd.MaxStaleSet {
		d.maxStale = span{forever, true}
	}
	// The library's zero for stale-if-error is also that of an absent one.
	if _, ok := c.numbers["stale-if-error"]; ok {
		d.ifError = spanOf(cd.StaleIfError)
	}
	return d
}

// A knownControl is a Cache-Control of one line and what it says.
type knownControl struct {
	line string
	says responseDirectives
}

// knownControls are some that were parsed before, by their hash: origins say the
// same few again and again. What each says is shared, and nobody edits it.
var (
	knownControls [64]atomic.Pointer[knownControl]
	controlSeed   = maphash.MakeSeed()
)

// parseResponse parses the lines of a response's Cache-Control.
func parseResponse(lines []string) responseDirectives {
	if len(lines) != 1 || len(lines[0]) > 256 {
		return parseControl(lines)
	}
	at := &knownControls[maphash.String(controlSeed, lines[0])%uint64(len(knownControls))]
	k := at.Load()
	if k == nil || k.line != lines[0] {
		k = &knownControl{strings.Clone(lines[0]), parseControl(lines)}
		at.Store(k)
	}
	return k.says
}

func parseControl(lines []string) responseDirectives {
	var c cleaner
	for m := range members(lines) {
		c.add(m)
	}
	return c.response()
}

func (c *cleaner) response() responseDirectives {
	cd, err := cacheobject.ParseResponseCacheControl(c.String())
	if err != nil {
		return responseDirectives{noStore: true, invalid: true} // what is clean parses; were it not so, nothing is known
	}
	d := responseDirectives{
		noStore: cd.NoStore, public: cd.Public, mustRevalidate: cd.MustRevalidate, proxyRevalidate: cd.ProxyRevalidate,
		immutable:      cd.Immutable,
		mustUnderstand: slices.Contains(cd.Extensions, "must-understand"),
		private:        cd.PrivatePresent && len(cd.Private) == 0,
		noCache:        cd.NoCachePresent && len(cd.NoCache) == 0,
		maxAge:         spanOf(cd.MaxAge), sMaxAge: spanOf(cd.SMaxAge),
		whileRevalidate: spanOf(cd.StaleWhileRevalidate), ifError: spanOf(cd.StaleIfError),
		invalid: c.invalid,
	}
	if len(cd.Private)+len(cd.NoCache) > 0 {
		d.fields = slices.Compact(slices.Sorted(func(yield func(string) bool) {
			_ = yieldAll(maps.Keys(cd.Private), yield) && yieldAll(maps.Keys(cd.NoCache), yield)
		}))
	}
	return d
}

func yieldAll(seq func(func(string) bool), yield func(string) bool) bool {
	for s := range seq {
		if !yield(s) {
			return false
		}
	}
	return true
}

func spanOf(d cacheobject.DeltaSeconds) span {
	if d < 0 {
		return span{}
	}
	return span{time.Duration(d) * time.Second, true}
}

// A kind is what may follow a directive's name.
type kind uint8

const (
	unknown    kind = iota // RFC 9111 section 5.2.3: ignored
	restricts              // nothing; taken to be meant whatever follows
	permits                // nothing; ignored when something follows
	seconds                // delta-seconds
	mayHave                // delta-seconds or nothing
	fieldNames             // field names or nothing
)

func requestKind(name string) kind {
	switch name {
	case "no-cache", "no-store", "only-if-cached":
		return restricts
	case "max-age", "min-fresh", "stale-if-error":
		return seconds
	case "max-stale":
		return mayHave
	}
	return unknown
}

func responseKind(name string) kind {
	switch name {
	case "no-store", "must-revalidate", "proxy-revalidate":
		return restricts
	case "public", "immutable", "must-understand":
		return permits
	case "max-age", "s-maxage", "stale-while-revalidate", "stale-if-error":
		return seconds
	case "no-cache", "private":
		return fieldNames
	}
	return unknown
}

// A cleaner collects directives and renders them so that the library can only
// understand them one way: each name once, lower case, values valid. Where they
// contradict each other the most restrictive is kept (RFC 9111 section 4.2.1
// has a cache use the first or consider the response stale; the smallest is
// never fresher than either).
type cleaner struct {
	request bool
	invalid bool
	flags   []string
	numbers map[string]int64  // -1: has no value
	fields  map[string]string // "" for all of the response
}

func (c *cleaner) kind(name string) kind {
	if c.request {
		return requestKind(name)
	}
	return responseKind(name)
}

func (c *cleaner) add(m member) {
	if m.bad {
		// Commas forgotten, quotes not closed: whoever wrote that meant the words
		// in it. What restricts is heeded; what would need a value has none.
		for word := range strings.FieldsFuncSeq(m.value, func(r rune) bool { return !isToken(r) }) {
			word = strings.ToLower(word)
			switch c.kind(word) {
			case restricts:
				c.flag(word)
			case fieldNames:
				c.field(word, "")
			case seconds, mayHave:
				c.number(word, "?")
			case permits, unknown:
			}
		}
		return
	}
	switch c.kind(m.name) {
	case restricts:
		c.flag(m.name)
	case permits:
		if !m.hasValue {
			c.flag(m.name)
		}
	case mayHave:
		if !m.hasValue {
			if _, ok := c.numbers[m.name]; !ok {
				c.set(m.name, -1)
			}
			return
		}
		c.number(m.name, m.value)
	case seconds:
		c.number(m.name, m.value)
	case fieldNames:
		c.field(m.name, m.value)
	case unknown:
	}
}

func (c *cleaner) flag(name string) {
	if !slices.Contains(c.flags, name) {
		c.flags = append(c.flags, name)
	}
}

func (c *cleaner) set(name string, n int64) {
	if c.numbers == nil {
		c.numbers = make(map[string]int64, 4)
	}
	c.numbers[name] = n
}

// number adds a directive with delta-seconds. RFC 9111 section 4.2.1 encourages
// to consider a response with invalid ones stale: they count as 0, and for
// min-fresh, where more is stricter, as forever.
func (c *cleaner) number(name, value string) {
	n, ok := parseSeconds(value)
	if !ok {
		c.invalid = true
		if name == "min-fresh" {
			n = math.MaxInt32
		}
	}
	if old, had := c.numbers[name]; had && old >= 0 {
		if name == "min-fresh" {
			n = max(n, old)
		} else {
			n = min(n, old)
		}
	}
	c.set(name, n)
}

// field adds a directive that may be limited to fields. Anything but a list of
// field names is no limit.
func (c *cleaner) field(name, value string) {
	var names []string
	for f := range strings.SplitSeq(value, ",") {
		f = strings.Trim(f, " \t")
		if f == "" {
			continue
		}
		if strings.ContainsFunc(f, func(r rune) bool { return !isToken(r) }) {
			names = nil
			break
		}
		names = append(names, f)
	}
	if c.fields == nil {
		c.fields = make(map[string]string, 2)
	}
	old, had := c.fields[name]
	switch {
	case had && old == "": // no limit stays
	case len(names) == 0:
		c.fields[name] = ""
	case had:
		c.fields[name] = old + "," + strings.Join(names, ",")
	default:
		c.fields[name] = strings.Join(names, ",")
	}
}

// String is what the library is given.
func (c *cleaner) String() string {
	parts := slices.Clone(c.flags)
	for name, n := range c.numbers {
		if n < 0 {
			parts = append(parts, name)
		} else {
			parts = append(parts, name+"="+strconv.FormatInt(n, 10))
		}
	}
	for name, fs := range c.fields {
		if fs == "" {
			parts = append(parts, name)
		} else {
			parts = append(parts, name+`="`+fs+`"`)
		}
	}
	return strings.Join(parts, ", ")
}

// parseSeconds parses delta-seconds: digits only, 31 bits or as many as fit
// (RFC 9111 section 1.2.2).
func parseSeconds(v string) (int64, bool) {
	if v == "" {
		return 0, false
	}
	n := int64(0)
	for i := 0; i < len(v); i++ {
		if v[i] < '0' || v[i] > '9' {
			return 0, false
		}
		n = min(n*10+int64(v[i]-'0'), math.MaxInt32)
	}
	return n, true
}
