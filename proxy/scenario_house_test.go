package proxy_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"surrogate/proxy"
	"surrogate/purge"
	"surrogate/store"
	"surrogate/store/memstore"
)

const (
	shopHost = "shop.example"
	visitor  = "192.0.2.1"
	operator = "127.0.0.1"
	inFront  = "10.0.0.1" // a trusted proxy
)

// A house is a whole surrogate: proxy, store and purger joined as the program
// joins them, with a fake origin behind.
type house struct {
	t       testing.TB
	origin  *origin
	store   *flakyStore
	purger  *purge.Purger
	proxy   *proxy.Proxy
	public  http.Handler
	admin   *mux.Router
	site    proxy.Site
	stop    context.CancelFunc
	running sync.WaitGroup
}

// shopSite is a site with the program's defaults.
func shopSite() proxy.Site {
	return proxy.Site{
		Name:    "shop",
		Origins: []*url.URL{{Scheme: "http", Host: "origin.internal"}},
		Key:     store.KeyRules{SortQuery: true, Drop: []string{"utm_*", "gclid", "fbclid"}},
		Policy: proxy.Policy{
			Targeted:          []string{"Surrogate-Cache-Control", "Surrogate-Control", "CDN-Cache-Control"},
			HeuristicFraction: 0.1, HeuristicMax: 24 * time.Hour, Keep: time.Hour, StoreAuthorized: true,
			Capability: "surrogate",
		},
		Encodings: []string{"zstd", "br", "gzip"},
		TagFields: []string{"Surrogate-Key", "xkey", "Cache-Tag", "Edge-Cache-Tag", "X-Cache-Tags", "X-Magento-Tags", "Cache-Tags", "Cache-Groups"},
		DepFields: []string{"Surrogate-Depends"},
		TagRules:  store.TagRules{MaxTags: 4096, MaxBytes: 64 << 10},
	}
}

// newHouse opens a house with a fake origin; close it before the test, or its
// bubble, ends.
func newHouse(t testing.TB, log *slog.Logger) *house {
	t.Helper()
	return newHouseOn(t, log, memstore.New(memstore.Options{MaxBytes: 64 << 20}))
}

// newHouseOn is newHouse on another store.
func newHouseOn(t testing.TB, log *slog.Logger, on store.Store) *house {
	t.Helper()
	o := &origin{}
	h := openHouseOn(t, log, shopSite(), on, func(*proxy.Site) http.RoundTripper { return o })
	h.origin = o
	return h
}

// openHouse opens a house for a site; without a transport its origin is real.
func openHouse(t testing.TB, log *slog.Logger, site proxy.Site, opt memstore.Options, transport func(*proxy.Site) http.RoundTripper, edits ...func(*proxy.Options)) *house {
	t.Helper()
	return openHouseOn(t, log, site, memstore.New(opt), transport, edits...)
}

