package http1

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// A field is one of a request's.
type field struct {
	name   string
	values []string
}

// appendRequest appends the head of r for target. Fields come in the order of
// their names, as net/http has them: what a client sends twice looks alike.
func (m *room) appendRequest(b []byte, r *http.Request, target string) ([]byte, error) {
	method := r.Method
	if method == "" {
		method = http.MethodGet
	}
	host := hostField(r)
	switch {
	case !isToken(method):
		return b, fmt.Errorf("http1: the method %q is none", method)
	case target == "" || !isVisible(target):
		return b, fmt.Errorf("http1: the target %q has a byte that none may have", target)
	case !isVisible(host):
		return b, fmt.Errorf("http1: the host %q has a byte that none may have", host)
	}
	b = append(append(append(b, method...), ' '), target...)
	b = append(append(b, " HTTP/1.1\r\nHost: "...), host...)
	b = append(b, "\r\n"...)
	m.fields = m.fields[:0]
	for k, vs := range r.Header {
		switch k {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer":
			continue
		case "User-Agent":
			if len(vs) == 0 || vs[0] == "" {
				continue // net/http's way to say that there is to be none
			}
		}
		m.insert(field{k, vs})
	}
	for i := range m.fields {
		f := &m.fields[i]
		if !isToken(f.name) {
			return b, fmt.Errorf("http1: the field name %q is none", f.name)
		}
		for _, v := range f.values {
			if !plainValue(v) {
				return b, fmt.Errorf("http1: the value of %s has a byte that none may have", f.name)
			}
			b = append(append(append(append(b, f.name...), ": "...), v...), "\r\n"...)
		}
	}
	if r.Close && r.Header["Connection"] == nil {
		b = append(b, "Connection: close\r\n"...)
	}
	return append(appendFraming(b, r, method), "\r\n"...), nil
}

// insert puts f among the fields, by its name.
func (m *room) insert(f field) {
	m.fields = append(m.fields, f)
	for i := len(m.fields) - 1; i > 0 && m.fields[i].name < m.fields[i-1].name; i-- {
		m.fields[i], m.fields[i-1] = m.fields[i-1], m.fields[i]
	}
}

// appendFraming says how the content is framed (RFC 9112, section 6).
func appendFraming(b []byte, r *http.Request, method string) []byte {
	switch {
	case !hasContent(r):
		switch method {
		case http.MethodPost, http.MethodPut, http.MethodPatch:
			b = append(b, "Content-Length: 0\r\n"...) // RFC 9110, section 8.6
		}
	case r.ContentLength > 0:
		b = append(b, "Content-Length: "...)
		b = append(strconv.AppendInt(b, r.ContentLength, 10), "\r\n"...)
	default:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		if len(r.Trailer) > 0 {
			names := make([]string, 0, len(r.Trailer))
			for k := range r.Trailer {
				if isToken(k) {
					names = append(names, k)
				}
			}
			b = append(append(append(b, "Trailer: "...), strings.Join(names, ",")...), "\r\n"...)
		}
	}
	return b
}

// appendContent appends r's content, which is here already.
func appendContent(b []byte, r *http.Request) ([]byte, error) {
	n := len(b)
	b = append(b, make([]byte, r.ContentLength)...)
	if _, err := io.ReadFull(r.Body, b[n:]); err != nil {
		return b, fmt.Errorf("http1: the request's content is shorter than its length: %w", err)
	}
	return b, nil
}

// hostField is the Host that r is sent with: without an IPv6 zone, which means
// nothing to others.
func hostField(r *http.Request) string {
	host := r.Host
	if host == "" && r.URL != nil {
		host = r.URL.Host
	}
	if i := strings.IndexByte(host, '%'); i > 0 && host[0] == '[' {
		if j := strings.IndexByte(host, ']'); j > i {
			return host[:i] + host[j:]
		}
	}
	return host
}

func expectsContinue(r *http.Request) bool { return hasToken(r.Header["Expect"], "100-continue") }

func isToken(s string) bool {
	for i := range len(s) {
		if !tokenByte[s[i]] {
			return false
		}
	}
	return s != ""
}

// isVisible reports whether s has neither blanks nor control characters.
func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}
