package proxy_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// An origin is an http.RoundTripper in the place of a web application. Like
// net/http's Transport it heeds the request's context, tells of interim
// responses, and reports a body that is shorter than was said.
type origin struct {
	// answer says how a request is answered; n counts them from 1. It is called
	// with mu held.
	answer func(r *http.Request, n int) (*reply, error)

	mu     sync.Mutex // guards what follows
	asked  []*http.Request
	inside int // requests under way
	peak   int // the most there were at once

	bodies []*originBody // that were handed out

	surprise error // a scenario's origin was asked what it has no answer for
}

// A reply is one answer of an origin.
type reply struct {
	refuse  bool          // cannot be connected to
	hang    time.Duration // before the head, or the refusal
	interim []http.Header // first, each with its status in ":status"
	status  int
	header  http.Header
	body    string
	pause   time.Duration // half way through the body
	cut     int           // break off after so many bytes; below 0 never
	trailer http.Header
	chunked bool
	given   bool // in a scenario: it was given once
}

func (o *origin) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if r.Body != nil {
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	o.mu.Lock()
	rep, err := o.answer(r, len(o.asked)+1)
	if err == nil && !rep.refuse {
		c := r.Clone(context.WithoutCancel(ctx))
		o.asked = append(o.asked, c)
		o.inside++
		o.peak = max(o.peak, o.inside)
		defer func() {
			o.mu.Lock()
			o.inside--
			o.mu.Unlock()
		}()
	}
	o.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, rep.hang); err != nil {
		return nil, err
	}
	if rep.refuse {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.Got1xxResponse != nil {
		for _, h := range rep.interim {
			h = h.Clone()
			code, _ := strconv.Atoi(h.Get(":status"))
			delete(h, ":status")
			if err := trace.Got1xxResponse(code, textproto.MIMEHeader(h)); err != nil {
				return nil, err
			}
		}
	}
	resp, err := rep.response(ctx, r)
	if err == nil {
		if b, ok := resp.Body.(*originBody); ok {
			o.mu.Lock()
			o.bodies = append(o.bodies, b)
			o.mu.Unlock()
		}
	}
	return resp, err
}

// leaked returns how many responses nobody reads on, nor has closed: with
// net/http's Transport each would hold a connection for ever.
func (o *origin) leaked() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for _, b := range o.bodies {
		b.mu.Lock()
		if !b.closed && b.ctx.Err() == nil {
			n++
		}
		b.mu.Unlock()
	}
	return n
}

