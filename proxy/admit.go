package proxy

import (
	"math"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"surrogate/store"
)

// An admission is whether and as what a response is kept.
type admission struct {
	keep          bool
	why           Reason     // why not, when it is not kept
	vary          string     // as store.Entry.Vary
	life          store.Life // complete
	privateFields []string   // fields named by no-cache="…" or private="…": they are neither stored nor sent from the store
}

// admit decides whether the response with status and fields h to a request is
// kept, and for how long (RFC 9111 section 3). The request was sent, and the
// head of the response received, at the times given; rnd is a random number in
// [0, 1) for the jitter.
//
// The response to a POST is admitted if it may answer a GET for its
// Content-Location; whether that is the URL posted to is for answersGet to say.
// A 206 is admitted if it may be kept as a part; whether its content is what
// its Content-Range says is for the caller to see.
func (p *Policy) admit(a *asked, status int, h http.Header, sent, received time.Time, rnd float64) admission {
	d, targeted := p.governing(h)
	vary, anyVary := store.ParseVary(h["Vary"])
	life, known := p.lifetime(status, h, &d, targeted, sent, received)
	if why := p.forbids(a, status, h, &d); why != whyNone {
		return admission{why: why}
	}
	switch {
	case anyVary: // section 4.1: no request ever selects it
		return admission{why: whyVaryStar}
	case known != explicit && !d.public && !heuristicStatus(status):
		return admission{why: whyStatus}
	case known != explicit && a.method == http.MethodPost: // RFC 9110 section 9.3.3
		return admission{why: whyMethod}
	case known == nothing && !hasValidator(h):
		return admission{why: whyNoFreshness}
	}
	if status == http.StatusPartialContent {
		if _, _, ok := parseContentRange(h.Get("Content-Range")); !ok || len(h["Content-Range"]) != 1 {
			return admission{why: whyPartial}
		}
	}
	p.limit(&life, sent, received, rnd)
	if !useful(&life, h, received) {
		if d.invalid {
			return admission{why: whyInvalid}
		}
		if d.noCache {
			return admission{why: whyNoCache}
		}
		return admission{why: whyExpired}
	}
	return admission{keep: true, vary: vary, life: life, privateFields: d.fields}
}

// forbids returns what forbids storing the response, whatever its freshness.
func (p *Policy) forbids(a *asked, status int, h http.Header, d *responseDirectives) Reason {
	switch a.method {
	case http.MethodGet:
	case http.MethodPost:
		// Understood for the one case in which what it returns is what a GET
		// would (RFC 9110 section 9.3.3).
		if status != http.StatusOK || len(h["Content-Location"]) != 1 {
			return whyMethod
		}
	default:
		return whyMethod
	}
	authorized := d.public || d.mustRevalidate || d.sMaxAge.ok // section 3.5
	cookie := slices.ContainsFunc([]string{"Set-Cookie", "Set-Cookie2"}, func(n string) bool {
		return len(h[n]) > 0 && !slices.Contains(d.fields, n)
	})
	switch {
	case !storableStatus(status):
		return whyStatus
	case a.directives.noStore: // section 5.2.1.5
		return whyRequestNoStore
	case d.mustUnderstand && !understood(status): // section 5.2.2.3
		return whyMustUnderstand
	case d.noStore && !d.mustUnderstand: // section 5.2.2.5; must-understand has it ignored
		return whyNoStore
	case d.private: // section 5.2.2.7
		return whyPrivate
	case a.authorized && !(p.StoreAuthorized && authorized):
		return whyAuthorization
	case cookie && !p.StoreSetCookie: // section 7.3
		return whySetCookie
	}
	return whyNone
}

// knowledge is where a freshness lifetime comes from.
type knowledge uint8

const (
	nothing   knowledge = iota
	heuristic           // RFC 9111 section 4.2.2
	explicit            // RFC 9111 section 4.2.1
)

