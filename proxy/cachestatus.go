package proxy

import (
	"strconv"
	"time"
)

// A cacheStatus is this cache's member of a Cache-Status field (RFC 9211).
type cacheStatus struct {
	hit       bool
	fwd       string // "" when it was not forwarded
	fwdStatus int    // the origin's status; 0 when there was none
	ttl       time.Duration
	hasTTL    bool
	stored    bool
	collapsed bool
	key       string // only shown when debugging is on: it helps poisoning (RFC 9211 section 6)
	detail    string // a token, such as a Reason's name, or any text; "" for none
}

// String renders the member.
func (s cacheStatus) String() string { return string(s.append(make([]byte, 0, 64))) }

func (s cacheStatus) append(b []byte) []byte {
	b = append(b, "surrogate"...)
	if s.hit && s.fwd == "" { // section 2.1: hit and fwd exclude each other
		b = append(b, "; hit"...)
	}
	if s.fwd != "" {
		b = append(b, "; fwd="...)
		b = append(b, s.fwd...)
		if s.fwdStatus > 0 {
			b = append(b, "; fwd-status="...)
			b = strconv.AppendInt(b, int64(s.fwdStatus), 10)
		}
	}
	if s.hasTTL {
		// Whole seconds, rounded down, so that no ttl is promised that is not
		// there; negative for how long it is stale.
		n := int64(s.ttl / time.Second)
		if s.ttl%time.Second < 0 {
			n--
		}
		b = append(b, "; ttl="...)
		b = strconv.AppendInt(b, n, 10)
	}
	if s.stored {
		b = append(b, "; stored"...)
	}
	if s.collapsed {
		b = append(b, "; collapsed"...)
	}
	if s.key != "" {
		b = append(b, "; key="...)
		b = appendQuoted(b, s.key)
	}
	if s.detail != "" {
		b = append(b, "; detail="...)
		if isSFToken(s.detail) {
			b = append(b, s.detail...)
		} else {
			b = appendQuoted(b, s.detail)
		}
	}
	return b
}

// isSFToken reports whether s can be written as a token (RFC 9651 section
// 3.3.4).
func isSFToken(s string) bool {
	for i, c := range s {
		alpha := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '*'
		if !alpha && (i == 0 || !isToken(c) && c != ':' && c != '/') {
			return false
		}
	}
	return s != ""
}

// appendQuoted appends s as a string (RFC 9651 section 3.3.3). What a string
// cannot hold is percent-encoded.
func appendQuoted(b []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c < ' ' || c > '~':
			b = append(b, '%', hex[c>>4], hex[c&15])
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
