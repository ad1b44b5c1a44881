package store

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// Fields are the fields of a request. http.Header is one.
type Fields interface {
	// Values returns the field's values, nil when it is absent. The name is in
	// canonical form.
	Values(name string) []string
}

// A Pick holds the values that the fields of a Vary had in one request, a line
// "name: value" for each field that was present. Two requests select the same
// entry if their picks are equal (RFC 9111, section 4.1).
type Pick string

// ParseVary returns the fields listed by the values of a Vary field in the form
// Entry.Vary has: lower case, sorted, without repetitions, comma-joined. Any is
// true when "*" is among them: no request ever selects such a response.
func ParseVary(values []string) (vary string, any bool) {
	var names []string
	for _, v := range values {
		for n := range strings.SplitSeq(v, ",") {
			n = strings.ToLower(strings.Trim(n, " \t"))
			if n == "*" {
				return "", true
			}
			if n != "" {
				names = append(names, n)
			}
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), ","), false
}

// PickOf returns the pick of a request with these fields for a Vary in the form
// ParseVary gives it. Values are compared as RFC 9111 section 4.1 allows:
// repeated lines joined, white space around list members normalised. An absent
// field differs from an empty one.
func PickOf(vary string, ask Fields) Pick {
	if vary == "" {
		return ""
	}
	var b strings.Builder
	for n := range strings.SplitSeq(vary, ",") {
		vs := ask.Values(textproto.CanonicalMIMEHeaderKey(n))
		if vs == nil {
			continue
		}
		b.WriteString(n)
		b.WriteString(": ")
		for i, v := range vs {
			if i > 0 {
				b.WriteString(", ")
			}
			writeNormal(&b, v)
		}
		b.WriteByte('\n')
	}
	return Pick(b.String())
}

// writeNormal writes v with the optional white space around its commas
// normalised outside quoted strings.
func writeNormal(b *strings.Builder, v string) {
	v = strings.Trim(v, " \t")
	if strings.IndexByte(v, ',') < 0 {
		b.WriteString(v)
		return
	}
	quoted := false
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case quoted && c == '\\' && i+1 < len(v):
			b.WriteByte(c)
			i++
			b.WriteByte(v[i])
		case c == '"':
			quoted = !quoted
			b.WriteByte(c)
		case !quoted && (c == ' ' || c == '\t'):
			j := i
			for j < len(v) && (v[j] == ' ' || v[j] == '\t') {
				j++
			}
			if v[j] != ',' {
				b.WriteString(v[i:j])
			}
			i = j - 1
		case !quoted && c == ',':
			b.WriteString(", ")
			for i+1 < len(v) && (v[i+1] == ' ' || v[i+1] == '\t') {
				i++
			}
		default:
			b.WriteByte(c)
		}
	}
}

// Header returns request fields that have this pick.
func (p Pick) Header() http.Header {
	h := make(http.Header)
	for line := range strings.Lines(string(p)) {
		n, v, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		h.Add(n, v)
	}
	return h
}
