package purge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// members reads one JSON object strictly: valid UTF-8 (the decoder would put
// other characters in place of bad bytes, and the purge would miss), no member
// twice, no unknown member, nothing after it. It returns the members' values.
func members(body []byte, known []string, ps *problems) map[string]json.RawMessage {
	if !utf8.Valid(body) {
		ps.add("", "the body is not UTF-8", "JSON in UTF-8")
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	syntax := func(err error) map[string]json.RawMessage {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		ps.add("", fmt.Sprintf("not JSON, near byte %d: %v", dec.InputOffset(), err), "one JSON object")
		return nil
	}
	tok, err := dec.Token()
	if err != nil {
		return syntax(err)
	}
	if tok != json.Delim('{') {
		ps.add("", "the body is not a JSON object", "one JSON object")
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
			ps.add("#/"+name, "given twice", "each member once")
		} else if known != nil && !slices.Contains(known, name) {
			ps.add(fmt.Sprintf("#/%.100s", name), "unknown member", strings.Join(known, ", "))
		}
		out[name] = raw
	}
	if _, err := dec.Token(); err != nil {
		return syntax(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		ps.add("", fmt.Sprintf("something follows the object, at byte %d", dec.InputOffset()), "one JSON object")
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

// readString returns a member that must be a string.
func readString(m map[string]json.RawMessage, name, accepted string, ps *problems) (s string, present bool) {
	raw, ok := m[name]
	if !ok {
		return "", false
	}
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		ps.add("#/"+name, kind(raw)+" where a string is wanted", accepted)
		return "", false
	}
	return s, true
}

// readStrings returns a member that must be a list of strings; nil if any
// element is none, so that indices stay those of the client.
func readStrings(m map[string]json.RawMessage, name, accepted string, ps *problems) []string {
	raw, ok := m[name]
	if !ok {
		return nil
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

// readBool returns a member that must be a boolean.
func readBool(m map[string]json.RawMessage, name string, ps *problems) (b bool) {
	if raw, ok := m[name]; ok && (kind(raw) != "a boolean" || json.Unmarshal(raw, &b) != nil) {
		ps.add("#/"+name, kind(raw)+" where a boolean is wanted", "true or false")
	}
	return b
}
