package proxy

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// An inlineResponse is a handler's way to the client over HTTP/1.1, to which it does
// what net/http's does; a fuzz test holds the two together. What is written gathers
// in the scratch until it is worth a system call, is flushed, or is all there is.
//
// What is to be said of the content's length is known when the content is, or has
// become too much to be held back. Until then the head's end is left open.
type inlineResponse struct {
	c      *inlineConn
	sc     *scratch
	header http.Header
	head   bool               // the request is a HEAD
	cancel context.CancelFunc // of the request

	status  int      // 0: not said yet
	open    bool     // the head's end is to come
	untyped bool     // it says nothing of the content's type, and may have to
	ends    bool     // the connection ends with it
	trails  bool     // fields are to follow its content, if that comes in chunks
	chunked bool     // its content comes in chunks
	length  int64    // its Content-Length; -1: it has none
	written int64    // of the content, by the handler
	held    []byte   // content, while the head is open
	trailer []string // the fields that are to follow the content
	err     error    // why nothing can be written any more
}

// maxHeld is how much content may come before a length has to be said of it. It is
// net/http's, so that responses look as they would.
const maxHeld = 2 << 10

func newInlineResponse(c *inlineConn, sc *scratch, r *http.Request, cancel context.CancelFunc) *inlineResponse {
	sc.out = sc.out[:0]
	return &inlineResponse{c: c, sc: sc, header: make(http.Header, 20), head: r.Method == http.MethodHead, cancel: cancel, length: -1}
}

// forget ends it: nothing reaches the client, or the scratch, by it any more.
func (w *inlineResponse) forget() { w.err, w.sc, w.c = errGiven, nil, nil }

// Header implements http.ResponseWriter.
func (w *inlineResponse) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *inlineResponse) WriteHeader(status int) {
	switch {
	case w.err != nil:
	case w.status != 0:
		w.c.in.logf("proxy: a response was given the status %d after %d", status, w.status)
	case status < 100 || status > 999:
		panic(fmt.Sprintf("proxy: no status can be %d", status))
	case status < 200 && status != http.StatusSwitchingProtocols:
		w.sc.out = appendStatus(w.sc.out, status)
		w.fields("", func(name string) bool { return name != "Content-Length" && name != "Transfer-Encoding" })
		w.sc.out = append(w.sc.out, "\r\n"...)
		w.flushOut()
	default:
		w.openHead(status)
	}
}

// openHead writes the head as far as it is known, which nothing changes any more.
func (w *inlineResponse) openHead(status int) {
	w.status, w.open = status, true
	h := w.header
	if v := h["Content-Length"]; len(v) > 0 {
		n, err := strconv.ParseInt(v[0], 10, 64)
		if err == nil && n >= 0 && len(v) == 1 {
			w.length = n
		} else {
			w.c.in.logf("proxy: a response has the Content-Length %q", v)
		}
	}
	_, typed := h["Content-Type"]
	w.untyped = !typed && h.Get("Content-Encoding") == "" && bodyAllowed(status)
	asked := headerHasToken(h["Connection"], "close")
	w.ends = asked || w.c.state.Load() >= stateClosing
	w.trails = h["Trailer"] != nil
	for _, v := range h["Trailer"] {
		for name := range strings.SplitSeq(v, ",") {
			if name = http.CanonicalHeaderKey(trim(name)); isPlainName(name) && httpguts.ValidTrailerHeader(name) {
				w.trailer = append(w.trailer, name)
			}
		}
	}
	w.sc.out = appendStatus(w.sc.out, status)
	w.fields("", func(name string) bool {
		switch name {
		case "Content-Length":
			return bodyAllowed(status) && w.length >= 0
		case "Content-Type":
			return status != http.StatusNotModified
		case "Connection":
			return asked || !w.ends
		case "Transfer-Encoding":
			return false // closeHead says that
		}
		later := strings.HasPrefix(name, http.TrailerPrefix)
		w.trails = w.trails || later
		return !later
	})
	if _, dated := h["Date"]; !dated {
		w.sc.out = append(w.sc.out, "Date: "...)
		w.sc.out = time.Now().UTC().AppendFormat(w.sc.out, http.TimeFormat)
		w.sc.out = append(w.sc.out, "\r\n"...)
	}
	if w.ends && !asked {
		w.sc.out = append(w.sc.out, "Connection: close\r\n"...)
	}
}

