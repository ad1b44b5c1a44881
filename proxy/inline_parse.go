package proxy

import (
	"bytes"
	"encoding/binary"
	"unsafe"
)

// A plainAsk is what the inline parser took from a request. Its strings are
// views of the bytes that were parsed.
type plainAsk struct {
	head   bool   // HEAD, else GET
	target string // path and query, as the client wrote them
	host   string
	fields string // all field lines, CRLF included

	readdressed bool // has X-Forwarded-Host, which counts if the peer is trusted
	remarkable  bool // has a field that a cache may not overlook, and so is for the handler

	proto     [1]string // X-Forwarded-Proto, the last where there are several; so does that
	cookie    [1]string // Cookie, the last where there are several
	encoding  [1]string // Accept-Encoding
	noneMatch [1]string // If-None-Match
	since     [1]string // If-Modified-Since
	protos    uint8     // how often those came
	encodings uint8
	cookies   uint8
	matches   uint8
	sinces    uint8
}

// parsePlain takes one request from the front of b and returns its length. It is
// 0 for what is incomplete, or is anything but a plain GET or HEAD about which
// net/http could have no other opinion: lines that end in CRLF, a path of
// harmless characters, one plain Host, no content, and nothing that concerns the
// connection.
func (a *plainAsk) parsePlain(b []byte) int {
	*a = plainAsk{}
	at := 0
	switch {
	case len(b) > 18 && string(b[:4]) == "GET ":
		at = 4
	case len(b) > 18 && string(b[:5]) == "HEAD ":
		at, a.head = 5, true
	default:
		return 0
	}
	end := at
	for end < len(b) && targetByte[b[end]] {
		if b[end] == '%' && (end+2 >= len(b) || !hexByte[b[end+1]] || !hexByte[b[end+2]]) {
			return 0
		}
		end++
	}
	const version = " HTTP/1.1\r\n"
	if end == at || b[at] != '/' || len(b)-end < len(version) || string(b[end:end+len(version)]) != version {
		return 0
	}
	a.target = view(b[at:end])
	if len(a.target) > 1 && a.target[1] == '/' {
		return 0 // some take it for a host
	}
	first := end + len(version)
	for at = first; ; {
		line := b[at:]
		if len(line) >= 2 && line[0] == '\r' && line[1] == '\n' {
			break
		}
		n := bytes.IndexByte(line, '\n') + 1
		if n < 4 || line[n-2] != '\r' || !a.field(line[:n-2]) {
			return 0
		}
		at += n
	}
	a.fields = view(b[first:at])
	if a.host == "" {
		return 0
	}
	return at + 2
}

// field takes note of a field line, without its end. It returns false where the
// request is not a plain one.
func (a *plainAsk) field(line []byte) bool {
	n := 0
	for n < len(line) && tokenByte[line[n]] {
		n++
	}
	if n == 0 || n == len(line) || line[n] != ':' || !isClean(line[n+1:]) {
		return false
	}
	name, value := line[:n], line[n+1:]
	switch name[0] | 0x20 {
	case 'h':
		switch {
		case isNamed(name, "host"):
			return a.setHost(trimmed(value))
		case isNamed(name, "http2-settings"):
			return false
		}
	case 'a':
		switch {
		case isNamed(name, "accept-encoding"):
			a.encoding[0] = trimmed(value)
			return count(&a.encodings)
		case isNamed(name, "authorization"):
			a.remarkable = true
		}
	case 'c':
		switch {
		case isNamed(name, "cookie"):
			a.cookie[0] = trimmed(value)
			return count(&a.cookies)
		case isNamed(name, "connection"):
			v := trimmed(value)
			return len(v) == 10 && equalFold(v, "keep-alive")
		case isNamed(name, "cache-control"), isNamed(name, "cdn-loop"):
			a.remarkable = true
		case isNamed(name, "content-length"):
			return false
		}
	case 'i':
		switch {
		case isNamed(name, "if-none-match"):
			a.noneMatch[0] = trimmed(value)
			return count(&a.matches)
		case isNamed(name, "if-modified-since"):
			a.since[0] = trimmed(value)
			return count(&a.sinces)
		case isNamed(name, "if-match"), isNamed(name, "if-unmodified-since"), isNamed(name, "if-range"):
			a.remarkable = true
		}
	case 'x':
		switch {
		case isNamed(name, "x-forwarded-host"):
			a.readdressed = true
		case isNamed(name, "x-forwarded-proto"):
			a.proto[0] = trimmed(value)
			return count(&a.protos)
		}
	case 'e':
		return !isNamed(name, "expect")
	case 'p':
		return !isNamed(name, "pragma") // net/http makes it a Cache-Control
	case 'r':
		a.remarkable = a.remarkable || isNamed(name, "range")
	case 't':
		return !isNamed(name, "transfer-encoding") && !isNamed(name, "trailer")
	case 'u':
		return !isNamed(name, "upgrade")
	}
	return true
}

