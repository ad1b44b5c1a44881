package store

import (
	"cmp"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
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
// repeated lines joined, white space around list members normalised, and
// Accept-Language by what it says: tags in lower case, ordered by weight. An
// absent field differs from an empty one.
func PickOf(vary string, ask Fields) Pick {
	if vary == "" {
		return ""
	}
	return pickOf(vary, ask, "")
}

const acceptLanguage = "accept-language"

// AltPick returns a second pick by which a request may select an entry, ""
// where there is none: instead of all it accepts, the one language it prefers
// to all others. A response in just that language is what the origin would have
// negotiated (RFC 9111 section 4.1 lets a cache rank by the field's own
// mechanism). An entry whose content is in one language is stored with the
// AltPick of a request for that language alone.
func AltPick(vary string, ask Fields) Pick {
	if !strings.Contains(vary, acceptLanguage) {
		return ""
	}
	best := bestLanguage(ask.Values("Accept-Language"))
	if best == "" {
		return ""
	}
	return pickOf(vary, ask, best)
}

// AltPickFor is the AltPick that an entry is stored with: that of a request
// with these fields, were it for the one language that contentLanguage names.
func AltPickFor(vary string, ask Fields, contentLanguage []string) Pick {
	if !strings.Contains(vary, acceptLanguage) || len(contentLanguage) != 1 || strings.ContainsRune(contentLanguage[0], ',') {
		return ""
	}
	lang := strings.ToLower(strings.Trim(contentLanguage[0], " \t"))
	if lang == "" {
		return ""
	}
	return pickOf(vary, ask, lang)
}

// pickOf writes the pick; with a language, that stands for Accept-Language.
func pickOf(vary string, ask Fields, language string) Pick {
	var b []byte
	for n := range strings.SplitSeq(vary, ",") {
		if n == acceptLanguage && language != "" {
			b = append(b, n+": ="+language+"\n"...)
			continue
		}
		vs := ask.Values(textproto.CanonicalMIMEHeaderKey(n))
		if vs == nil {
			continue
		}
		b = append(b, n...)
		b = append(b, ": "...)
		if n == acceptLanguage {
			b = append(b, normalLanguages(vs)...)
		} else {
			b = appendNormal(b, vs)
		}
		b = append(b, '\n')
	}
	return Pick(b)
}

// appendNormal appends the values of a field as one, with the optional white
// space around its commas normalised outside quoted strings.
func appendNormal(b []byte, values []string) []byte {
	start := len(b)
	v := strings.Trim(strings.Join(values, ","), " \t") // a quoted string may reach over lines
	b = appendNormalValue(b, v)
	// An empty last member leaves a space behind its comma, which would not
	// survive in a field (see Pick.Header).
	for len(b) > start && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

func appendNormalValue(b []byte, v string) []byte {
	if strings.IndexByte(v, ',') < 0 {
		return append(b, v...)
	}
	quoted := false
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case quoted && c == '\\' && i+1 < len(v):
			i++
			b = append(b, c, v[i])
		case c == '"':
			quoted = !quoted
			b = append(b, c)
		case !quoted && (c == ' ' || c == '\t'):
			j := i
			for j < len(v) && (v[j] == ' ' || v[j] == '\t') {
				j++
			}
			if v[j] != ',' {
				b = append(b, v[i:j]...)
			}
			i = j - 1
		case !quoted && c == ',':
			b = append(b, ", "...)
			for i+1 < len(v) && (v[i+1] == ' ' || v[i+1] == '\t') {
				i++
			}
		default:
			b = append(b, c)
		}
	}
	return b
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

// A language is one member of an Accept-Language field.
type language struct {
	tag string
	q   float64
}

// languages parses Accept-Language (RFC 9110, section 12.5.4), most preferred
// first, equally preferred in alphabetical order. ok is false when it is not
// one.
func languages(values []string) (ls []language, ok bool) {
	for _, v := range values {
		for m := range strings.SplitSeq(v, ",") {
			tag, weight, weighted := strings.Cut(strings.Trim(m, " \t"), ";")
			tag = strings.ToLower(strings.TrimRight(tag, " \t"))
			if tag == "" && !weighted {
				continue
			}
			q := 1.0
			if weighted {
				num, found := strings.CutPrefix(strings.ToLower(strings.Trim(weight, " \t")), "q=")
				f, err := strconv.ParseFloat(num, 64)
				if !found || err != nil || !(f >= 0 && f <= 1) {
					return nil, false
				}
				q = f
			}
			if tag == "" || strings.ContainsAny(tag, " \t=") {
				return nil, false
			}
			ls = append(ls, language{tag, q})
		}
	}
	slices.SortStableFunc(ls, func(a, b language) int {
		return cmp.Or(cmp.Compare(b.q, a.q), strings.Compare(a.tag, b.tag))
	})
	return ls, true
}

func normalLanguages(values []string) string {
	ls, ok := languages(values)
	if !ok {
		return string(appendNormal(nil, values))
	}
	var b strings.Builder
	for i, l := range ls {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(l.tag)
		if l.q != 1 {
			b.WriteString(";q=" + strconv.FormatFloat(l.q, 'g', -1, 64))
		}
	}
	return b.String()
}

// bestLanguage returns the one language that is preferred to all others.
func bestLanguage(values []string) string {
	ls, ok := languages(values)
	if !ok || len(ls) == 0 || ls[0].q == 0 || ls[0].tag == "*" || len(ls) > 1 && ls[1].q == ls[0].q {
		return ""
	}
	return ls[0].tag
}
