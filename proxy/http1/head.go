package http1

import (
	"bytes"
	"net/http"
	"net/textproto"
	"strings"
)

// A heading is a response's head.
type heading struct {
	status  int
	text    string // the status as it came, with its reason
	fields  http.Header
	length  int64 // that of Content-Length; -1: there is none
	chunked bool
	closes  bool        // the connection ends with the response
	trailer http.Header // the fields that are announced for behind the content, without values
}

// begins reports whether b may be the beginning of a head that parse takes.
func begins(b []byte) bool {
	const version = "HTTP/1.1 "
	if n := min(len(b), len(version)); string(b[:n]) != version[:n] {
		return false
	}
	for i := len(version); i < min(len(b), len(version)+3); i++ {
		if b[i] < '0' || b[i] > '9' {
			return false
		}
	}
	if end := len(version) + 3; len(b) > end {
		return b[len(version)] != '0' && (b[end] == ' ' || b[end] == '\r')
	}
	return true
}

// parse reads a head that ends in CR LF CR LF, and returns false, having read
// some of it or none, if it is not one that every implementation reads alike.
func (h *heading) parse(b []byte) bool {
	i := bytes.IndexByte(b, '\n')
	if i < len("HTTP/1.1 200\r") || b[i-1] != '\r' || !begins(b[:i]) {
		return false
	}
	// One string for all there is: what is taken out of it is no copy.
	all := string(b[:len(b)-2])
	h.text = strings.TrimLeft(all[len("HTTP/1.1 "):i-1], " ")
	if !plainValue(h.text) {
		return false
	}
	h.status = int(b[9]-'0')*100 + int(b[10]-'0')*10 + int(b[11]-'0')
	all = all[i+1:]
	h.length = -1
	n := strings.Count(all, "\n")
	h.fields = make(http.Header, n)
	values := make([]string, n)
	for all != "" {
		j := strings.IndexByte(all, '\n')
		if j < 1 || all[j-1] != '\r' {
			return false
		}
		name, value, ok := parseField(all[:j-1])
		if !ok || !h.add(name, value, &values) {
			return false
		}
		all = all[j+1:]
	}
	h.closes = hasToken(h.fields["Connection"], "close")
	if v := h.fields["Pragma"]; len(v) > 0 && v[0] == "no-cache" && h.fields["Cache-Control"] == nil {
		h.fields["Cache-Control"] = noCache // as net/http has it
	}
	return !h.chunked || h.length < 0 && h.announce()
}

// add takes in a field. The values' place is in values.
func (h *heading) add(name, value string, values *[]string) bool {
	switch name {
	case "Content-Length":
		if h.length >= 0 {
			return false
		}
		if h.length = parseLength(value); h.length < 0 {
			return false
		}
	case "Transfer-Encoding":
		if h.chunked || !strings.EqualFold(value, "chunked") {
			return false
		}
		h.chunked = true
		return true // it concerns this connection
	}
	if old := h.fields[name]; old != nil {
		h.fields[name] = append(old, value)
		return true
	}
	v := *values
	v[0] = value
	h.fields[name] = v[:1:1]
	*values = v[1:]
	return true
}

// announce takes in what Trailer announces.
func (h *heading) announce() bool {
	lines, ok := h.fields["Trailer"]
	if !ok {
		return true
	}
	delete(h.fields, "Trailer")
	for _, v := range lines {
		for name := range strings.SplitSeq(v, ",") {
			switch name = http.CanonicalHeaderKey(strings.Trim(name, " \t")); name {
			case "", "Transfer-Encoding", "Trailer", "Content-Length":
				return false
			}
			if h.trailer == nil {
				h.trailer = make(http.Header)
			}
			h.trailer[name] = nil
		}
	}
	return true
}

// parseField takes a line apart.
func parseField(line string) (name, value string, ok bool) {
	i := strings.IndexByte(line, ':')
	if i < 1 {
		return "", "", false
	}
	for j := range i {
		if !tokenByte[line[j]] {
			return "", "", false
		}
	}
	value = strings.Trim(line[i+1:], " \t")
	return textproto.CanonicalMIMEHeaderKey(line[:i]), value, plainValue(value)
}

// plainValue reports whether s is a field's value as RFC 9110, section 5.5, has it.
func plainValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

func parseLength(s string) int64 {
	if s == "" || len(s) > 18 {
		return -1
	}
	n := int64(0)
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = 10*n + int64(s[i]-'0')
	}
	return n
}

// tokenByte has the bytes of a token (RFC 9110, section 5.6.2).
var tokenByte = func() (t [256]bool) {
	for c := '0'; c <= 'z'; c++ {
		t[c] = c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a'
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()

var noCache = []string{"no-cache"}

func hasToken(values []string, token string) bool {
	for _, v := range values {
		for t := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.Trim(t, " \t"), token) {
				return true
			}
		}
	}
	return false
}
