package http1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
)

// A body is the content of a response. At its end, and not before, the
// connection is free for another exchange. Close may come at any time, also in
// the midst of a Read; then the connection is closed.
type body struct {
	l    *link
	resp *http.Response
	kind kind
	left int64 // of the content, or of the chunk
	at   part  // of chunked content

	reusable bool // the connection may be used again
	limited  bool // the last read could not have shown what came behind the content
	trailers int  // bytes of trailers that have come

	foreign io.Reader // net/http's
	buffer  *bufio.Reader

	over  atomic.Bool // it has ended or was closed
	whole bool        // it has ended as it should; the reader's
}

// A kind is one of the ways in which content is framed.
type kind uint8

const (
	kindSized kind = iota
	kindChunked
	kindRest    // until the connection ends
	kindForeign // net/http knows
)

// A part is what comes next in chunked content.
type part uint8

const (
	partSize part = iota
	partData
	partEnd // the line end behind it
	partTrailer
)

// A reply is a response and its content in one.
type reply struct {
	http.Response
	content body
}

var chunkedCoding = []string{"chunked"}

// respond makes the response of which h is the head.
func (l *link) respond(r *http.Request, h *heading) *http.Response {
	p := &reply{}
	resp, b := &p.Response, &p.content
	*resp = http.Response{
		Status: h.text, StatusCode: h.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h.fields, ContentLength: h.length, Close: h.closes, Trailer: h.trailer, Request: r,
	}
	b.l, b.resp = l, resp
	b.reusable = !h.closes && !r.Close && h.status != http.StatusSwitchingProtocols && r.Method != http.MethodConnect
	l.headed()
	if h.chunked {
		resp.TransferEncoding = chunkedCoding
	}
	without := h.status/100 == 1 || h.status == http.StatusNoContent || h.status == http.StatusNotModified
	switch {
	case without:
		resp.ContentLength = 0
	case r.Method == http.MethodHead:
	case h.chunked:
		b.kind = kindChunked
		resp.Body = b
		return resp
	case h.length > 0:
		b.left = h.length
		resp.Body = b
		return resp
	case h.length < 0:
		b.kind, b.reusable, resp.Close = kindRest, false, true
		resp.Body = b
		return resp
	}
	resp.Body = http.NoBody
	b.finish()
	return resp
}

// adopt makes net/http's body one of ours.
func (l *link) adopt(resp *http.Response, br *bufio.Reader) io.ReadCloser {
	return &body{l: l, resp: resp, kind: kindForeign, foreign: resp.Body, buffer: br}
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (n int, err error) {
	switch {
	case b.whole:
		return 0, io.EOF
	case b.over.Load():
		return 0, http.ErrBodyReadAfterClose
	case len(p) == 0:
		return 0, nil
	}
	switch b.kind {
	case kindSized:
		n, err = b.sized(p)
	case kindChunked:
		n, err = b.chunked(p)
	case kindForeign:
		n, err = b.foreign.Read(p)
	default:
		n, err = b.take(p)
	}
	switch {
	case err == io.EOF:
		b.finish()
	case err != nil:
		err = b.fail(err)
	}
	return n, err
}

// Here returns the length of the content where all of it has come, so that nobody
// has to wait who reads it. Ask before the first Read.
func (b *body) Here() (n int64, ok bool) {
	have := b.l.room.in[b.l.r:b.l.w]
	switch b.kind {
	case kindSized:
		return b.left, b.left <= int64(len(have))
	case kindChunked:
		return chunksLength(have)
	}
	return 0, false
}

// chunksLength returns the length of chunked content that b has the whole of.
func chunksLength(b []byte) (n int64, ok bool) {
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 1 {
			return 0, false
		}
		size, ok := chunkSize(b[:i-1])
		b = b[i+1:]
		switch {
		case !ok || size > int64(len(b)-2):
			return 0, false
		case size == 0:
			return n, bytes.HasPrefix(b, []byte("\r\n")) || bytes.Contains(b, []byte("\r\n\r\n"))
		}
		n, b = n+size, b[size+2:]
	}
}

// take reads what has been read, or what comes.
func (b *body) take(p []byte) (int, error) {
	l := b.l
	if l.r < l.w {
		n := copy(p, l.room.in[l.r:l.w])
		l.r += n
		return n, nil
	}
	if len(p) >= len(l.room.in)/2 {
		b.limited = true
		return l.read(p)
	}
	b.limited = false
	if err := l.more(); err != nil {
		return 0, err
	}
	n := copy(p, l.room.in[l.r:l.w])
	l.r += n
	return n, nil
}

