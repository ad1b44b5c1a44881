package proxy

import (
	"net/http"
	"time"

	"surrogate/store"
)

// freshen returns e as updated by the fields h of a 304, or of a 200 to a HEAD
// (RFC 9111 sections 3.2, 4.3.4, 4.3.5), with a new life. The caller sets what
// else changes: Ticket, and Vary, Pick and Alt when the fields have another Vary.
func freshen(e *store.Entry, h http.Header, life store.Life) store.Entry { return *e }

// refresh admits e anew as updated by the fields h of a 304, or of a 200 to a
// HEAD: freshness is that of the updated fields, counted from the new response.
func (p *Policy) refresh(a *asked, e *store.Entry, h http.Header, sent, received time.Time, rnd float64) (store.Entry, admission) {
	return *e, admission{}
}

// headMatches reports whether the 200 to a HEAD with fields h describes e: then
// it freshens e, else e is to be considered stale (RFC 9111 section 4.3.5).
func headMatches(e *store.Entry, h http.Header) bool { return false }

// storedHead is what of a response's fields is stored: all but Age, the
// hop-by-hop ones (RFC 9111 section 3.1) and those that omit names.
func storedHead(h http.Header, omit []string) store.Head { return store.HeadOf(h) }