func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// response is the reply as net/http's Transport returns it.
func (rep *reply) response(ctx context.Context, r *http.Request) (*http.Response, error) {
	resp := &http.Response{
		Status: fmt.Sprintf("%d %s", rep.status, http.StatusText(rep.status)), StatusCode: rep.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: rep.header.Clone(), Request: r, Body: http.NoBody,
	}
	resp.Header.Del("Transfer-Encoding")
	none := rep.status < 200 || rep.status == http.StatusNoContent || rep.status == http.StatusNotModified
	body := rep.body
	switch cl := resp.Header.Get("Content-Length"); {
	case rep.chunked:
		resp.ContentLength = -1
	case cl != "":
		n, err := strconv.ParseInt(cl, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("bad Content-Length %q", cl)
		}
		resp.ContentLength = n
		body = body[:min(int64(len(body)), n)]
	case !none:
		resp.ContentLength = int64(len(body))
		resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	if len(rep.trailer) > 0 {
		resp.Header.Del("Trailer")
		resp.Trailer = make(http.Header)
		for k := range rep.trailer {
			resp.Trailer[k] = nil
		}
	}
	if r.Method == http.MethodHead || none {
		return resp, nil
	}
	resp.Body = &originBody{ctx: ctx, rep: rep, left: body, short: resp.ContentLength > int64(len(body)), trailer: resp.Trailer}
	return resp, nil
}

// An originBody is a response's body as it comes in.
type originBody struct {
	ctx     context.Context
	rep     *reply
	left    string
	sent    int
	paused  bool
	short   bool // said to be longer than it is
	trailer http.Header

	mu     sync.Mutex // guards closed
	closed bool
}

func (b *originBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

func (b *originBody) Read(p []byte) (int, error) {
	half := (b.sent + len(b.left)) / 2
	if b.rep.pause > 0 && !b.paused && b.sent >= half {
		b.paused = true
		if err := pause(b.ctx, b.rep.pause); err != nil {
			return 0, err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.ctx.Err() != nil:
		return 0, b.ctx.Err()
	case b.closed:
		return 0, errors.New("http: read on closed response body")
	case b.rep.cut >= 0 && b.sent >= b.rep.cut:
		return 0, io.ErrUnexpectedEOF
	case b.left == "" && b.short:
		return 0, io.ErrUnexpectedEOF
	case b.left == "":
		maps.Copy(b.trailer, b.rep.trailer)
		return 0, io.EOF
	}
	n := len(b.left)
	if b.rep.pause > 0 && !b.paused {
		n = min(n, half-b.sent)
	}
	if b.rep.cut >= 0 {
		n = min(n, b.rep.cut-b.sent)
	}
	n = copy(p, b.left[:n])
	b.left, b.sent = b.left[n:], b.sent+n
	return n, nil
}

// fetches returns how many requests the origin was sent for a target, "" for
// any.
func (o *origin) fetches(target string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for _, r := range o.asked {
		if target == "" || targetOf(r) == target {
			n++
		}
	}
	return n
}

// latest returns the latest request.
func (o *origin) latest() (*http.Request, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.asked) == 0 {
		return nil, false
	}
	return o.asked[len(o.asked)-1], true
}

// targetOf returns path and query as they are on the wire.
func targetOf(r *http.Request) string {
	if u := r.URL; u.Opaque != "" {
		return u.Opaque
	}
	return r.URL.RequestURI()
}

// parseReply reads a raw response: a head, perhaps after interim ones, and what
// follows it, without the last line feed. Placeholders are filled in for each
// request anew: see the manual in scenario_test.go.
func parseReply(raw string, r *http.Request, n int) (*reply, error) {
	rep := &reply{cut: -1}
	for {
		head, rest, _ := strings.Cut(raw, "\n\n")
		head = fillIn(head, r, n)
		tp := textproto.NewReader(bufio.NewReader(strings.NewReader(head + "\n\n")))
		line, err := tp.ReadLine()
		if err != nil {
			return nil, err
		}
		code, _, _ := strings.Cut(strings.TrimPrefix(line, "HTTP/1.1 "), " ")
		status, err := strconv.Atoi(code)
		if err != nil || !strings.HasPrefix(line, "HTTP/1.1 ") {
			return nil, fmt.Errorf("%q is no status line", line)
		}
		h, err := tp.ReadMIMEHeader()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		raw = rest
		if status < 200 {
			h[":status"] = []string{code}
			rep.interim = append(rep.interim, http.Header(h))
			continue
		}
		rep.status, rep.header = status, http.Header(h)
		break
	}
	rep.chunked = strings.EqualFold(rep.header.Get("Transfer-Encoding"), "chunked")
	rep.body = fillIn(strings.TrimSuffix(raw, "\n"), r, n)
	if names := rep.header.Get("Trailer"); names != "" {
		body, fields, _ := cutLast(rep.body, "\n\n")
		rep.body = body
		h, err := textproto.NewReader(bufio.NewReader(strings.NewReader(fields + "\n\n"))).ReadMIMEHeader()
		if err != nil {
			return nil, fmt.Errorf("the trailer: %w", err)
		}
		rep.trailer = http.Header(h)
	}
	return rep, nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

var placeholder = regexp.MustCompile(`\{[^{}\n]*\}`)

// fillIn replaces the placeholders in a raw response.
func fillIn(s string, r *http.Request, n int) string {
	if !strings.Contains(s, "{") {
		return s
	}
	return placeholder.ReplaceAllStringFunc(s, func(m string) string {
		word := m[1 : len(m)-1]
		switch {
		case word == "n":
			return strconv.Itoa(n)
		case word == "path":
			return targetOf(r)
		case strings.HasPrefix(word, "now"):
			d, err := time.ParseDuration(cmp.Or(strings.TrimPrefix(word, "now"), "0s"))
			if err != nil {
				return m
			}
			return time.Now().Add(d).UTC().Format(http.TimeFormat)
		}
		if num, unit, ok := strings.Cut(word, " "); ok {
			if k, err := strconv.Atoi(num); err == nil {
				switch unit {
				case "bytes":
					return string(bytes.Repeat([]byte("x"), k))
				case "tags":
					var b strings.Builder
					for i := range k {
						fmt.Fprintf(&b, "tag-%d ", i)
					}
					return b.String()
				}
			}
			return m
		}
		if word != "" && slices.Contains(echoed, word) {
			return r.Header.Get(word)
		}
		return m
	})
}

// echoed are the request fields that have a placeholder.
var echoed = []string{"Accept-Language", "Accept-Encoding", "Cookie", "Authorization", "X-Variant"}