// lifetime returns the life that the response has by its fields and the
// policy's defaults, without limits.
func (p *Policy) lifetime(status int, h http.Header, d *responseDirectives, targeted bool, sent, received time.Time) (store.Life, knowledge) {
	date, ok := dateOf(h, "Date", received)
	if !ok {
		date = received // RFC 9110 section 6.6.1
	}
	ttl, known := d.explicitTTL(h, targeted, date)
	if known == nothing {
		ttl, known = p.heuristicTTL(status, h, d, date)
	}
	initialAge, ageKnown := p.initialAge(h, date, sent, received)
	life := store.Life{Born: received.Add(-initialAge), TTL: max(0, ttl), WhileRevalidate: p.WhileRevalidate, IfError: p.IfError, Keep: p.Keep}
	if d.whileRevalidate.ok {
		life.WhileRevalidate = d.whileRevalidate.d
	}
	if d.ifError.ok {
		life.IfError = d.ifError.d
	}
	if known == heuristic {
		life.Flags |= store.Heuristic
	}
	noStale := d.mustRevalidate || d.proxyRevalidate
	if !noStale && d.sMaxAge.ok { // section 5.2.2.10
		noStale = !p.LooseSMaxAge || !d.whileRevalidate.ok && !d.ifError.ok
		if !d.whileRevalidate.ok {
			life.WhileRevalidate = 0
		}
		if !d.ifError.ok {
			life.IfError = 0
		}
	}
	if noStale {
		life.Flags |= store.NoStale
	}
	if d.noCache {
		life.Flags |= store.NoCache
	}
	if !ageKnown {
		// Nobody knows how old it is: not fresh, and not to be shown stale.
		life.TTL = 0
	}
	if noStale || d.noCache || !ageKnown {
		life.WhileRevalidate, life.IfError = 0, 0
	}
	return life, known
}

// explicitTTL is the freshness lifetime that the response states (RFC 9111
// section 4.2.1).
func (d *responseDirectives) explicitTTL(h http.Header, targeted bool, date time.Time) (time.Duration, knowledge) {
	switch {
	case d.sMaxAge.ok:
		return d.sMaxAge.d, explicit
	case d.maxAge.ok:
		return d.maxAge.d, explicit
	case targeted || len(h["Expires"]) == 0:
		return 0, nothing
	}
	// Of several the earliest; an invalid one, "0" above all, is in the past
	// (section 5.3).
	ttl := time.Duration(math.MaxInt64)
	for _, v := range h["Expires"] {
		t, ok := parseDate(v, date)
		if !ok {
			d.invalid = true
			return 0, explicit
		}
		ttl = min(ttl, t.Sub(date))
	}
	return ttl, explicit
}

// heuristicTTL is the life of a response that states none (RFC 9111 section
// 4.2.2), by its Last-Modified or by what the configuration assigns.
func (p *Policy) heuristicTTL(status int, h http.Header, d *responseDirectives, date time.Time) (time.Duration, knowledge) {
	if !heuristicStatus(status) && !d.public {
		return 0, nothing
	}
	if status >= 400 && p.NegativeTTL > 0 {
		return p.NegativeTTL, heuristic
	}
	if lm, ok := dateOf(h, "Last-Modified", date); ok && p.HeuristicFraction > 0 && lm.Before(date) {
		ttl := time.Duration(float64(date.Sub(lm)) * min(p.HeuristicFraction, 1))
		if p.HeuristicMax > 0 {
			ttl = min(ttl, p.HeuristicMax)
		}
		return ttl, heuristic
	}
	if status < 400 && p.DefaultTTL > 0 {
		return p.DefaultTTL, heuristic
	}
	return 0, nothing
}

// initialAge is corrected_initial_age (RFC 9111 section 4.2.3). ok is false when
// the Age field cannot be trusted.
func (p *Policy) initialAge(h http.Header, date, sent, received time.Time) (age time.Duration, ok bool) {
	value, ok := p.ageValue(h["Age"])
	// Date has whole seconds; so has the time it is compared with.
	apparent := max(0, received.Truncate(time.Second).Sub(date))
	return max(apparent, value+max(0, received.Sub(sent))), ok
}

