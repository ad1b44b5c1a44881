package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"time"
)

// roleVariable makes this program play a part in place of measuring. Where is in
// addrVariable, and what to ask in originVariable.
const (
	roleVariable   = "BENCH_ROLE"
	addrVariable   = "BENCH_ADDR"
	originVariable = "BENCH_ORIGIN"

	originRole  = "origin"
	shopRole    = "shop"
	reverseRole = "reverseproxy"
)

func play(role string) error {
	l, err := net.Listen("tcp", os.Getenv(addrVariable))
	if err != nil {
		return err
	}
	switch role {
	case originRole:
		return serveOrigin(l)
	case shopRole:
		return serveShop(l)
	case reverseRole:
		return serveReverseProxy(l, os.Getenv(originVariable))
	}
	return errors.Join(fmt.Errorf("no role %q", role), l.Close())
}

// serveReverseProxy is httputil's proxy as one would write it who cares: with room
// for connections to the origin, and buffers used again.
func serveReverseProxy(l net.Listener, origin string) error {
	to := &url.URL{Scheme: "http", Host: origin}
	p := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.SetXForwarded()
		},
		Transport:  &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute, DisableCompression: true},
		BufferPool: &buffers{},
	}
	return (&http.Server{Handler: p, ReadHeaderTimeout: time.Minute}).Serve(l)
}

type buffers struct{ pool sync.Pool }

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}
	return make([]byte, 32<<10)
}

func (b *buffers) Put(p []byte) { b.pool.Put(&p) }
