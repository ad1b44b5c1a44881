package proxy

import (
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http2/hpack"
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

// forget makes it empty, and small.
func (l *fieldList) forget() {
	clear(l.fields)
	if l.fields, l.size = l.fields[:0], 0; cap(l.fields) > 64 {
		l.fields = nil
	}
}

// decode takes the next part of a block.
func (l *fieldList) decode(part []byte, ends bool) error {
	_, err := l.decoder.Write(part)
	if err == nil && ends {
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

// A blockWriter writes the header blocks of one direction of a connection, all of them:
// what one may refer to is what those before it have put into the reader's table
// (RFC 7541).
type blockWriter struct {
	encoder *hpack.Encoder
	decoder *hpack.Decoder // of blocks that are rewritten
	every   bool           // field goes into the table, as far as there is room
	table   uint32         // bytes of it
	first   bool           // nothing of the block has been written
	out     []byte
}

// tableBytes is how large a table is without anything said (RFC 9113, section 6.5.2),
// and as large as they get here.
const tableBytes = 4096

func (w *blockWriter) open(every bool) {
	w.encoder, w.every, w.table = hpack.NewEncoder(w), every, tableBytes
	if !every {
		w.decoder = hpack.NewDecoder(tableBytes, func(f hpack.HeaderField) { w.field(f.Name, f.Value) })
	}
}

// limit keeps the table within what the reader has room for. It is called between
// blocks.
func (w *blockWriter) limit(bytes uint32) {
	if bytes < w.table {
		w.table = bytes
		w.encoder.SetMaxDynamicTableSizeLimit(bytes)
	}
}

// Write implements io.Writer for the encoder.
func (w *blockWriter) Write(p []byte) (int, error) {
	w.out = append(w.out, p...)
	return len(p), nil
}

// begin begins a HEADERS frame behind b, and field adds to its block. end ends it, in as
// many frames as it takes, and returns b with them.
func (w *blockWriter) begin(b []byte) (at int) {
	w.out, w.first = append(b, make([]byte, frameHeadLen)...), true
	return len(b)
}

func (w *blockWriter) end(at int, stream uint32, ends bool) []byte {
	b := w.out
	w.out = nil
	head := frameHead{length: len(b) - at - frameHeadLen, kind: frameHeaders, flags: flagEndHeaders, stream: stream}
	if ends {
		head.flags |= flagEndStream
	}
	if head.length <= maxFrame {
		appendFrameHead(b[:at], head)
		return b
	}
	block := slices.Clone(b[at+frameHeadLen:])
	b = b[:at]
	for head.flags &^= flagEndHeaders; len(block) > 0; head.kind, head.flags = frameContinuation, 0 {
		if head.length = min(len(block), maxFrame); head.length == len(block) {
			head.flags |= flagEndHeaders
		}
		b = append(appendFrameHead(b, head), block[:head.length]...)
		block = block[head.length:]
	}
	return b
}

// rewrite appends a block of another writer's.
func (w *blockWriter) rewrite(b []byte, of *theirBlock) ([]byte, error) {
	at := w.begin(b)
	_, err := w.decoder.Write(of.text)
	if err == nil {
		err = w.decoder.Close()
	}
	return w.end(at, of.stream, of.ends), err
}

// field writes a field whose name is in lower case. What hardly comes again is not put
// into the table; but the first of a block is the encoder's, which says there how
// large the table is, if that has changed (RFC 7541, section 4.2).
func (w *blockWriter) field(name, value string) {
	if !w.first && !w.every {
		if index := fleeting(name); index != "" {
			w.out = appendText(append(w.out, index...), value)
			return
		} else if name == "cache-status" {
			w.out = appendText(appendText(append(w.out, 0), name), value)
			return
		}
	}
	w.first = false
	_ = w.encoder.WriteField(hpack.HeaderField{Name: name, Value: value}) // Write has no error
}

// number writes a field of those that are fleeting.
func (w *blockWriter) number(name string, value int64) {
	var room [20]byte
	w.field(name, view(strconv.AppendInt(room[:0], value, 10)))
}

// fleeting is how a field begins whose value is another in most responses: as a
// literal that is not put into the table, its name by the static table's index
// (RFC 7541, section 6.2.2 and appendix A).
func fleeting(name string) string {
	switch name {
	case "age":
		return "\x0f\x06"
	case "content-disposition":
		return "\x0f\x0a"
	case "content-length":
		return "\x0f\x0d"
	case "content-location":
		return "\x0f\x0e"
	case "date":
		return "\x0f\x12"
	case "etag":
		return "\x0f\x13"
	case "expires":
		return "\x0f\x15"
	case "last-modified":
		return "\x0f\x1d"
	case "link":
		return "\x0f\x1e"
	case "location":
		return "\x0f\x1f"
	case "set-cookie":
		return "\x0f\x28"
	}
	return ""
}

// appendText appends a string literal (section 5.2).
func appendText(b []byte, s string) []byte { return append(appendLength(b, len(s)), s...) }

// appendLength appends a length with a prefix of 7 bits (section 5.1).
func appendLength(b []byte, n int) []byte {
	if n < 127 {
		return append(b, byte(n))
	}
	b = append(b, 127)
	for n -= 127; n >= 128; n >>= 7 {
		b = append(b, byte(n)|128)
	}
	return append(b, byte(n))
}

// lowered is a name in lower case; for the common ones without making a string.
func lowered(name string) string {
	switch name {
	case "Accept-Ranges":
		return "accept-ranges"
	case "Access-Control-Allow-Origin":
		return "access-control-allow-origin"
	case "Cache-Control":
		return "cache-control"
	case "Cache-Status":
		return "cache-status"
	case "Content-Encoding":
		return "content-encoding"
	case "Content-Language":
		return "content-language"
	case "Content-Length":
		return "content-length"
	case "Content-Security-Policy":
		return "content-security-policy"
	case "Content-Type":
		return "content-type"
	case "Date":
		return "date"
	case "Etag":
		return "etag"
	case "Expires":
		return "expires"
	case "Last-Modified":
		return "last-modified"
	case "Link":
		return "link"
	case "Location":
		return "location"
	case "Referrer-Policy":
		return "referrer-policy"
	case "Server":
		return "server"
	case "Strict-Transport-Security":
		return "strict-transport-security"
	case "Vary":
		return "vary"
	case "Via":
		return "via"
	case "X-Content-Type-Options":
		return "x-content-type-options"
	case "X-Frame-Options":
		return "x-frame-options"
	}
	return strings.ToLower(name)
}
