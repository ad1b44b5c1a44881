package proxy

import (
	"net/http"
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
// kept, and for how long. The request was sent and the head of the response
// received at the times given; rnd is a random number in [0, 1).
//
// The response to a POST is admitted if it may answer a GET for its
// Content-Location; whether that is the URL posted to is for answersGet to say.
func (p *Policy) admit(a *asked, status int, h http.Header, sent, received time.Time, rnd float64) admission {
	return admission{}
}

// answersGet reports whether the response h to a POST for key may be stored as
// what a GET for key would return: it says so by a Content-Location that is the
// same URL (RFC 9110 sections 8.7 and 9.3.3).
func answersGet(key store.Key, rules *store.KeyRules, h http.Header) bool { return false }
