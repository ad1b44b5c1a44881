package proxy

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"surrogate/store"
)

// Options say what a Proxy works with.
type Options struct {
	Store store.Store // required
	Sites []Site      // required; see Site.Hosts for how a request finds its site

	// Invalidate makes names, and what depends on them, fall: what an unsafe
	// request changed, or what a refused fill passes on. It returns when the
	// purge is in force. by says who asked, for the log. Nil invalidates nothing.
	Invalidate func(ctx context.Context, names []store.Name, by string) error

	// Trusted are the networks of proxies in front whose X-Forwarded-For,
	// -Proto and -Host are believed. Everybody else's are replaced.
	Trusted []netip.Prefix

	// Served is told of every response that is given from the store, or from a
	// fetch that is stored, before it is given. It is called on the hit path from
	// any goroutine: it must neither wait nor allocate for what it knows already.
	// Nil is told nothing.
	Served func(Served)

	// Heat is how often a key was asked for lately, in requests a minute. With nil,
	// Site.EarlyHeat is of no effect.
	Heat func(store.Key) float64

	// Fetched is told of each answered or failed fetch that fills or refreshes the
	// store, for pacing those that no visitor waits for. Nil is told nothing.
	Fetched func(Fetched)

	// Covers reports whether a connection was made for a host (RFC 9110, section
	// 7.4): a request over it for another is answered 421. Trusted proxies may ask
	// for any. Nil covers every host.
	Covers func(c *tls.ConnectionState, host string) bool

	Log     *slog.Logger // errors and warnings; nil discards them
	Access  *slog.Logger // one record a request; nil writes none
	Metrics *metrics.Set // nil counts into a set of its own

	// Transport asks a site's origins in place of the proxy, which goes by
	// the site's limits. Tests put an origin here.
	Transport func(s *Site) http.RoundTripper

	// MaxRefreshes bounds the background revalidations under way at once; above
	// it one is left to the next request that wants it. 0 means 256.
	MaxRefreshes int
}

// A Site is one web application behind the proxy.
type Site struct {
	Name    string     // for metrics and logs
	Hosts   []string   // "shop.example", "*.shop.example"; none: every host that no other site has
	Origins []*url.URL // where it is served from, in turn; at least one

	// RedirectHTTPS is the port to which requests over HTTP are redirected, to be
	// repeated over HTTPS; 0 serves them.
	RedirectHTTPS int

	// OriginHost sends the origin its own host as Host instead of the client's.
	OriginHost bool

	Key           store.KeyRules
	Policy        Policy
	Encodings     []string // what Accept-Encoding is reduced to, in this order; nil leaves it alone
	BypassCookies []string // a request with one of these is passed by; a trailing * matches any rest
	VaryCookies   []string // if not nil, only these are left of Cookie on requests that may be cached

	TagFields   []string // fields whose union tags a response
	DepFields   []string // fields that declare its deps
	TagRules    store.TagRules
	KeepTags    bool     // pass tag and dep fields on to clients
	StripFields []string // further fields that clients do not see
	Debug       bool     // tell clients key and tags
	MaxObject   int64    // bytes of the largest body that is stored; 0 means 32 MiB
	Early       float64  // above 0, refresh hot entries early: the beta of the XFetch rule, 1 is usual
	EarlyHeat   float64  // how hot they must be, in requests a minute
	Fill        Fill
}

// A Fill bounds what is done with the origin. Zero values mean the default.
type Fill struct {
	ConnectTimeout  time.Duration // to connect: 5 s
	ResponseTimeout time.Duration // from the request to the response's head: 30 s
	IdleTimeout     time.Duration // between two bytes of a body that is to be stored: 60 s
	Deadline        time.Duration // for all of a fetch that is to be stored: 1 h
	Wait            time.Duration // how long one waits for another's fetch to begin answering, before fetching himself: 10 s
	Retries         int           // further tries after a failure to connect; below 0 none: 1
	MaxConns        int           // connections to one origin at once; 0: no limit
	IdleConns       int           // idle connections kept to one origin: 64
	HeaderBytes     int64         // the largest response head: 1 MiB
	Unshared        time.Duration // how long an uncacheable URL is remembered as not worth waiting for: 2 min
}

func (f Fill) withDefaults() Fill {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&f.ConnectTimeout, 5*time.Second)
	def(&f.ResponseTimeout, 30*time.Second)
	def(&f.IdleTimeout, time.Minute)
	def(&f.Deadline, time.Hour)
	def(&f.Wait, 10*time.Second)
	def(&f.Unshared, 2*time.Minute)
	if f.Retries == 0 {
		f.Retries = 1
	}
	if f.IdleConns <= 0 {
		f.IdleConns = 64
	}
	if f.HeaderBytes <= 0 {
		f.HeaderBytes = 1 << 20
	}
	return f
}
