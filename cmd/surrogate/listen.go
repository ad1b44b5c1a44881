package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"surrogate/config"
	"surrogate/proxy"
)

// A front is what clients and operators connect to: the public addresses and
// the admin one.
type front struct {
	public, admin *http.Server
	log           *slog.Logger

	inline   *proxy.Inline // answers plain requests on the public addresses
	publicAt []net.Listener
	secureAt []net.Listener // for HTTPS; served by public too
	tls      *tls.Config    // that they speak
	adminAt  net.Listener   // nil for none

	inProgress atomic.Int64       // requests of public, those whose connection was upgraded included
	cut        context.CancelFunc // ends them
	serving    sync.WaitGroup
	failed     chan error // a listener broke
}

// listen binds all addresses, or none of them. inline makes a server answer what it can
// without net/http.
func listen(cfg *config.Config, public, admin http.Handler, inline func(*http.Server) *proxy.Inline, log *slog.Logger) (*front, error) {
	f := &front{log: log, failed: make(chan error, len(cfg.Listen)+len(cfg.TLS.Listen)+1)}
	for _, a := range cfg.Listen {
		l, err := bind(a, "--listen")
		if err != nil {
			f.unbind()
			return nil, err
		}
		f.publicAt = append(f.publicAt, l)
	}
	if cfg.Admin != "" {
		l, err := bind(cfg.Admin, "--admin")
		if err != nil {
			f.unbind()
			return nil, err
		}
		f.adminAt = l
	}
	var base context.Context
	base, f.cut = context.WithCancel(context.Background())
	f.public = server(cfg, log, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.inProgress.Add(1)
		defer f.inProgress.Add(-1)
		public.ServeHTTP(w, r)
	}))
	f.inline = inline(f.public)
	f.public.BaseContext = func(net.Listener) context.Context { return base }
	f.admin = server(cfg, log, admin)
	f.admin.ReadTimeout = time.Minute // a purge has no reason to take its time
	return f, nil
}

// bind listens on one address; flag is what sets another.
func bind(addr, flag string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("couldn't listen on %s: something else does already; %s sets another address", addr, flag)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("couldn't listen on %s: not permitted; %s sets another address", addr, flag)
	case err != nil:
		return nil, fmt.Errorf("couldn't listen: %w", err)
	}
	return l, nil
}

// server is an HTTP server within the limits. It has no write timeout: downloads,
// long polls and event streams take as long as their clients like.
func server(cfg *config.Config, log *slog.Logger, h http.Handler) *http.Server {
	var p http.Protocols
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true) // for load balancers that speak it; by prior knowledge only
	return &http.Server{
		Handler:           h,
		Protocols:         &p,
		ReadHeaderTimeout: time.Duration(cfg.Limits.HeaderTimeout),
		IdleTimeout:       time.Duration(cfg.Limits.IdleTimeout),
		MaxHeaderBytes:    int(cfg.Limits.HeaderBytes),
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: cfg.Limits.HTTP2Streams},
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),

		DisableGeneralOptionsHandler: true, // OPTIONS * is the origin's to answer
	}
}

// serve begins to serve on every address.
func (f *front) serve() {
	run := func(serve func(net.Listener) error, l net.Listener) {
		f.serving.Go(func() {
			if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
				f.failed <- fmt.Errorf("couldn't go on serving on %s: %w", l.Addr(), err)
			}
		})
	}
	for _, l := range f.publicAt {
		run(f.public.Serve, f.inline.Listener(l))
	}
	for _, l := range f.secureAt {
		run(f.public.Serve, f.inline.SecureListener(l, f.tls))
	}
	if f.adminAt != nil {
		run(f.admin.Serve, f.adminAt)
	}
}

// drain stops accepting and waits for the requests in progress until ctx ends,
// then cuts off what is left. Upgraded connections, which have no end of their
// own, are cut when all else is done. The admin listener answers to the last.
func (f *front) drain(ctx context.Context) (whole bool) {
	err := f.public.Shutdown(ctx)
	if err == nil {
		err = f.inline.Drain(ctx)
	}
	f.cut()
	if err != nil {
		f.public.Close()
		f.inline.Cut()
	}
	f.awaitLast()
	f.closeAdmin()
	f.serving.Wait()
	return err == nil
}

// awaitLast waits for requests that were cut off to notice.
func (f *front) awaitLast() {
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for give := time.Now().Add(2 * time.Second); f.inProgress.Load() > 0 && time.Now().Before(give); {
		<-look.C
	}
}

func (f *front) closeAdmin() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if f.admin.Shutdown(ctx) != nil {
		f.admin.Close()
	}
}

func (f *front) unbind() {
	for _, l := range f.publicAt {
		l.Close()
	}
	for _, l := range f.secureAt {
		l.Close()
	}
	if f.adminAt != nil {
		f.adminAt.Close()
	}
}

// urlOf is where a listener is reached from this machine by a scheme, and whether
// others reach it too.
func urlOf(scheme string, l net.Listener) (url string, everywhere bool) {
	at, err := netip.ParseAddrPort(l.Addr().String())
	if err != nil {
		return scheme + "://" + l.Addr().String(), false
	}
	if at.Addr().IsUnspecified() {
		return fmt.Sprintf("%s://127.0.0.1:%d", scheme, at.Port()), true
	}
	return scheme + "://" + at.String(), false
}