func openHouseOn(t testing.TB, log *slog.Logger, site proxy.Site, on store.Store, transport func(*proxy.Site) http.RoundTripper, edits ...func(*proxy.Options)) *house {
	t.Helper()
	h := &house{t: t, site: site}
	h.store = &flakyStore{Store: on}
	whole := store.Store(h.store)
	if f, ok := on.(store.Fleet); ok {
		whole = flakyFleet{h.store, f}
	}
	h.purger = purge.New(purge.Options{
		Store: whole,
		Rules: func(string) *store.KeyRules { return &h.site.Key },
		Hosts: func() []string { return []string{"*"} },
		Log:   log,
		ACL:   []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	var err error
	options := proxy.Options{
		Store: whole, Sites: []proxy.Site{h.site}, Log: log,
		Invalidate: func(ctx context.Context, names []store.Name, by string) error {
			return h.purger.Invalidate(ctx, names, false, by)
		},
		Trusted:   []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
		Transport: transport,
	}
	for _, edit := range edits {
		edit(&options)
	}
	h.proxy, err = proxy.New(options)
	if err != nil {
		t.Fatal(err)
	}
	h.public = h.purger.Intercept(h.proxy)
	h.admin = mux.NewRouter()
	h.purger.Mount(h.admin)
	ctx, cancel := context.WithCancel(context.Background())
	h.stop = cancel
	for _, run := range []func(context.Context) error{h.purger.Run, h.store.Run} {
		h.running.Go(func() {
			if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("Run: %v", err)
			}
		})
	}
	return h
}

func (h *house) close() {
	if err := h.proxy.Close(); err != nil {
		h.t.Errorf("close the proxy: %v", err)
	}
	h.stop()
	h.running.Wait()
	if err := h.store.Close(); err != nil {
		h.t.Errorf("close the store: %v", err)
	}
}

// change applies one setting to the site, as a reload would.
func (h *house) change(key, value string) error {
	set, ok := settings[key]
	if !ok {
		return errors.New("there is no such key")
	}
	site := h.site
	if err := set(&site, value); err != nil {
		return err
	}
	h.site = site
	return h.proxy.SetSites([]proxy.Site{site})
}

// settings are what the verb config can set, by the names that they have in
// proxy.toml.
var settings = map[string]func(s *proxy.Site, v string) error{
	"max_object":       func(s *proxy.Site, v string) (err error) { s.MaxObject, err = strconv.ParseInt(v, 10, 64); return },
	"default_ttl":      duration(func(s *proxy.Site) *time.Duration { return &s.Policy.DefaultTTL }),
	"max_ttl":          duration(func(s *proxy.Site) *time.Duration { return &s.Policy.MaxTTL }),
	"negative_ttl":     duration(func(s *proxy.Site) *time.Duration { return &s.Policy.NegativeTTL }),
	"swr":              duration(func(s *proxy.Site) *time.Duration { return &s.Policy.WhileRevalidate }),
	"sie":              duration(func(s *proxy.Site) *time.Duration { return &s.Policy.IfError }),
	"keep":             duration(func(s *proxy.Site) *time.Duration { return &s.Policy.Keep }),
	"wait":             duration(func(s *proxy.Site) *time.Duration { return &s.Fill.Wait }),
	"timeout":          duration(func(s *proxy.Site) *time.Duration { return &s.Fill.Deadline }),
	"idle_timeout":     duration(func(s *proxy.Site) *time.Duration { return &s.Fill.IdleTimeout }),
	"response_timeout": duration(func(s *proxy.Site) *time.Duration { return &s.Fill.ResponseTimeout }),
	"uncacheable":      duration(func(s *proxy.Site) *time.Duration { return &s.Fill.Unshared }),
	"jitter":           func(s *proxy.Site, v string) (err error) { s.Policy.Jitter, err = strconv.ParseFloat(v, 64); return },
	"early":            func(s *proxy.Site, v string) (err error) { s.Early, err = strconv.ParseFloat(v, 64); return },
	"debug":            func(s *proxy.Site, v string) error { s.Debug = v == "true"; return nil },
	"keep_tags":        func(s *proxy.Site, v string) error { s.KeepTags = v == "true"; return nil },
	"loose_s_maxage":   func(s *proxy.Site, v string) error { s.Policy.LooseSMaxAge = v == "true"; return nil },
	"set_cookie":       func(s *proxy.Site, v string) error { s.Policy.StoreSetCookie = v == "store"; return nil },
	"authorization":    func(s *proxy.Site, v string) error { s.Policy.StoreAuthorized = v == "rfc9111"; return nil },
	"cookies.bypass":   func(s *proxy.Site, v string) error { s.BypassCookies = strings.Fields(v); return nil },
	"cookies.vary":     func(s *proxy.Site, v string) error { s.VaryCookies = strings.Fields(v); return nil },
	"strip":            func(s *proxy.Site, v string) error { s.StripFields = strings.Fields(v); return nil },
}

func duration(of func(*proxy.Site) *time.Duration) func(*proxy.Site, string) error {
	return func(s *proxy.Site, v string) (err error) {
		*of(s), err = time.ParseDuration(v)
		return err
	}
}

// A flakyStore is a store whose lookups or puts can be made to fail.
type flakyStore struct {
	store.Store
	broken atomic.Bool
	full   atomic.Bool
}

var errBroken = errors.New("the store is broken for the test")

func (s *flakyStore) Get(ctx context.Context, key store.Key, ask store.Fields) (store.Found, error) {
	if s.broken.Load() {
		return store.Found{}, errBroken
	}
	return s.Store.Get(ctx, key, ask)
}

func (s *flakyStore) Put(ctx context.Context, e *store.Entry) error {
	if s.full.Load() {
		return errBroken
	}
	return s.Store.Put(ctx, e)
}

func (s *flakyStore) Purge(ctx context.Context, p store.Purge) (store.Event, error) {
	if s.broken.Load() {
		return store.Event{}, errBroken
	}
	return s.Store.Purge(ctx, p)
}

// A flakyFleet is a flakyStore of a fleet.
type flakyFleet struct {
	*flakyStore
	fleet store.Fleet
}

func (f flakyFleet) Node() string { return f.fleet.Node() }
func (f flakyFleet) Hears() bool  { return f.fleet.Hears() }

func (f flakyFleet) Nodes(ctx context.Context) ([]store.Node, error) { return f.fleet.Nodes(ctx) }

func (f flakyFleet) Await(ctx context.Context, seq store.Seq) (map[string]store.Seq, bool, error) {
	return f.fleet.Await(ctx, seq)
}

func (f flakyFleet) Claim(ctx context.Context, id string, ttl time.Duration) (store.Claim, <-chan struct{}, error) {
	return f.fleet.Claim(ctx, id, ttl)
}
