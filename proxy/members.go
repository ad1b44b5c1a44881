package proxy

import (
	"iter"
	"strings"
)

// A member is one directive of a Cache-Control field, or one entity tag of a
// list: what stands between two commas.
type member struct {
	name     string // a token in lower case
	value    string // unquoted; with bad, all of the member as it came
	hasValue bool
	bad      bool // does not follow RFC 9111 section 5.2's grammar
}

// members yields what the lines of a Cache-Control list. Each line is taken for
// itself, so that a quote left open in one cannot swallow the next; for valid
// fields that is the same as joining them.
func members(lines []string) iter.Seq[member] {
	return func(yield func(member) bool) {
		for _, line := range lines {
			for m := range listed(line, true) {
				if !yield(parseMember(m)) {
					return
				}
			}
		}
	}
}

// listed yields what stands between the commas of a list that are not within
// quoted strings, trimmed, empty ones left out. A quote that is never closed
// quotes nothing. escapes says whether a backslash escapes the next character:
// in a quoted-string it does, in an entity tag it does not.
func listed(s string, escapes bool) iter.Seq[string] {
	return func(yield func(string) bool) {
		open := false // a quote was found that is never closed; so are all that follow
		start := 0
		for i := 0; i <= len(s); i++ {
			switch {
			case i == len(s) || s[i] == ',':
				if m := strings.Trim(s[start:i], " \t"); m != "" && !yield(m) {
					return
				}
				start = i + 1
			case s[i] == '"' && !open:
				if end := closingQuote(s[i+1:], escapes); end >= 0 {
					i += 1 + end
				} else {
					open = true
				}
			}
		}
	}
}

// closingQuote returns where in s the quoted string ends, -1 when it does not.
func closingQuote(s string, escapes bool) int {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return i
		case s[i] == '\\' && escapes:
			i++
		}
	}
	return -1
}

func parseMember(s string) member {
	n := 0
	for n < len(s) && isToken(rune(s[n])) {
		n++
	}
	m := member{name: strings.ToLower(s[:n])}
	rest := s[n:]
	switch {
	case n == 0:
		m.bad = true
	case rest == "":
		return m
	case rest[0] != '=' || len(rest) == 1:
		m.bad = true
	case rest[1] == '"':
		end := closingQuote(rest[2:], true)
		m.hasValue = true
		m.bad = end < 0 || 2+end+1 != len(rest)
		if !m.bad {
			m.value = unescape(rest[2 : 2+end])
		}
	default:
		m.value, m.hasValue = rest[1:], true
		for i := 0; i < len(m.value) && !m.bad; i++ {
			m.bad = !isToken(rune(m.value[i]))
		}
	}
	if m.bad {
		return member{value: s, bad: true}
	}
	return m
}

func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}

// isToken reports whether r is a tchar (RFC 9110 section 5.6.2).
func isToken(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return true
	}
	return r < 0x80 && strings.IndexByte("!#$%&'*+-.^_`|~", byte(r)) >= 0
}
