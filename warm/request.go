package warm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

var askMembers = []string{"urls", "sitemap", "crawl", "site", "base", "id", "force", "what"}

const (
	maxID    = 256
	hintStr  = "a string"
	hintID   = "a string of 1 to 256 bytes: letters, digits and -._:"
	hintURLs = "a list of URLs, or of paths with a site"
	hintFrom = `{"from":"https://host/","depth":2}`
)

// parseAsk reads the JSON form of an Ask, strictly.
func parseAsk(body []byte, ps *problems) Ask {
	m := members(body, "", askMembers, ps)
	a := Ask{
		URLs: readStrings(m, "urls", false, hintURLs, ps), Sitemaps: readStrings(m, "sitemap", true, "a URL, or a list of them", ps),
		Site: readString(m, "site", hintStr, ps), Base: readString(m, "base", hintStr, ps), ID: readString(m, "id", hintID, ps), What: readString(m, "what", hintStr, ps),
		Force: readBool(m, "force", ps),
	}
	if raw, ok := m["crawl"]; ok {
		if raw[0] == '"' {
			ps.add("#/crawl", "a string where an object is wanted", hintFrom)
		} else {
			c := members(raw, "crawl/", []string{"from", "depth"}, ps)
			a.Crawl = readStrings(c, "from", true, "a URL, or a list of them", ps)
			a.Depth = 1
			if raw, ok := c["depth"]; ok && (kind(raw) != "a number" || json.Unmarshal(raw, &a.Depth) != nil) {
				a.Depth = -1 // told with what is out of range
			}
			if c != nil && c["from"] == nil {
				ps.add("#/crawl/from", "it is missing", hintFrom)
			}
		}
	}
	if _, ok := m["id"]; ok || a.ID != "" {
		checkID(a.ID, ps)
	}
	return a
}

// checkID refuses what cannot be part of a path.
func checkID(id string, ps *problems) {
	bad := strings.IndexFunc(id, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("-._:", r))
	}) >= 0
	if id == "" || len(id) > maxID || bad || id == "entities" || id == "." || id == ".." {
		ps.add("#/id", fmt.Sprintf("%q cannot be an id", excerpt(id, 100)), hintID)
	}
}

// members reads one JSON object strictly: valid UTF-8, no member twice, no
// unknown member, nothing after it. within is the object's own place.
func members(body []byte, within string, known []string, ps *problems) map[string]json.RawMessage {
	where := strings.TrimSuffix("#/"+within, "/")
	if where == "#" {
		where = ""
	}
	if !utf8.Valid(body) {
		ps.add(where, "it is not UTF-8", "JSON in UTF-8")
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	syntax := func(err error) map[string]json.RawMessage {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		ps.add(where, fmt.Sprintf("not JSON, near byte %d: %v", dec.InputOffset(), err), "one JSON object")
		return nil
	}
	tok, err := dec.Token()
	if err != nil {
		return syntax(err)
	}
	if tok != json.Delim('{') {
		ps.add(where, "it is not a JSON object", "one JSON object")
		return nil
	}
	out := make(map[string]json.RawMessage)
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return syntax(err)
		}
		name, _ := tok.(string)
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return syntax(err)
		}
		if _, twice := out[name]; twice {
			ps.add("#/"+within+name, "given twice", "each member once")
		} else if !slices.Contains(known, name) {
			ps.add("#/"+within+excerpt(name, 100), "unknown member", strings.Join(known, ", "))
		}
		out[name] = raw
	}
	if _, err := dec.Token(); err != nil {
		return syntax(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		ps.add(where, fmt.Sprintf("something follows the object, at byte %d", dec.InputOffset()), "one JSON object")
		return nil
	}
	return out
}

// kind is what a JSON value is, for saying what was found instead.
func kind(raw json.RawMessage) string {
	switch raw[0] {
	case '{':
		return "an object"
	case '[':
		return "a list"
	case '"':
		return "a string"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

func readString(m map[string]json.RawMessage, name, accepted string, ps *problems) (s string) {
	if raw, ok := m[name]; ok && (raw[0] != '"' || json.Unmarshal(raw, &s) != nil) {
		ps.add("#/"+name, kind(raw)+" where a string is wanted", accepted)
	}
	return s
}

// readStrings returns a member that must be a list of strings or, where one
// will do, a string; nil if any element is none, so that indices stay those of
// the client.
func readStrings(m map[string]json.RawMessage, name string, one bool, accepted string, ps *problems) []string {
	raw, ok := m[name]
	if !ok {
		return nil
	}
	if one && raw[0] == '"' {
		return []string{readString(m, name, accepted, ps)}
	}
	var list []json.RawMessage
	if raw[0] != '[' || json.Unmarshal(raw, &list) != nil {
		ps.add("#/"+name, kind(raw)+" where a list of strings is wanted", accepted)
		return nil
	}
	out := make([]string, len(list))
	good := true
	for i, el := range list {
		if el[0] != '"' || json.Unmarshal(el, &out[i]) != nil {
			ps.add(at(name, i), kind(el)+" where a string is wanted", accepted)
			good = false
		}
	}
	if !good {
		return nil
	}
	return out
}

func readBool(m map[string]json.RawMessage, name string, ps *problems) (b bool) {
	if raw, ok := m[name]; ok && (kind(raw) != "a boolean" || json.Unmarshal(raw, &b) != nil) {
		ps.add("#/"+name, kind(raw)+" where a boolean is wanted", "true or false")
	}
	return b
}
