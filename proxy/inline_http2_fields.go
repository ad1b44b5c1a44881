package proxy

import (
	"net/http"
	"strings"
	"unsafe"

	"surrogate/store"
)

// A headerBlock is one that comes in several frames.
type headerBlock struct {
	open   bool // there is more to come
	stream uint32
	ends   bool // the stream, on the client's side
}

// takes reports whether a frame may come next: of an open block what continues it, and
// nothing else.
func (b *headerBlock) takes(head frameHead) bool {
	if b.open {
		return head.kind == frameContinuation && head.stream == b.stream
	}
	return head.kind != frameContinuation
}

// headers takes a HEADERS or CONTINUATION frame, and acts on the block when it is
// complete.
func (h *http2Conn) headers(head frameHead, f []byte) {
	b, fragment := &h.block, f[frameHeadLen:]
	if head.kind == frameHeaders {
		var ok bool
		if fragment, ok = fragmentOf(head, fragment); !ok || head.stream == 0 {
			h.onward = append(h.onward, f...) // net/http tells what is wrong
			return
		}
		*b = headerBlock{stream: head.stream, ends: head.flags&flagEndStream != 0}
	}
	b.open = head.flags&flagEndHeaders == 0
	switch {
	case len(fragment) > 2*max(0, h.fields.most-h.fields.size):
		h.fail(frameBroken) // so much more than there may be that net/http ends it, too
	case h.fields.decode(fragment, !b.open) != nil:
		h.fail(frameUndecodable)
	case !b.open:
		h.begins(b.stream, b.ends)
	}
}

// fragmentOf is the part of a HEADERS frame's payload that is of the block.
func fragmentOf(head frameHead, p []byte) ([]byte, bool) {
	padding := 0
	if head.flags&flagPadded != 0 {
		if len(p) == 0 {
			return nil, false
		}
		padding, p = int(p[0]), p[1:]
	}
	if head.flags&flagPriority != 0 {
		if len(p) < 5 {
			return nil, false
		}
		p = p[5:]
	}
	if padding > len(p) {
		return nil, false
	}
	return p[:len(p)-padding], true
}

// begins acts on the decoded fields of a stream: a request, or the trailers of one.
func (h *http2Conn) begins(stream uint32, ends bool) {
	defer h.fields.forget()
	switch {
	case stream%2 == 0: // which net/http does not let pass
	case stream > h.newest:
		h.newest = stream
		if ends && h.answer(stream) {
			return
		}
		h.known, h.knownAt = stream, h.now
	case stream > h.known: // one that was answered
		h.fail(frameBroken)
		return
	}
	w := &h.toNext
	at := w.begin(h.onward)
	for _, f := range h.fields.fields {
		w.field(f.Name, f.Value)
	}
	h.onward = w.end(at, stream, ends)
}

// answer answers the request on a stream if it is a hit that is answered inline.
func (h *http2Conn) answer(stream uint32) bool {
	if idle := h.c.in.idleTimeout(); idle > 0 && h.now.Sub(h.knownAt) > idle/2 {
		return false // so that net/http knows that the connection is in use
	}
	if stream > h.last.Load() || h.replies.full() {
		return false
	}
	sc := h.sc
	var ok bool
	if sc.ask, ok = h.appendAsk(sc.ask[:0]); !ok {
		return false
	}
	hit := &sc.hit
	size := hit.ask.parsePlain(sc.ask)
	if size == 0 || !h.c.find(sc, h.now) {
		return false
	}
	defer hit.forget()
	e := &hit.found.Entry
	if n := int64(len(e.Body)); n > min(h.streamMay, inlineHTTP2) || !h.window.takes(n) {
		return false
	}
	o, ok := h.c.meet(sc, sc.ask, h.now)
	if !ok {
		return false
	}
	o.bytes = int64(len(hit.body))
	h.window.spend(o.bytes)
	r := reply{
		outcome: o, stream: stream, head: e.Head, sized: e.Life.Flags.Has(store.Sized), size: int64(len(e.Body)), body: hit.body,
		age: hit.d.age, fresh: hit.d.fresh, lane: sc.lane,
	}
	if h.c.in.proxy.logs() {
		r.client, r.host, r.target = h.c.client(), strings.Clone(hit.ask.host), strings.Clone(hit.ask.target)
	}
	h.replies.add(&r)
	return true
}

// appendAsk appends the decoded request as HTTP/1.1 would have it, for the one parser
// that there is (parsePlain). What cannot be put so, or is not to be in a request
// over HTTP/2 (RFC 9113, section 8.2.2), is left to net/http.
func (h *http2Conn) appendAsk(b []byte) ([]byte, bool) {
	var method, scheme, authority, path string
	fields := h.fields.fields
	for len(fields) > 0 && strings.HasPrefix(fields[0].Name, ":") {
		var to *string
		switch fields[0].Name {
		case ":method":
			to = &method
		case ":scheme":
			to = &scheme
		case ":authority":
			to = &authority
		case ":path":
			to = &path
		}
		if to == nil || *to != "" || !isVisible(fields[0].Value) {
			return b, false
		}
		*to = fields[0].Value
		fields = fields[1:]
	}
	if method != http.MethodGet && method != http.MethodHead || scheme != h.c.scheme() || h.fields.size > len(h.sc.in) {
		return b, false
	}
	b = append(append(append(append(append(append(b, method...), ' '), path...), " HTTP/1.1\r\nHost: "...), authority...), "\r\n"...)
	cookies := 0
	for _, f := range fields {
		switch f.Name {
		case "cookie":
			cookies++
			continue
		case "te":
			if f.Value != "trailers" {
				return b, false
			}
			continue
		case "host", "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
			return b, false
		}
		if !isFieldName(f.Name) || !isFieldValue(f.Value) {
			return b, false
		}
		b = append(append(append(append(b, f.Name...), ": "...), f.Value...), "\r\n"...)
	}
	if cookies > 0 { // a client may have divided them (section 8.2.3)
		b = append(b, "cookie: "...)
		for _, f := range fields {
			if f.Name != "cookie" {
				continue
			}
			if !isFieldValue(f.Value) {
				return b, false
			}
			b = append(b, f.Value...)
			if cookies--; cookies > 0 {
				b = append(b, "; "...)
			}
		}
		b = append(b, "\r\n"...)
	}
	return append(b, "\r\n"...), true
}

// isVisible reports whether a value has no space and no control character.
func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return s != ""
}

// isFieldName reports whether a name is one of HTTP/2, in lower case.
func isFieldName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !tokenByte[c] || 'A' <= c && c <= 'Z' {
			return false
		}
	}
	return s != ""
}

func isFieldValue(s string) bool {
	return isClean(unsafe.Slice(unsafe.StringData(s), len(s))) && trim(s) == s
}