// ageValue reads the Age field. RFC 9111 section 5.1 suggests to use the first
// member of a list and to ignore what is no number, which makes fresh what may
// be old. Safer, and what the public test suite for caches was written to: an
// Age that is not one number, as when the lines of two caches were joined,
// means that nobody knows. Only what follows a comma directly is discarded.
func (p *Policy) ageValue(lines []string) (time.Duration, bool) {
	if len(lines) == 0 {
		return 0, true
	}
	first, rest, _ := strings.Cut(lines[0], ",")
	n, ok := parseSeconds(textproto.TrimString(first))
	if p.IgnoreBadAge {
		if !ok {
			n = 0
		}
		return time.Duration(n) * time.Second, true
	}
	if len(lines) > 1 || strings.ContainsAny(rest, " \t") {
		ok = false
	}
	return time.Duration(n) * time.Second, ok
}

// limit applies the policy's limits to life.
func (p *Policy) limit(life *store.Life, sent, received time.Time, rnd float64) {
	initialAge := received.Sub(life.Born)
	if p.MaxTTL > 0 {
		life.TTL = min(life.TTL, initialAge+p.MaxTTL)
	}
	if late := initialAge - life.TTL; late > 0 && life.Keep > 0 {
		life.Keep += late // kept from its arrival, where it arrives stale
	}
	// Nothing outlives maxLife from when the fetch began: that is when the
	// entry's ticket is from, and how long fences are remembered.
	whole := max(0, sent.Add(p.maxLife()).Sub(life.Born))
	life.TTL = min(life.TTL, whole)
	for _, w := range []*time.Duration{&life.WhileRevalidate, &life.IfError, &life.Keep} {
		*w = max(0, min(*w, whole-life.TTL))
	}
	if left := life.TTL - initialAge; left > 0 && p.Jitter > 0 {
		life.TTL -= time.Duration(float64(left) * min(p.Jitter, 1) * rnd)
	}
}

// useful reports whether anything can ever be done with a response stored with
// that life: shown fresh or stale, or revalidated.
func useful(life *store.Life, h http.Header, received time.Time) bool {
	if !life.Ends().After(received) {
		return false
	}
	if hasValidator(h) {
		return true
	}
	// Without one, what was never fresh is not worth keeping for the rare client
	// whose max-stale would have it.
	return !life.Flags.Has(store.NoCache) && (life.TTL > 0 || life.WhileRevalidate > 0 || life.IfError > 0)
}

func hasValidator(h http.Header) bool { return len(h["Etag"]) > 0 || len(h["Last-Modified"]) > 0 }

// heuristicStatus reports whether responses with the status are cacheable by
// heuristics (RFC 9110 section 15.1).
func heuristicStatus(status int) bool {
	switch status {
	case 200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501:
		return true
	}
	return false
}

// storableStatus reports whether a response with the status may be stored at
// all, if it says so: all final ones but those that answer something in the
// request which is not part of the key, and those that may never be: 428, 429,
// 431 and 511 (RFC 6585).
func storableStatus(status int) bool {
	switch status {
	case http.StatusNotModified, http.StatusProxyAuthRequired, http.StatusPreconditionFailed,
		http.StatusRequestedRangeNotSatisfiable, http.StatusExpectationFailed,
		http.StatusPreconditionRequired, http.StatusTooManyRequests,
		http.StatusRequestHeaderFieldsTooLarge, http.StatusNetworkAuthenticationRequired:
		return false
	}
	return status >= 200 && status <= 999
}

// understood reports whether the status is one whose caching this proxy knows
// the requirements of (RFC 9111 section 5.2.2.3): those that RFC 9110 defines.
func understood(status int) bool {
	return storableStatus(status) && status != 418 && http.StatusText(status) != ""
}

// answersGet reports whether the response h to a POST for key may be stored as
// what a GET for key would return: it says so by a Content-Location that is the
// same URL (RFC 9110 sections 8.7 and 9.3.3).
func answersGet(key store.Key, rules *store.KeyRules, h http.Header) bool {
	if len(h["Content-Location"]) != 1 {
		return false
	}
	loc := h["Content-Location"][0]
	switch {
	case strings.HasPrefix(loc, "//"):
		loc = key.Scheme() + ":" + loc
	case !strings.HasPrefix(loc, "/") && !strings.Contains(loc, "://"):
		return false // relative to the path; nobody means this one by it
	}
	scheme, host, target, err := store.SplitURL(loc, key.Host())
	if err != nil {
		return false
	}
	if scheme == "" {
		scheme = key.Scheme()
	}
	return rules.Key(scheme, host, target) == key
}
