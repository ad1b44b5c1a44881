package proxy

import (
	"net/http"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/net/http2/hpack"

	"surrogate/store"
)

// A fieldList is a decoded header block, up to most bytes of it.
type fieldList struct {
	decoder *hpack.Decoder
	fields  []hpack.HeaderField
	size    int // as RFC 9113, section 6.5.2 counts
	most    int
}

// open makes it ready: a client may use a table of this size, and net/http takes no
// more than most bytes.
func (l *fieldList) open(table, most int) {
	l.most = most
	l.decoder = hpack.NewDecoder(uint32(table), l.add)
	l.decoder.SetMaxStringLength(most)
}

// decode takes a whole block.
func (l *fieldList) decode(block []byte) error {
	clear(l.fields)
	l.fields, l.size = l.fields[:0], 0
	_, err := l.decoder.Write(block)
	if err == nil {
		err = l.decoder.Close()
	}
	return err
}

// add is what the decoder calls for each field. The first that is beyond what
// net/http takes is kept, so that net/http says so, but not all of it.
func (l *fieldList) add(f hpack.HeaderField) {
	if l.size > l.most {
		return
	}
	if l.size += int(f.Size()); l.size > l.most && len(f.Value) > l.most {
		f.Value = f.Value[:l.most]
	}
	l.fields = append(l.fields, f)
}

// A headerBlock is one that comes in several frames.
type headerBlock struct {
	open   bool
	stream uint32
	ends   bool // the stream, on the client's side
	text   []byte
	frames int
}

// headers takes a HEADERS or CONTINUATION frame, and acts on the block when it is
// complete.
func (h *http2Conn) headers(head frameHead, f []byte) {
	b, fragment := &h.block, f[frameHeadLen:]
	if head.kind == frameHeaders {
		var ok bool
		switch fragment, ok = fragmentOf(head, fragment); {
		case !ok:
			h.out = append(h.out, f...) // net/http tells what is wrong
			return
		case head.stream%2 == 0:
			h.fail(frameBroken)
			return
		}
		*b = headerBlock{stream: head.stream, ends: head.flags&flagEndStream != 0, text: b.text[:0]}
	} else if !b.open {
		h.fail(frameBroken)
		return
	}
	if b.open = head.flags&flagEndHeaders == 0; b.open || head.kind == frameContinuation {
		b.frames++
		if b.text = append(b.text, fragment...); len(b.text)+frameHeadLen*b.frames > 2*h.maxList+maxFrame {
			h.fail(frameBroken)
			return
		}
		fragment = b.text
	}
	if b.open {
		return
	}
	if err := h.fields.decode(fragment); err != nil {
		h.fail(frameUndecodable)
		return
	}
	b.text = keepSmall(b.text)
	h.begins(b.stream, b.ends)
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
	switch {
	case stream > h.last:
		h.last = stream
		if ends && h.answer(stream) {
			return
		}
		h.passed, h.shownAt = stream, h.now
	case stream > h.passed: // one that was answered
		h.fail(frameBroken)
		return
	}
	at := len(h.out)
	h.out = append(h.out, make([]byte, frameHeadLen)...)
	for _, f := range h.fields.fields {
		h.out = appendField(h.out, f.Name, f.Value)
	}
	head := frameHead{length: len(h.out) - at - frameHeadLen, kind: frameHeaders, flags: flagEndHeaders, stream: stream}
	if ends {
		head.flags |= flagEndStream
	}
	appendFrameHead(h.out[:at], head)
}

// answer answers the request on a stream if it is a hit that is answered inline.
func (h *http2Conn) answer(stream uint32) bool {
	if idle := h.c.in.idleTimeout(); idle > 0 && h.now.Sub(h.shownAt) > idle/2 {
		return false // so that net/http knows that the connection is in use
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
	if e.Head.Len()+256 > maxFrame || !h.takes(int64(len(e.Body))) {
		return false
	}
	o, ok := h.c.meet(sc, sc.ask, h.now)
	if !ok {
		return false
	}
	n := int64(len(hit.body))
	h.spend(n)
	o.bytes = n
	a := answered{outcome: o}
	if h.c.in.proxy.logs() {
		a.host, a.target = strings.Clone(hit.ask.host), strings.Clone(hit.ask.target)
	}
	h.waiting = append(h.waiting, a)
	sc.out = appendHTTP2Head(sc.out, stream, e, o.status, n == 0, hit.d.age, hit.d.fresh)
	for body := hit.body; len(body) > 0; {
		if len(sc.out) > enoughHTTP2 && h.flush() != nil {
			break // which it says again
		}
		k := min(len(body), maxFrame)
		head := frameHead{length: k, kind: frameData, stream: stream}
		if k == len(body) {
			head.flags = flagEndStream
		}
		sc.out = append(appendFrameHead(sc.out, head), body[:k]...)
		body = body[k:]
	}
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
	if method != http.MethodGet && method != http.MethodHead || scheme != h.c.scheme() || h.fields.size > h.maxList {
		return b, false
	}
	b = append(append(append(append(append(append(b, method...), ' '), path...), " HTTP/1.1\r\nHost: "...), authority...), "\r\n"...)
	cookies := 0
	for _, f := range fields {
		switch f.Name {
		case "cookie":
			cookies++
			continue
		case "host", "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade", "te":
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

// appendHTTP2Head appends the HEADERS frame of the answer that appendHit or
// appendNotModified gives.
func appendHTTP2Head(b []byte, stream uint32, e *store.Entry, status int, ends bool, age, fresh time.Duration) []byte {
	at := len(b)
	b = append(b, make([]byte, frameHeadLen)...)
	switch status {
	case http.StatusOK:
		b = append(b, 0x88)
	case http.StatusNotModified:
		b = append(b, 0x8b)
	case http.StatusNotFound:
		b = append(b, 0x8d)
	default:
		b = appendNumbered(b, "\x08", int64(status)) // the name of :status 200
	}
	for line := range e.Head.Lines() {
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), ": ")
		if status != http.StatusNotModified || !describesContent(name) {
			b = appendKnown(b, name, value)
		}
	}
	if status != http.StatusNotModified && !e.Life.Flags.Has(store.Sized) {
		b = appendNumbered(b, indexOf("Content-Length"), int64(len(e.Body)))
	}
	b = appendNumbered(b, indexOf("Age"), int64(age/time.Second))
	var room [64]byte
	b = appendField(b, "cache-status", view(cacheStatus{hit: true, ttl: fresh, hasTTL: true}.append(room[:0])))
	head := frameHead{length: len(b) - at - frameHeadLen, kind: frameHeaders, flags: flagEndHeaders, stream: stream}
	if ends {
		head.flags |= flagEndStream
	}
	appendFrameHead(b[:at], head)
	return b
}
