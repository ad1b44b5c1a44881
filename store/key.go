package store

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// A Key is the canonical form of a request's URL: "scheme://host/path?query",
// host in lower case without the scheme's default port, the query as KeyRules
// leave it.
type Key string

// URL is the key without its scheme: "host/path?query".
func (k Key) URL() string {
	if _, rest, ok := strings.Cut(string(k), "://"); ok {
		return rest
	}
	return string(k)
}

// Scheme is "http" or "https".
func (k Key) Scheme() string {
	s, _, _ := strings.Cut(string(k), "://")
	return s
}

// Host is the key's host, with the port where it is not the scheme's own.
func (k Key) Host() string {
	u := k.URL()
	if i := strings.IndexByte(u, '/'); i >= 0 {
		return u[:i]
	}
	return u
}

// Target is the key's path and query, as they are sent to the origin: the URL
// that is keyed is the URL that is forwarded.
func (k Key) Target() string {
	u := k.URL()
	if i := strings.IndexByte(u, '/'); i >= 0 {
		return u[i:]
	}
	return "/"
}

// Origin is scheme and host: "http://host".
func (k Key) Origin() string { return k.Scheme() + "://" + k.Host() }

// KeyRules say how a URL becomes a key. The zero value keeps the query as it
// came.
type KeyRules struct {
	SortQuery   bool     // order parameters by name, equal names staying in their order
	IgnoreQuery bool     // drop the whole query
	Drop        []string // drop parameters with these names; a trailing * matches any rest
	Keep        []string // if not empty, drop all others
}

// Key returns the canonical key of a request for target (origin-form, RFC 9112
// section 3.2.1: path and query) at host with scheme. Host is compared without
// regard to case, a trailing dot or the scheme's default port. Percent-encodings
// are normalised where RFC 3986 section 6.2.2 says they are equivalent: hex
// digits in upper case, unreserved characters decoded. Nothing else of the path
// is touched: "//", "." and ".." mean what the origin says they mean. Making a
// key from a key's parts returns that key.
func (r *KeyRules) Key(scheme, host, target string) Key {
	path, query, hasQuery := strings.Cut(target, "?")
	if path == "" || path[0] != '/' {
		path = "/" + path
	}
	host = CanonicalHost(scheme, host)
	var b strings.Builder
	b.Grow(len(scheme) + 3 + len(host) + len(target) + 1)
	b.WriteString(scheme)
	b.WriteString("://")
	b.WriteString(host)
	b.WriteString(normalPercent(path))
	if hasQuery {
		if q, ok := r.query(query); ok {
			b.WriteByte('?')
			b.WriteString(q)
		}
	}
	return Key(b.String())
}

// AppendKey appends Key(scheme, host, target) to b. Where there is nothing to
// normalise, as in most requests, it costs no allocation.
func (r *KeyRules) AppendKey(b []byte, scheme, host, target string) []byte {
	path, query, hasQuery := strings.Cut(target, "?")
	if path == "" || path[0] != '/' || strings.IndexByte(target, '%') >= 0 || !isCanonicalHost(scheme, host) ||
		hasQuery && !r.isCanonicalQuery(query) {
		return append(b, r.Key(scheme, host, target)...)
	}
	b = append(b, scheme...)
	b = append(b, "://"...)
	b = append(b, host...)
	if hasQuery && r.IgnoreQuery {
		target = path
	}
	return append(b, target...)
}

// isCanonicalHost reports whether CanonicalHost returns host for sure.
func isCanonicalHost(scheme, host string) bool {
	for i := range len(host) {
		switch c := host[i]; {
		case c == ':':
			port := host[i+1:]
			return i > 0 && host[i-1] != '.' && port != "" && strings.Trim(port, "0123456789") == "" &&
				(scheme != "http" || port != "80") && (scheme != "https" || port != "443")
		case 'A' <= c && c <= 'Z' || c >= 0x80:
			return false
		}
	}
	return host != "" && host[len(host)-1] != '.'
}

// isCanonicalQuery reports whether the rules leave a query without
// percent-encodings as it is, or drop all queries.
func (r *KeyRules) isCanonicalQuery(query string) bool {
	if r.IgnoreQuery || query == "" || !r.SortQuery && len(r.Drop) == 0 && len(r.Keep) == 0 {
		return true
	}
	last := ""
	for p := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(p, "=")
		switch {
		case len(r.Keep) > 0 && !matchAny(r.Keep, name), len(r.Keep) == 0 && matchAny(r.Drop, name), r.SortQuery && name < last:
			return false
		}
		last = name
	}
	return true
}

