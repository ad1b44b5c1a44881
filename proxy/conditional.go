package proxy

import (
	"net/http"
	"strings"
	"time"

	"surrogate/store"
)

// setConditional makes out ask whether e is still good: If-None-Match and
// If-Modified-Since from its validators, byte for byte (RFC 9111 section
// 4.3.1), in place of any conditions that out had. It returns false, and sets
// none, when e has no validator.
func setConditional(out http.Header, e *store.Entry) bool {
	for _, n := range []string{"If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range"} {
		delete(out, n)
	}
	ok := false
	if tag := e.Head.Get("Etag"); tag != "" {
		out["If-None-Match"] = []string{tag}
		ok = true
	}
	if lm := e.Head.Get("Last-Modified"); lm != "" {
		if _, valid := parseDate(lm, e.Life.Born); valid {
			out["If-Modified-Since"] = []string{lm}
			ok = true
		}
	}
	return ok
}

// selects304 reports whether a 304 with fields h, in answer to setConditional,
// is about e (RFC 9111 section 4.3.4). We ask about one entry at a time, so it
// can be about no other: an ETag that differs is taken for a slip of the origin
// (mod_deflate makes it), where the RFC would have the 304 wasted. A
// Last-Modified that differs, with no ETag to go by, means another response.
func selects304(e *store.Entry, h http.Header) bool {
	tag, lm := e.Head.Get("Etag"), e.Head.Get("Last-Modified")
	if tag != "" {
		return true
	}
	if lm == "" {
		return false // we did not ask
	}
	vs := h["Last-Modified"]
	if len(vs) == 0 || len(h["Etag"]) > 0 {
		return true
	}
	a, ok1 := parseDate(lm, e.Life.Born)
	b, ok2 := parseDate(vs[0], e.Life.Born)
	return ok1 && ok2 && a.Equal(b)
}

// notModified evaluates the client's If-None-Match or If-Modified-Since against
// e (RFC 9111 section 4.3.2, RFC 9110 section 13.2.2): true is answered with a
// 304. Preconditions are only evaluated for what would succeed (RFC 9110
// section 13.2.1).
func notModified(req http.Header, e *store.Entry) bool {
	return notModifiedBy(req["If-None-Match"], req["If-Modified-Since"], e)
}

// notModifiedBy is notModified by the lines of the two fields.
func notModifiedBy(noneMatch, since []string, e *store.Entry) bool {
	if e.Status/100 != 2 {
		return false
	}
	if len(noneMatch) > 0 {
		return noneMatchFails(noneMatch, e.Head.Get("Etag"))
	}
	if len(since) != 1 {
		return false
	}
	asked, ok := parseDate(since[0], e.Life.Born)
	if !ok {
		return false // RFC 9110 section 13.1.3: ignored
	}
	// Without Last-Modified, Date stands for it: what the client has may have
	// changed until then.
	changed, ok := parseDate(e.Head.Get("Last-Modified"), e.Life.Born)
	if !ok {
		if changed, ok = parseDate(e.Head.Get("Date"), e.Life.Born); !ok {
			changed = e.Life.Born
		}
	}
	return !changed.After(asked)
}

// noneMatchFails reports whether one of the entity tags listed is tag, by weak
// comparison (RFC 9110 sections 8.8.3.2 and 13.1.2), or "*" is among them. Tags
// that break the grammar match what is the same byte for byte: the origin made
// them up, and the client sends them back.
func noneMatchFails(lines []string, tag string) bool {
	for _, line := range lines {
		for t := range listed(line, false) {
			if t == "*" || tag != "" && opaque(t) == opaque(tag) {
				return true
			}
		}
	}
	return false
}

// opaque is an entity tag without its weakness.
func opaque(tag string) string {
	if rest, ok := strings.CutPrefix(tag, "W/"); ok && strings.HasPrefix(rest, `"`) {
		return rest
	}
	return tag
}

// isStrongTag reports whether tag is a strong entity tag that follows the
// grammar.
func isStrongTag(tag string) bool {
	return len(tag) >= 2 && tag[0] == '"' && strings.IndexByte(tag[1:], '"') == len(tag)-2
}

// ifRangeMatches evaluates the client's If-Range against e, by strong
// comparison (RFC 9110 section 13.1.5); true when there is none.
func ifRangeMatches(req http.Header, e *store.Entry) bool {
	lines := req["If-Range"]
	switch {
	case len(lines) == 0:
		return true
	case len(lines) > 1:
		return false
	}
	v := strings.Trim(lines[0], " \t")
	if strings.Contains(v, `"`) {
		return isStrongTag(v) && v == e.Head.Get("Etag")
	}
	t, ok := parseDate(v, e.Life.Born)
	if !ok {
		return false
	}
	lm, strong := strongDate(e)
	return strong && lm.Equal(t)
}

// strongDate returns the entry's Last-Modified if it is a strong validator (RFC
// 9110 section 8.8.2.2): the response is a minute younger, so that no later
// change could have gone unnoticed by a clock of whole seconds, nor by two
// clocks that nearly agree.
func strongDate(e *store.Entry) (time.Time, bool) {
	lm, ok := parseDate(e.Head.Get("Last-Modified"), e.Life.Born)
	date, ok2 := parseDate(e.Head.Get("Date"), e.Life.Born)
	return lm, ok && ok2 && date.Sub(lm) >= time.Minute
}

// strongValidator returns the entry's strong validator in the form that
// If-Range has, "" when it has none.
func strongValidator(e *store.Entry) string {
	if tag := e.Head.Get("Etag"); tag != "" {
		if isStrongTag(tag) {
			return tag
		}
		return "" // the origin says itself that it is weak
	}
	if _, ok := strongDate(e); ok {
		return e.Head.Get("Last-Modified")
	}
	return ""
}
