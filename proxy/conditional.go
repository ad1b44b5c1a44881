package proxy

import (
	"net/http"

	"surrogate/store"
)

// setConditional makes out ask whether e is still good: If-None-Match and
// If-Modified-Since from its validators (RFC 9111 section 4.3.1), in place of
// any conditions that out had. It returns false, and sets none, when e has no
// validator.
func setConditional(out http.Header, e *store.Entry) bool { return false }

// selects304 reports whether a 304 with fields h, in answer to setConditional,
// is about e (RFC 9111 section 4.3.4).
func selects304(e *store.Entry, h http.Header) bool { return false }

// notModified evaluates the client's If-None-Match or If-Modified-Since against
// e (RFC 9111 section 4.3.2): true is answered with a 304.
func notModified(req http.Header, e *store.Entry) bool { return false }

// ifRangeMatches evaluates the client's If-Range (RFC 9110 section 13.1.5); true
// when there is none.
func ifRangeMatches(req http.Header, e *store.Entry) bool { return false }