func (b *body) sized(p []byte) (int, error) {
	n, err := b.take(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	switch {
	case b.left == 0:
		return n, io.EOF
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

var errChunks = errors.New("http1: the response's chunks are malformed")

// chunked reads what is here, and waits only if that is nothing.
func (b *body) chunked(p []byte) (n int, err error) {
	for {
		if b.at == partData {
			m, err := b.take(p[n:min(int64(len(p)), int64(n)+b.left)])
			n += m
			if b.left -= int64(m); b.left == 0 {
				b.at = partEnd
			}
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			if err != nil || n == len(p) {
				return n, err
			}
			if b.left > 0 && b.l.r == b.l.w {
				return n, nil
			}
			continue
		}
		line, here, err := b.line(n > 0)
		switch {
		case err != nil:
			return n, err
		case !here:
			return n, nil
		}
		over, ok := b.next(line)
		switch {
		case !ok:
			return n, errChunks
		case over:
			return n, io.EOF
		}
	}
}

// maxLine bounds a chunk's first line, maxTrailers all of a trailer.
const (
	maxLine     = 4 << 10
	maxTrailers = 64 << 10
)

// line returns the next line without its end. It waits for it, unless it may
// not: then here is false.
func (b *body) line(mayNot bool) (line []byte, here bool, err error) {
	l := b.l
	for {
		in := l.room.in[l.r:l.w]
		if i := bytes.IndexByte(in, '\n'); i >= 0 {
			l.r += i + 1
			if i == 0 || in[i-1] != '\r' {
				return nil, false, errChunks
			}
			return in[:i-1], true, nil
		}
		if b.at != partTrailer && len(in) > maxLine || len(in) > maxTrailers {
			return nil, false, errChunks
		}
		if mayNot {
			return nil, false, nil
		}
		b.limited = false
		if err := l.more(); err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, false, err
		}
	}
}

// next takes in a line of chunked content, and reports whether it is the last.
func (b *body) next(line []byte) (over, ok bool) {
	switch b.at {
	case partSize:
		if b.left, ok = chunkSize(line); !ok {
			return false, false
		}
		if b.at = partData; b.left == 0 {
			b.at = partTrailer
		}
	case partEnd:
		b.at = partSize
		return false, len(line) == 0
	case partTrailer:
		if len(line) == 0 {
			return true, true
		}
		name, value, ok := parseField(string(line))
		if b.trailers += len(line); !ok || b.trailers > maxTrailers {
			return false, false
		}
		if b.resp.Trailer == nil {
			b.resp.Trailer = make(http.Header)
		}
		b.resp.Trailer[name] = append(b.resp.Trailer[name], value)
	}
	return false, true
}

// chunkSize reads the first line of a chunk. What follows the size is ignored
// (RFC 9112, section 7.1.1).
func chunkSize(line []byte) (n int64, ok bool) {
	i := 0
	for ; i < len(line) && i < 16; i++ {
		d := hexDigit(line[i])
		if d < 0 {
			break
		}
		if n = n<<4 | d; n < 0 {
			return 0, false
		}
	}
	rest := bytes.TrimLeft(line[i:], " \t")
	return n, i > 0 && (len(rest) == 0 || rest[0] == ';' && plainValue(string(rest)))
}

func hexDigit(c byte) int64 {
	switch {
	case c >= '0' && c <= '9':
		return int64(c - '0')
	case c >= 'a' && c <= 'f':
		return int64(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int64(c-'A') + 10
	}
	return -1
}

// finish is the end of content that has come as a whole.
func (b *body) finish() {
	b.whole = true
	if !b.over.CompareAndSwap(false, true) {
		return // Close has been here
	}
	l, fit := b.l, b.reusable && b.l.raw != nil
	if b.kind != kindRest && b.beyond() {
		fit = false
	}
	if fit && l.upload != nil {
		fit = l.upload.whole()
	}
	if l.unwatch != nil {
		fit = l.unwatch() && fit
		l.unwatch = nil
	}
	if fit && b.limited {
		fit = l.silent()
	}
	l.room.free()
	l.room, l.upload, l.used = nil, nil, true
	l.c.give(l, fit)
}

// beyond tells of what has been read and belongs to nobody.
func (b *body) beyond() bool {
	l := b.l
	over := l.room.in[l.r:l.w]
	if b.buffer != nil && b.buffer.Buffered() > 0 {
		more, _ := b.buffer.Peek(b.buffer.Buffered())
		over = append(more[:len(more):len(more)], over...)
	}
	l.c.surplus(over)
	return len(over) > 0
}

// fail is the end of content of which not all has come, and returns why.
func (b *body) fail(err error) error {
	if cause := b.resp.Request.Context().Err(); cause != nil {
		err = cause
	}
	b.Close()
	return fmt.Errorf("http1: the response broke off: %w", err)
}

// Close implements io.Closer.
func (b *body) Close() error {
	if b.over.CompareAndSwap(false, true) {
		b.l.drop()
	}
	return nil
}