// fields writes those whose names begin with a prefix, without that, and are to be, in
// the order of their names.
func (w *inlineResponse) fields(prefix string, is func(name string) bool) {
	names := w.sc.names[:0]
	for name := range w.header {
		if name, ok := strings.CutPrefix(name, prefix); ok && is(name) && isPlainName(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		w.field(name, w.header[prefix+name])
	}
	clear(names)
	w.sc.names = names[:0]
}

func (w *inlineResponse) field(name string, values []string) {
	b := w.sc.out
	for _, v := range values {
		if !isPlainValue(v) {
			v = trim(blanks.Replace(v))
		}
		b = append(append(append(append(b, name...), ": "...), v...), "\r\n"...)
	}
	w.sc.out = b
}

// blanks makes a value one that has one line.
var blanks = strings.NewReplacer("\n", " ", "\r", " ")

// closeHead writes the head's end. first is how the content begins.
func (w *inlineResponse) closeHead(first []byte) {
	w.open = false
	b := w.sc.out
	if w.untyped && len(first) > 0 {
		b = append(append(append(b, "Content-Type: "...), http.DetectContentType(first)...), "\r\n"...)
	}
	if w.length < 0 && !w.head && bodyAllowed(w.status) {
		w.chunked = true
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	w.sc.out = append(b, "\r\n"...)
}

// Write implements http.ResponseWriter.
func (w *inlineResponse) Write(p []byte) (int, error) {
	if w.status == 0 && w.err == nil {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.err != nil:
		return 0, w.err
	case len(p) == 0:
		return 0, nil
	case !bodyAllowed(w.status):
		return 0, http.ErrBodyNotAllowed
	}
	w.written += int64(len(p))
	if w.length >= 0 && w.written > w.length {
		return 0, http.ErrContentLength
	}
	if w.open && (w.length < 0 || w.untyped) && w.written <= maxHeld {
		w.held = append(w.held, p...)
		return len(p), nil
	}
	w.release(p)
	return w.content(p), w.err
}

// release closes the head, if it is open, and writes what was held back. next is
// what comes behind that.
func (w *inlineResponse) release(next []byte) {
	if !w.open {
		return
	}
	held := w.held
	w.held = nil
	first := held
	if w.untyped && len(first) < sniffed {
		first = append(slices.Clip(first), next[:min(len(next), sniffed)]...)
	}
	w.closeHead(first)
	w.content(held)
}

// sniffed is how much of a content tells its type.
const sniffed = 512

// content writes some of it, and returns how much was or will be.
func (w *inlineResponse) content(p []byte) (n int) {
	switch {
	case w.err != nil:
		return 0
	case w.head || len(p) == 0:
		return len(p)
	}
	if w.chunked {
		w.sc.out = strconv.AppendInt(w.sc.out, int64(len(p)), 16)
		w.sc.out = append(w.sc.out, "\r\n"...)
	}
	n = len(p)
	if before := len(w.sc.out); before+n <= inlineCopy {
		w.sc.out = append(w.sc.out, p...)
	} else {
		all, err := w.c.put(w.sc, p)
		n = max(0, int(all)-before)
		w.wrote(err)
	}
	if w.chunked {
		w.sc.out = append(w.sc.out, "\r\n"...)
	}
	return n
}

// Flush implements http.Flusher.
func (w *inlineResponse) Flush() { _ = w.FlushError() }

// FlushError is for http.ResponseController.
func (w *inlineResponse) FlushError() error {
	if w.status == 0 && w.err == nil {
		w.WriteHeader(http.StatusOK)
	}
	if w.err == nil {
		w.release(nil)
		w.flushOut()
	}
	return w.err
}

// flushOut sends what has gathered.
func (w *inlineResponse) flushOut() {
	if w.err != nil || len(w.sc.out) == 0 {
		return
	}
	_, err := w.c.put(w.sc, nil)
	w.wrote(err)
}

// wrote is told that what had gathered was written, or why it could not be: the
// client has left then.
func (w *inlineResponse) wrote(err error) {
	w.sc.out = w.sc.out[:0]
	if err != nil {
		w.err = err
		w.cancel()
	}
}

// finish writes what is left, as the handler has written all of it. After an error
// nothing may follow on the connection.
func (w *inlineResponse) finish() error {
	if w.status == 0 && w.err == nil {
		w.WriteHeader(http.StatusOK)
	}
	if w.err != nil {
		return w.err
	}
	if w.open && w.length < 0 && !w.trails && bodyAllowed(w.status) && (!w.head || len(w.held) > 0) {
		w.length = w.written
		w.field("Content-Length", []string{strconv.FormatInt(w.length, 10)})
	}
	w.release(nil)
	if w.chunked {
		w.sc.out = append(w.sc.out, "0\r\n"...)
		w.trailers()
		w.sc.out = append(w.sc.out, "\r\n"...)
	}
	w.flushOut()
	switch {
	case w.err != nil:
		return w.err
	case w.ends, !w.head && bodyAllowed(w.status) && w.length >= 0 && w.length != w.written:
		return errEnds
	}
	return nil
}

// trailers writes the fields that follow the content: those that were announced,
// and those that are named so. What may not do so (RFC 9110, section 6.5.1) does not;
// net/http looks at those that were announced only.
func (w *inlineResponse) trailers() {
	for _, name := range w.trailer {
		w.field(name, w.header[name])
	}
	w.fields(http.TrailerPrefix, httpguts.ValidTrailerHeader)
}

// breakOff sends what has gathered of a response that was given up.
func (w *inlineResponse) breakOff() {
	if w.status != 0 && !w.open {
		w.flushOut()
	}
}
