package store

import (
	"iter"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
)

// A Head is a list of fields in the form they have on the wire, "Name: value"
// and CRLF each, names in canonical form. It is made of strings so that reading
// one field costs nothing and nobody can edit it in place.
//
// It is in one piece, or in two of which a store keeps the second once for the many
// entries that have it alike. So Heads are not compared with ==. The lines of one
// name keep their order; that of names means nothing, and a store may change it.
type Head struct {
	own    string
	common *string
}

// HeadText is the Head with this text.
func HeadText(text string) Head { return Head{own: text} }

// HeadOf renders h, in no particular order of names, values of one name in
// their order.
func HeadOf(h http.Header) Head { return HeadOfSome(h, func(string) bool { return true }) }

// HeadOfSome renders as HeadOf does the fields of h whose names are to be kept.
func HeadOfSome(h http.Header, keep func(name string) bool) Head {
	at := heads.Get().(*[]byte)
	defer heads.Put(at)
	b := (*at)[:0]
	for k, vs := range h {
		if !keep(k) {
			continue
		}
		for _, v := range vs {
			b = append(append(append(append(b, k...), ": "...), v...), "\r\n"...)
		}
	}
	*at = b
	return HeadText(string(b))
}

// heads are where heads are written before it is known how long they are.
var heads = sync.Pool{New: func() any { return new([]byte) }}

// With returns h with common as its second piece, nil for none. No name may be in
// both.
func (h Head) With(common *string) Head { return Head{h.own, common} }

// And returns the fields of h, and then those of the others.
func (h Head) And(others ...Head) Head {
	text := h.String()
	for _, o := range others {
		text += o.String()
	}
	return HeadText(text)
}

// pieces are both.
func (h Head) pieces() [2]string {
	if h.common == nil {
		return [2]string{h.own}
	}
	return [2]string{h.own, *h.common}
}

// String is the text of all of it.
func (h Head) String() string {
	if h.common == nil {
		return h.own
	}
	return h.own + *h.common
}

// Len is how long the text is.
func (h Head) Len() int {
	p := h.pieces()
	return len(p[0]) + len(p[1])
}

// AppendTo appends the text to b.
func (h Head) AppendTo(b []byte) []byte {
	p := h.pieces()
	return append(append(b, p[0]...), p[1]...)
}

// Count is how many field lines there are.
func (h Head) Count() int {
	p := h.pieces()
	return strings.Count(p[0], "\r\n") + strings.Count(p[1], "\r\n")
}

// Lines yields each field line with its CRLF.
func (h Head) Lines() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, s := range h.pieces() {
			for s != "" {
				end := strings.IndexByte(s, '\n') + 1
				if end == 0 {
					end = len(s)
				}
				if !yield(s[:end]) {
					return
				}
				s = s[end:]
			}
		}
	}
}

// All yields name and value of each field line.
func (h Head) All() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, s := range h.pieces() {
			for s != "" {
				var line string
				line, s, _ = strings.Cut(s, "\r\n")
				name, value, _ := strings.Cut(line, ": ")
				if !yield(name, value) {
					return
				}
			}
		}
	}
}

// Get returns the first value of the field, "" when there is none. The name
// must be in canonical form.
func (h Head) Get(name string) string {
	for k, v := range h.All() {
		if k == name {
			return v
		}
	}
	return ""
}

// Has reports whether the field is there, even if empty. The name must be in
// canonical form.
func (h Head) Has(name string) bool {
	for k := range h.All() {
		if k == name {
			return true
		}
	}
	return false
}

// Values returns all values of the field, in their order.
func (h Head) Values(name string) []string {
	name = textproto.CanonicalMIMEHeaderKey(name)
	var vs []string
	for k, v := range h.All() {
		if k == name {
			vs = append(vs, v)
		}
	}
	return vs
}

// Header returns a new http.Header with the same fields.
func (h Head) Header() http.Header {
	m := make(http.Header, 16)
	h.AddTo(m)
	return m
}

// AddTo adds the fields to m.
func (h Head) AddTo(m http.Header) {
	for k, v := range h.All() {
		m[k] = append(m[k], v)
	}
}
