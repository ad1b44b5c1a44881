package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"surrogate/store"
)

// inside asks a handler in this process for a URL, as a client on this machine
// would. The body comes as the handler writes it; closing it, or the end of ctx,
// ends the request. Redirects are answers like others.
func inside(ctx context.Context, h http.Handler, rawURL string, fields http.Header) (*http.Response, error) {
	scheme, host, target, err := store.SplitURL(rawURL, "")
	if err != nil {
		return nil, err
	}
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, fmt.Errorf("%w: %.200q", store.ErrBadURL, rawURL)
	}
	asking := ctx
	ctx, cancel := context.WithCancelCause(asking)
	r := (&http.Request{
		Method: http.MethodGet, URL: u, RequestURI: target, Host: host, Header: fields.Clone(), Body: http.NoBody,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RemoteAddr: "127.0.0.1:0",
	}).WithContext(ctx)
	if r.Header == nil {
		r.Header = http.Header{}
	}
	if r.Header.Get("User-Agent") == "" {
		r.Header.Set("User-Agent", "surrogate (warming)")
	}
	if strings.EqualFold(scheme, "https") {
		r.TLS = &tls.ConnectionState{}
	}
	body, into := io.Pipe()
	w := &insideWriter{head: http.Header{}, into: into, begun: make(chan struct{})}
	go func() {
		defer func() {
			end := error(nil)
			if v := recover(); v != nil {
				end = fmt.Errorf("the response broke off: %v", v) // http.ErrAbortHandler, as it is meant
				if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
					defer panic(v)
				}
			}
			w.WriteHeader(http.StatusOK)
			into.CloseWithError(end)
			cancel(nil)
		}()
		h.ServeHTTP(w, r)
	}()
	stop := context.AfterFunc(ctx, func() { into.CloseWithError(context.Cause(ctx)) })
	select {
	case <-w.begun:
	case <-asking.Done():
	}
	if asking.Err() != nil { // what the handler says then is no answer
		return nil, context.Cause(asking)
	}
	return &http.Response{
		StatusCode: w.status, Header: w.sent, ContentLength: -1, Request: r, Proto: r.Proto, ProtoMajor: 1, ProtoMinor: 1,
		Body: insideBody{body, func() { stop(); cancel(errors.New("the body was closed")) }},
	}, nil
}

// An insideBody is a body whose closing ends the request.
type insideBody struct {
	io.ReadCloser
	end func()
}

func (b insideBody) Close() error {
	err := b.ReadCloser.Close()
	b.end()
	return err
}

// An insideWriter is the handler's end of a response.
type insideWriter struct {
	head  http.Header
	into  *io.PipeWriter
	once  sync.Once
	begun chan struct{} // closed when status and sent are set

	status int
	sent   http.Header
}

func (w *insideWriter) Header() http.Header { return w.head }

func (w *insideWriter) WriteHeader(status int) {
	if status < 200 {
		return // interim
	}
	w.once.Do(func() {
		w.status, w.sent = status, w.head.Clone()
		close(w.begun)
	})
}

func (w *insideWriter) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.into.Write(b)
}

func (w *insideWriter) Flush() {}
