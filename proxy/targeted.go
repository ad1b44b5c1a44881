package proxy

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/dunglas/httpsfv"
)

// governing returns the directives that a response's caching follows: those of
// the first valid and non-empty targeted field (RFC 9213 section 2.2), else of
// Cache-Control. When a targeted field governs, Cache-Control and Expires are
// ignored altogether.
func (p *Policy) governing(h http.Header) (d responseDirectives, targeted bool) {
	for _, name := range p.Targeted {
		lines := h[http.CanonicalHeaderKey(name)]
		if len(lines) == 0 {
			continue
		}
		ok := false
		if strings.EqualFold(name, "Surrogate-Control") {
			d, ok = parseSurrogate(lines, p.Capability)
		} else {
			d, ok = parseTargeted(lines)
		}
		if ok {
			return d, true
		}
	}
	return parseResponse(h["Cache-Control"]), false
}

// parseTargeted parses a targeted field: a dictionary of RFC 9651, whose values
// have the type that fits the directive (RFC 9213 section 2.1): integers for
// delta-seconds, strings for field names, booleans else. ok is false when the
// field is to be ignored: it does not parse, is empty, or gives delta-seconds
// in another type. Parameters are ignored, as are directives unknown.
func parseTargeted(lines []string) (d responseDirectives, ok bool) {
	dict, err := httpsfv.UnmarshalDictionary(lines)
	if err != nil || len(dict.Names()) == 0 {
		return responseDirectives{}, false
	}
	var c cleaner
	for _, name := range dict.Names() {
		v, _ := dict.Get(name)
		m := member{name: name}
		item, isItem := v.(httpsfv.Item)
		switch value := item.Value.(type) {
		case bool:
			if !value {
				continue // "no-store=?0" says that it is not so
			}
		case int64:
			m.value, m.hasValue = strconv.FormatInt(value, 10), true
		case string:
			m.value, m.hasValue = value, true
		case httpsfv.Token:
			m.value, m.hasValue = string(value), true
		default: // another type, or an inner list
			m.hasValue = true
		}
		if responseKind(name) == seconds {
			if _, isInt := item.Value.(int64); !isItem || !isInt {
				return responseDirectives{}, false
			}
		}
		c.add(m)
	}
	return c.response(), true
}

// parseSurrogate parses Surrogate-Control, as the Edge Architecture note has it
// and as is practised: directives in Cache-Control's syntax, max-age with an
// optional "+M" for how long a stale response may be shown, each with an
// optional ";device" that it is meant for. A directive for device beats one for
// everybody, one for another device is not there. ok is false when nothing in
// the field governs caching here; directives with invalid values are ignored.
//
// no-store-remote does not concern us: a reverse proxy stands with its origin.
// content="…" says what to do with the content, and governs nothing.
func parseSurrogate(lines []string, device string) (d responseDirectives, ok bool) {
	var all, ours []member
	for _, line := range lines {
		for s := range listed(line, true) {
			directive, targets := cutTargets(s)
			m := parseMember(directive)
			switch {
			case len(targets) == 0, m.bad && isTarget(targets, device):
				all = append(all, m)
			case isTarget(targets, device):
				ours = append(ours, m)
			}
		}
	}
	var c cleaner
	add := func(m member) {
		governs := false
		switch m.name {
		case "max-age", "stale-while-revalidate", "stale-if-error":
			n, extension, extended := strings.Cut(m.value, "+")
			if _, valid := parseSeconds(n); !valid {
				return
			}
			if _, valid := parseSeconds(extension); extended && !valid {
				return
			}
			c.number(m.name, n)
			if extended {
				c.number("stale-while-revalidate", extension)
				c.number("stale-if-error", extension)
			}
			governs = m.name == "max-age"
		case "no-store", "private", "no-cache":
			// The last two are no directives of the note, but whoever sends them
			// here can only mean one thing.
			c.add(m)
			governs = true
		case "must-revalidate", "proxy-revalidate":
			c.add(m)
		}
		ok = ok || governs
	}
	for _, m := range all {
		if m.bad {
			c.add(m)
		}
	}
	// Of what is malformed only what forbids is heeded.
	c.numbers, c.invalid = nil, false
	ok = slices.Contains(c.flags, "no-store") || len(c.fields) > 0
	for _, m := range ours {
		add(m)
	}
	for _, m := range all {
		if !m.bad && !named(ours, m.name) {
			add(m)
		}
	}
	if !ok {
		return responseDirectives{}, false
	}
	return c.response(), true
}

func named(ms []member, name string) bool {
	return slices.ContainsFunc(ms, func(m member) bool { return m.name == name })
}

// cutTargets cuts the ";device" parameters off a directive.
func cutTargets(s string) (directive string, targets []string) {
	from, open := 0, false
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			if open {
				continue // nor is any quote after one that is never closed
			}
			if end := closingQuote(s[i+1:], true); end >= 0 {
				i += 1 + end
			} else {
				open = true
			}
		case ';':
			if from == 0 {
				directive = strings.Trim(s[:i], " \t")
			} else {
				targets = append(targets, strings.Trim(s[from:i], " \t"))
			}
			from = i + 1
		}
	}
	if from == 0 {
		return s, nil
	}
	return directive, append(targets, strings.Trim(s[from:], " \t"))
}

func isTarget(targets []string, device string) bool {
	return device != "" && slices.ContainsFunc(targets, func(t string) bool { return strings.EqualFold(t, device) })
}
