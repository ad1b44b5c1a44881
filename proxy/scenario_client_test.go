package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A visit is one request of a client's and what it was answered: an
// http.ResponseWriter that behaves like net/http's, so that what a client sees
// is known at every moment.
type visit struct {
	name   string // of a client in the background
	ctx    context.Context
	leave  context.CancelFunc
	method string
	done   chan struct{} // closed when it is over

	mu      sync.Mutex // guards what follows
	live    http.Header
	status  int
	header  http.Header // as it was when the head was sent
	hints   []http.Header
	body    bytes.Buffer
	length  int64 // what was declared, -1 for nothing
	flushed int
	trailer http.Header
	aborted bool // the connection broke off
	panic   any
}

// send begins a request to handler, as a server would.
func send(t testing.TB, handler http.Handler, method, scheme, host, target string, header http.Header, content, peer string) *visit {
	t.Helper()
	v := &visit{method: method, done: make(chan struct{}), live: make(http.Header), length: -1}
	u, err := url.ParseRequestURI(target)
	if err != nil {
		t.Errorf("%s %s: %v", method, target, err)
		u = &url.URL{Path: "/"}
	}
	if header == nil {
		header = make(http.Header)
	}
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), http.ServerContextKey, &http.Server{}))
	v.ctx, v.leave = ctx, cancel
	r := &http.Request{
		Method: method, URL: u, RequestURI: target, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Host: host, RemoteAddr: peer + ":40000", Body: http.NoBody,
	}
	if scheme == "https" {
		header.Set("X-Forwarded-Proto", "https")
	}
	if content != "" {
		r.Body, r.ContentLength = nopCloser{strings.NewReader(content)}, int64(len(content))
	}
	r = r.WithContext(ctx)
	go func() {
		defer close(v.done)
		defer cancel()
		defer func() { v.finish(recover()) }()
		handler.ServeHTTP(v, r)
	}()
	return v
}

type nopCloser struct{ *strings.Reader }

func (nopCloser) Close() error { return nil }

func (v *visit) Header() http.Header { return v.live }

func (v *visit) WriteHeader(status int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.writeHeader(status)
}

func (v *visit) writeHeader(status int) {
	if v.status != 0 {
		return
	}
	if status >= 100 && status < 200 && status != http.StatusSwitchingProtocols {
		h := v.live.Clone()
		h[":status"] = []string{strconv.Itoa(status)}
		v.hints = append(v.hints, h)
		return
	}
	v.status = status
	v.header = v.live.Clone()
	if cl := v.live.Get("Content-Length"); cl != "" {
		n, err := strconv.ParseInt(cl, 10, 64)
		if err != nil || n < 0 {
			v.panic = errors.New("a Content-Length that is none: " + cl)
		}
		v.length = n
	}
}

func (v *visit) Write(b []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.writeHeader(http.StatusOK)
	switch {
	case v.ctx.Err() != nil:
		return 0, errors.New("write: broken pipe")
	case v.status == http.StatusNoContent || v.status == http.StatusNotModified:
		return 0, http.ErrBodyNotAllowed
	case v.length >= 0 && int64(v.body.Len()+len(b)) > v.length && v.method != http.MethodHead:
		return 0, http.ErrContentLength
	case v.method == http.MethodHead:
		return len(b), nil
	}
	return v.body.Write(b)
}

// FlushError implements what http.ResponseController looks for.
func (v *visit) FlushError() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.writeHeader(http.StatusOK)
	v.flushed = v.body.Len()
	return nil
}

// Flush implements http.Flusher.
func (v *visit) Flush() { v.FlushError() }

// finish ends the response as net/http does when a handler returns or panics.
func (v *visit) finish(panicked any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if panicked != nil {
		v.aborted = true
		if panicked != http.ErrAbortHandler {
			v.panic = panicked
		}
		return
	}
	if v.ctx.Err() != nil {
		return // the client has left
	}
	v.writeHeader(http.StatusOK)
	none := v.method == http.MethodHead || v.status == http.StatusNoContent || v.status == http.StatusNotModified
	if v.length >= 0 && int64(v.body.Len()) < v.length && !none {
		v.aborted = true // net/http closes the connection
	}
	v.flushed = v.body.Len()
	v.trailer = make(http.Header)
	for name, values := range v.live {
		if rest, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			v.trailer[rest] = values
		}
	}
	for _, list := range v.header["Trailer"] {
		for name := range strings.SplitSeq(list, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if values, ok := v.live[name]; ok {
				v.trailer[name] = values
			}
		}
	}
	maps.DeleteFunc(v.header, func(name string, _ []string) bool { return strings.HasPrefix(name, http.TrailerPrefix) })
}

// over reports whether the visit has ended.
func (v *visit) over() bool {
	select {
	case <-v.done:
		return true
	default:
		return false
	}
}

// content returns what the client was sent; of a visit that is under way, what
// was flushed.
func (v *visit) content() string {
	over := v.over()
	v.mu.Lock()
	defer v.mu.Unlock()
	b := v.body.Bytes()
	if !over {
		b = b[:v.flushed]
	}
	return string(b)
}

// values returns a field of the head that was sent.
func (v *visit) values(name string) []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.header[http.CanonicalHeaderKey(name)])
}

func (v *visit) code() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.status
}

// broke reports whether the connection broke off, and a panic that was none of
// http.ErrAbortHandler.
func (v *visit) broke() (aborted bool, panicked any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.aborted, v.panic
}
