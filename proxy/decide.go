package proxy

import (
	"net/http"
	"time"

	"surrogate/store"
)

// asked is what a request wants of a cache.
type asked struct {
	method      string
	header      http.Header
	directives  requestDirectives
	authorized  bool // has Authorization
	conditional bool // has If-None-Match or If-Modified-Since, which a cache evaluates
	foreign     bool // has If-Match or If-Unmodified-Since, which only the origin does (RFC 9111 section 4.3.2)
	ranged      bool // is a GET with Range
}

func parseAsked(method string, h http.Header) asked { return asked{} }

// action is what to do with a request.
type action uint8

const (
	actFetch      action = iota // ask the origin: nothing stored can be used
	actHit                      // show the entry
	actStale                    // show the entry and refresh it in the background
	actRevalidate               // ask the origin whether the entry is still good, or for what it lacks
	actPass                     // ask the origin, store nothing, share nothing
	actRefuse                   // answer 504: only-if-cached, and nothing to show
)

// A decision is what to do with a request.
type decision struct {
	act     action
	fwd     string // why the request goes to the origin, as Cache-Status has it (RFC 9211 section 2.2); "" for a hit
	why     Reason
	age     time.Duration // the entry's
	fresh   time.Duration // how long it stays fresh; negative when it is stale
	onError bool          // the entry may be shown instead of an error (stale-if-error)
	partial bool          // with actRevalidate: the entry is incomplete; ask for missingRange
}

// decide says what to do with a request, given what the store found.
func (p *Policy) decide(a *asked, f *store.Found, now time.Time) decision { return decision{} }

// age is the entry's current age (RFC 9111 section 4.2.3).
func age(e *store.Entry, now time.Time) time.Duration { return max(0, now.Sub(e.Life.Born)) }

// freshUntil is when what was found stops being fresh, or when it did: a soft
// purge never extends a life.
func freshUntil(f *store.Found) time.Time { return f.Entry.Life.Expires() }
