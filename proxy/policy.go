package proxy

import "time"

// A Policy is what one site's configuration says about caching. The zero value
// is RFC 9111 as a shared cache, with safe defaults and nothing assumed.
type Policy struct {
	// Targeted names the fields that speak to caches like this one, in order of
	// preference (RFC 9213 section 2.2). Surrogate-Control among them has the
	// syntax of the Edge Architecture note; all others are structured fields.
	Targeted []string

	DefaultTTL  time.Duration // life of a response that says nothing; 0 for none
	MaxTTL      time.Duration // longest time fresh from arrival here; 0 for no cap
	NegativeTTL time.Duration // life of a 404, 410 and their like that say nothing; 0 for what DefaultTTL does not cover: heuristics

	HeuristicFraction float64       // of Date less Last-Modified; 0 for no heuristics
	HeuristicMax      time.Duration // longest heuristic life; 0 for no cap

	// Windows where the origin names none.
	WhileRevalidate time.Duration
	IfError         time.Duration // RFC 9111 section 4.2.4 lets a cache that is cut off from the origin show what is stale
	Keep            time.Duration // kept past all other windows, to be revalidated

	MaxLife time.Duration // cap of everything, windows included, from the start of the fetch; 0 for 7 days
	Jitter  float64       // the time left fresh is shortened by a random share up to this

	StoreSetCookie  bool // false: a response with Set-Cookie is not stored
	StoreAuthorized bool // false: requests with Authorization pass; true: RFC 9111 section 3.5

	// Capability is this proxy's device token: what Surrogate-Capability tells
	// the origin, and what Surrogate-Control's targeting is compared with.
	Capability string

	// LooseSMaxAge honours a stale-while-revalidate or stale-if-error that stands
	// beside s-maxage, as some CDNs do and some frameworks rely on. RFC 9111
	// section 5.2.2.10 has s-maxage forbid all use when stale.
	LooseSMaxAge bool
	// IgnoreBadAge reads Age as RFC 9111 section 5.1 suggests: the first member of
	// a list, and what is no number not at all. False takes a response whose Age
	// cannot be trusted for stale.
	IgnoreBadAge bool
}

// maxLife is the cap of a whole life.
func (p *Policy) maxLife() time.Duration {
	if p.MaxLife > 0 {
		return p.MaxLife
	}
	return 7 * 24 * time.Hour
}

// A Reason is why a response was not kept, or why a request went to the origin:
// the detail of Cache-Status, the label of a metric, the answer of explain.
type Reason uint8

// The reasons. Those of admit come first, then those of decide, then those of
// what happens between the two.
const (
	whyNone            Reason = iota
	whyMethod                 // a method whose responses are not stored
	whyStatus                 // a status that is not stored, or not without explicit freshness
	whyMustUnderstand         // must-understand, and the status is not understood
	whyNoStore                // the response says no-store
	whyRequestNoStore         // the request says no-store
	whyPrivate                // the response says private
	whySetCookie              // the response sets a cookie
	whyAuthorization          // the request has Authorization
	whyVaryStar               // Vary: *
	whyNoFreshness            // neither freshness nor a validator
	whyExpired                // stale on arrival, and of no use when stale
	whyInvalid                // its Cache-Control cannot be understood
	whyPartial                // partial content that cannot be kept, or not what was asked for
	whyFresh                  // fresh
	whyMiss                   // nothing stored
	whyStale                  // no longer fresh
	whySoftPurged             // stale by a soft purge
	whyDoubt                  // older than the purges still known
	whyNoCache                // the stored response says no-cache
	whyRequestNoCache         // the request says no-cache
	whyRequestMaxAge          // older than the request's max-age
	whyRequestMinFresh        // not fresh for as long as the request's min-fresh
	whyRequestMaxStale        // stale, and the request's max-stale accepts that
	whyOnlyIfCached           // only-if-cached, and nothing to show
	whyPrecondition           // a precondition that only the origin can judge
	whyTooLarge               // larger than is stored
	whyPurged                 // purged while it was fetched
	whyStore                  // the store failed
	numReasons
)

// String is the reason's name: a token in the sense of RFC 9651.
func (r Reason) String() string {
	if r < numReasons {
		return reasonNames[r]
	}
	return "unknown"
}

var reasonNames = [numReasons]string{
	whyNone:            "none",
	whyMethod:          "method",
	whyStatus:          "status",
	whyMustUnderstand:  "must-understand",
	whyNoStore:         "no-store",
	whyRequestNoStore:  "request-no-store",
	whyPrivate:         "private",
	whySetCookie:       "set-cookie",
	whyAuthorization:   "authorization",
	whyVaryStar:        "vary-star",
	whyNoFreshness:     "no-freshness",
	whyExpired:         "expired",
	whyInvalid:         "invalid-cache-control",
	whyPartial:         "partial",
	whyFresh:           "fresh",
	whyMiss:            "miss",
	whyStale:           "stale",
	whySoftPurged:      "soft-purged",
	whyDoubt:           "doubt",
	whyNoCache:         "no-cache",
	whyRequestNoCache:  "request-no-cache",
	whyRequestMaxAge:   "request-max-age",
	whyRequestMinFresh: "request-min-fresh",
	whyRequestMaxStale: "request-max-stale",
	whyOnlyIfCached:    "only-if-cached",
	whyPrecondition:    "precondition",
	whyTooLarge:        "too-large",
	whyPurged:          "purged",
	whyStore:           "store-error",
}