// query returns what is left of the query; ok is false when the rules dropped
// all of it. An empty query ("/a?") stays one: some origins tell it from none.
func (r *KeyRules) query(query string) (q string, ok bool) {
	if r.IgnoreQuery {
		return "", false
	}
	query = normalPercent(query)
	if query == "" || !r.SortQuery && len(r.Drop) == 0 && len(r.Keep) == 0 {
		return query, true
	}
	params := strings.Split(query, "&")
	n := len(params)
	params = slices.DeleteFunc(params, func(p string) bool {
		name, _, _ := strings.Cut(p, "=")
		if len(r.Keep) > 0 {
			return !matchAny(r.Keep, name)
		}
		return matchAny(r.Drop, name)
	})
	if len(params) == 0 && n > 0 {
		return "", false
	}
	if r.SortQuery {
		slices.SortStableFunc(params, func(a, b string) int {
			a, _, _ = strings.Cut(a, "=")
			b, _, _ = strings.Cut(b, "=")
			return strings.Compare(a, b)
		})
	}
	return strings.Join(params, "&"), true
}

func matchAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if prefix, ok := strings.CutSuffix(p, "*"); ok && strings.HasPrefix(name, prefix) || p == name {
			return true
		}
	}
	return false
}

// CanonicalHost returns host in lower case, without a trailing dot and without
// the port that scheme implies.
func CanonicalHost(scheme, host string) string {
	host = strings.ToLower(host)
	name, port := host, ""
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.Contains(host[i:], "]") {
		name, port = host[:i], host[i+1:]
	}
	name = strings.TrimRight(name, ".")
	if port == "" || scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		return name
	}
	return name + ":" + port
}

const upperHex = "0123456789ABCDEF"

// normalPercent decodes percent-encoded unreserved characters and puts the hex
// digits of the others in upper case. A "%" that begins no encoding stays, and
// so does an encoding whose decoding would make a new one.
func normalPercent(s string) string {
	i := strings.IndexByte(s, '%')
	if i < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	b = append(b, s[:i]...)
	for ; i < len(s); i++ {
		c := s[i]
		if c != '%' || i+2 >= len(s) {
			b = append(b, c)
			continue
		}
		hi, ok1 := unhex(s[i+1])
		lo, ok2 := unhex(s[i+2])
		if !ok1 || !ok2 {
			b = append(b, c)
			continue
		}
		v := hi<<4 | lo
		if unreserved(v) && !endsInPartialEscape(b) {
			b = append(b, v)
		} else {
			b = append(b, '%', upperHex[hi], upperHex[lo])
		}
		i += 2
	}
	return string(b)
}

// endsInPartialEscape reports whether one or two more characters could complete
// a percent-encoding that was not one in the input.
func endsInPartialEscape(b []byte) bool {
	n := len(b)
	if n >= 1 && b[n-1] == '%' {
		return true
	}
	if n >= 2 && b[n-2] == '%' {
		_, ok := unhex(b[n-1])
		return ok
	}
	return false
}

func unhex(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// unreserved is RFC 3986 section 2.3.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}

// ErrBadURL is a URL that names no entry.
var ErrBadURL = errors.New("not a URL that could be cached")

// SplitURL takes apart what people write for a URL in a purge or a dep:
// "https://host/path?query", "host/path" or, where base is not empty, "/path"
// at that host. Scheme is "" when none was given.
func SplitURL(s, base string) (scheme, host, target string, err error) {
	rest := s
	if sch, r, ok := strings.Cut(s, "://"); ok && !strings.ContainsAny(sch, "/?#") {
		scheme, rest = strings.ToLower(sch), r
		if scheme != "http" && scheme != "https" {
			return "", "", "", fmt.Errorf("%w: %q has the scheme %q, only http and https are cached", ErrBadURL, s, sch)
		}
	} else if strings.HasPrefix(s, "/") {
		if base == "" {
			return "", "", "", fmt.Errorf("%w: %q names no host", ErrBadURL, s)
		}
		rest = base + s
	}
	rest, _, _ = strings.Cut(rest, "#")
	i := strings.IndexAny(rest, "/?")
	if i < 0 {
		i = len(rest)
	}
	host, target = rest[:i], rest[i:]
	if target == "" || target[0] == '?' {
		target = "/" + target
	}
	if u, err := url.Parse("//" + host); err != nil || u.Hostname() == "" || u.Host != host || u.User != nil ||
		host[0] != '[' && strings.Count(host, ":") > 1 {
		return "", "", "", fmt.Errorf("%w: %q has no valid host", ErrBadURL, s)
	}
	for i := range len(target) {
		if target[i] <= ' ' || target[i] == 0x7f {
			return "", "", "", fmt.Errorf("%w: %q has white space or a control character", ErrBadURL, s)
		}
	}
	return scheme, host, target, nil
}
