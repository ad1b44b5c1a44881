package warm

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// A Change is something that happened to the data behind the pages.
type Change struct {
	Type   string // what happened: "updated"; may be empty
	Entity string // the kind of thing: "product"
	ID     string // which one: "123"
	Data   map[string]any
}

// maxFilled is how many URLs one template may come to for one change.
const maxFilled = 1000

// A Template is a URL or path with places for what changed: {type}, {entity},
// {id} and {data.some.member}, which stand for one segment of a path, or one
// value in a query; and {+data.some.member} for a path or a piece of a URL as it
// is. A list gives a URL for each element.
type Template struct {
	text  string
	parts []part
}

// A part is a text and the place after it.
type part struct {
	text  string
	place string // "" at the end
	whole bool   // the value is a piece of a URL, and not to be encoded
}

// ParseTemplate reads a template.
func ParseTemplate(s string) (Template, error) {
	t := Template{text: s}
	if len(s) > maxURL {
		return t, fmt.Errorf("longer than %d bytes", maxURL)
	}
	if !strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "http://") && !strings.HasPrefix(s, "https://") &&
		!strings.HasPrefix(s, "{+data.") {
		return t, errors.New(`want a path such as "/products/{id}", or a URL`)
	}
	for rest := s; ; {
		text, after, found := strings.Cut(rest, "{")
		if err := plainText(text); err != nil {
			return t, err
		}
		if strings.Contains(text, "}") {
			return t, errors.New("a } without its {")
		}
		if !found {
			t.parts = append(t.parts, part{text: text})
			return t, nil
		}
		place, tail, closed := strings.Cut(after, "}")
		name, whole := strings.CutPrefix(place, "+")
		if !closed {
			return t, errors.New("a { without its }")
		}
		if member, data := strings.CutPrefix(name, "data."); name != "type" && name != "entity" && name != "id" &&
			(!data || member == "" || strings.HasPrefix(member, ".") || strings.HasSuffix(member, ".") || strings.Contains(member, "..")) {
			return t, fmt.Errorf("{%s} is none of {type}, {entity}, {id}, {data.…}", excerpt(place, 50))
		}
		t.parts = append(t.parts, part{text, name, whole})
		rest = tail
	}
}

// String is the template as it was written.
func (t Template) String() string { return t.text }

// Fill returns the URLs that a change comes to. The error says what the change
// has not, or has and cannot be part of a URL; no URL is returned then.
func (t Template) Fill(c *Change) ([]string, error) {
	urls := []string{""}
	query := false
	for _, p := range t.parts {
		query = query || strings.Contains(p.text, "?")
		for i := range urls {
			urls[i] += p.text
		}
		if p.place == "" {
			break
		}
		values := c.values(p.place)
		if len(values) == 0 {
			return nil, fmt.Errorf("the change has no %s", p.place)
		}
		if len(urls)*len(values) > maxFilled {
			return nil, fmt.Errorf("it comes to more than %d URLs", maxFilled)
		}
		filled := make([]string, 0, len(urls)*len(values))
		for _, u := range urls {
			for _, v := range values {
				e, err := encoded(v, p.whole, query)
				if err != nil {
					return nil, fmt.Errorf("%s %q: %w", p.place, excerpt(v, 100), err)
				}
				filled = append(filled, u+e)
			}
		}
		urls = filled
	}
	return urls, nil
}

// encoded is a value as it stands in a URL (RFC 6570, simple and reserved
// expansion).
func encoded(v string, whole, query bool) (string, error) {
	switch {
	case len(v) > maxURL:
		return "", fmt.Errorf("longer than %d bytes", maxURL)
	case !whole && !query && (v == "." || v == ".."):
		return "", errors.New("a path cannot have it as a segment")
	case whole && strings.ContainsAny(v, "#\\"):
		return "", errors.New("it is no piece of a URL")
	}
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(v) {
		c := v[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-._~", c) >= 0,
			whole && strings.IndexByte("%/?:@!$&'()*+,;=[]", c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		}
	}
	return b.String(), nil
}

// values returns what a place stands for: several for a list.
func (c *Change) values(place string) []string {
	var v any
	switch place {
	case "type":
		v = c.Type
	case "entity":
		v = c.Entity
	case "id":
		v = c.ID
	default:
		v = c.Data
		for member := range strings.SplitSeq(strings.TrimPrefix(place, "data."), ".") {
			m, _ := v.(map[string]any)
			v = m[member]
		}
	}
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	var out []string
	for _, el := range list {
		if s := scalar(el); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// scalar is a value as people write it; "" for what is none.
func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number, bool, int, int64:
		return fmt.Sprint(v)
	case float64:
		b, _ := json.Marshal(v) // 42, not 4.2e+01; a number that JSON had is one
		return string(b)
	}
	return ""
}