// setHost takes the one Host of lower-case letters, digits, dots, hyphens and
// underscores, with a port or without.
func (a *plainAsk) setHost(host string) bool {
	if a.host != "" || host == "" || host[0] == ':' {
		return false
	}
	for i := range len(host) {
		switch c := host[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '.', c == '-', c == '_':
		case c == ':' && i > 0 && host[i-1] != '.':
			port := host[i+1:]
			for j := range len(port) {
				if port[j] < '0' || port[j] > '9' {
					return false
				}
			}
			if port == "" {
				return false
			}
			a.host = host
			return true
		default:
			return false
		}
	}
	if host[len(host)-1] == '.' {
		return false
	}
	a.host = host
	return true
}

// all returns the values of a field that came n times, the last as in one.
func (a *plainAsk) all(name string, one *[1]string, n uint8) []string {
	switch n {
	case 0:
		return nil
	case 1:
		return one[:]
	}
	return a.values(name)
}

// values returns the values of a field, nil where there is none. The name is in
// canonical form.
func (a *plainAsk) values(name string) []string {
	var out []string
	for rest := a.fields; rest != ""; {
		i := bytes.IndexByte(unsafe.Slice(unsafe.StringData(rest), len(rest)), '\n')
		line := rest[:i-1]
		rest = rest[i+1:]
		if len(line) > len(name) && line[len(name)] == ':' && equalFold(line[:len(name)], name) {
			out = append(out, trim(line[len(name)+1:]))
		}
	}
	return out
}

func count(n *uint8) bool {
	*n++
	return *n < 255
}

// view is b as a string, as long as b does not change.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func trimmed(b []byte) string { return trim(view(b)) }

func trim(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// isNamed reports whether a field has a name, which is given in lower case.
func isNamed(name []byte, lower string) bool {
	return len(name) == len(lower) && equalFold(view(name), lower)
}

// equalFold compares two strings of one length without regard to the case of
// ASCII letters.
func equalFold(a, b string) bool {
	for i := range len(a) {
		x, y := a[i], b[i]
		if 'A' <= x && x <= 'Z' {
			x |= 0x20
		}
		if 'A' <= y && y <= 'Z' {
			y |= 0x20
		}
		if x != y {
			return false
		}
	}
	return true
}

// isClean reports whether b has no control character but tabs: what a field's
// value may have (RFC 9110, section 5.5).
func isClean(b []byte) bool {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	for len(b) >= 8 {
		// A byte below 0x20 or equal to 0x7f makes a high bit somewhere here; so may
		// a few others, and the slow look decides.
		x := binary.LittleEndian.Uint64(b)
		del := x ^ 0x7f*ones
		if ((x-0x20*ones)&^x|(del-ones)&^del)&highs != 0 && !isCleanSlow(b[:8]) {
			return false
		}
		b = b[8:]
	}
	return isCleanSlow(b)
}

func isCleanSlow(b []byte) bool {
	for _, c := range b {
		if c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// The characters of a name (RFC 9110, section 5.6.2), of a target that no parser
// stumbles over (RFC 3986, sections 3.3 and 3.4), and of a hexadecimal number.
var tokenByte, targetByte, hexByte = tables()

func tables() (token, target, hex [256]bool) {
	for c := range 256 {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
			token[c], target[c] = true, true
			hex[c] = c <= '9' || c|0x20 <= 'f'
		}
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		token[c] = true
	}
	for _, c := range "/-._~!$&'()*+,;=:@?%[]" {
		target[c] = true
	}
	return
}
