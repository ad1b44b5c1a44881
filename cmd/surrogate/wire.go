package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"surrogate/config"
	"surrogate/proxy"
	"surrogate/purge"
	"surrogate/store"
	"surrogate/store/memstore"
	"surrogate/store/redisstore"
	"surrogate/store/tierstore"
	"surrogate/warm"
)

// A node is one running proxy: a store, what serves from it and what purges it,
// joined by function values, because those know nothing of each other.
type node struct {
	store   store.Store
	fleet   *tierstore.Fleet  // the store again, if it is in Redis; else nil
	redis   *redisstore.Store // what is below it
	purger  *purge.Purger
	proxy   *proxy.Proxy
	keys    *keyring // nil where there is no HTTPS
	counted *counted
	fallen  *fallen
	log     *slog.Logger
	level   *slog.LevelVar
	began   time.Time

	queue    store.Queue // of what is to be warmed
	intake   *warm.Intake
	warming  *warmth
	plans    plansInForce
	fellTags chan fellTags // purged, and perhaps registered for warming

	settings atomic.Pointer[config.Config] // in force
	draining atomic.Bool

	refused chan error // why this node cannot work with its Redis at all
	stop    context.CancelFunc
	working sync.WaitGroup
}

// newNode makes a node of a configuration. It starts nothing; see run.
func newNode(cfg *config.Config, logs io.Writer) (*node, error) {
	n := &node{began: time.Now(), counted: newCounted(), fallen: newFallen(), level: new(slog.LevelVar), refused: make(chan error, 3)}
	n.settings.Store(cfg)
	n.level.Set(levelOf(cfg))
	n.log = slog.New(logHandler(cfg, logs, n.level))
	var err error
	if err = n.newKeys(cfg); err != nil {
		return nil, err
	}
	if n.store, err = n.newStore(cfg); err != nil {
		return nil, err
	}
	if n.queue, err = n.newQueue(cfg); err != nil {
		return nil, err
	}
	n.fellTags = make(chan fellTags, maxPurged)
	n.intake = n.newIntake()
	n.warming = newWarming(n)
	n.purger = purge.New(n.purgeOptions(cfg))
	n.proxy, err = proxy.New(n.proxyOptions(cfg))
	if err != nil {
		return nil, fmt.Errorf("couldn't make the proxy: %w", err)
	}
	n.counted.store(n.store)
	n.counted.fleet(n)
	n.counted.warming(n.warming)
	return n, nil
}

// run begins the node's own work: sweeping, and what the store does now and
// then. close ends it.
func (n *node) run() {
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	n.working.Go(func() { n.warmPurged(ctx) })
	n.working.Go(func() { n.tendWarming(ctx) })
	n.working.Go(func() { boundMemory(ctx, n.settings.Load()) })
	for what, run := range map[string]func(context.Context) error{
		"the store": n.store.Run, "the purger": n.purger.Run, "the schedule of warming": n.intake.RunSchedules,
		"warming": n.warming.warmer.Run, "warming after purges": n.warming.rewarmer.Run,
	} {
		n.working.Go(func() {
			if err := run(ctx); err != nil {
				n.log.Error(what+" stopped working", "error", err)
				if n.redis != nil && !n.redis.Joined() {
					n.refused <- err
				}
			}
		})
	}
	if n.fleet != nil {
		n.working.Go(func() { n.share(ctx) })
	}
}

// close ends what run began and frees what the node holds. No request may be
// served any more.
func (n *node) close() {
	n.stop()
	n.working.Wait()
	n.keys.close()
	n.tellQueued()
	if err := n.queue.Close(); err != nil {
		n.log.Error("closing the queue of what is to be warmed", "error", err)
	}
	if err := n.proxy.Close(); err != nil {
		n.log.Error("closing the proxy", "error", err)
	}
	if err := n.store.Close(); err != nil {
		n.log.Error("closing the store", "error", err)
	}
}

func levelOf(cfg *config.Config) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(cfg.Log.Level)); err != nil {
		return slog.LevelInfo // not reached: config accepts only slog's words
	}
	return l
}

func logHandler(cfg *config.Config, w io.Writer, level slog.Leveler) slog.Handler {
	o := &slog.HandlerOptions{Level: level}
	if cfg.Log.Format == "json" {
		return slog.NewJSONHandler(w, o)
	}
	return slog.NewTextHandler(w, o)
}

func memstoreOptions(cfg *config.Config) memstore.Options {
	// The store has one bound for all keys: that of the site which allows most.
	picks := cfg.Defaults.Vary.MaxPicks
	for i := range cfg.Sites {
		picks = max(picks, cfg.Sites[i].Vary.MaxPicks)
	}
	return memstore.Options{
		MaxBytes:  int64(cfg.Cache.Memory),
		MaxLife:   time.Duration(cfg.Cache.MaxLife),
		MaxFences: cfg.Cache.MaxFences,
		MaxPicks:  picks,
	}
}

func (n *node) purgeOptions(cfg *config.Config) purge.Options {
	return purge.Options{
		Store:      n.store,
		Rules:      n.rules,
		Hosts:      func() []string { return hostsOf(n.settings.Load()) },
		Names:      cfg.Purge.Names,
		MaxExpand:  cfg.Cache.MaxExpand,
		Keep:       cfg.Purge.Keep,
		Wait:       time.Duration(cfg.Purge.Wait),
		Swept:      n.swept,
		Over:       n.over,
		Changed:    n.changed,
		Purged:     n.purged,
		ACL:        cfg.Purge.ACL,
		Tokens:     cfg.Purge.Tokens,
		AdminToken: cfg.AdminToken,

		ACLForwarded: cfg.Purge.ACLForwarded,

		Log:     n.log,
		Metrics: n.counted.purges,
	}
}

// rules are the key rules of the site that serves a host, nil when none does.
func (n *node) rules(host string) *store.KeyRules {
	if s := n.proxy.Site(host); s != nil {
		return &s.Key
	}
	return nil
}

// hostsOf lists the hosts of all sites, "*" for one that takes every host.
func hostsOf(cfg *config.Config) []string {
	var hosts []string
	for i := range cfg.Sites {
		if len(cfg.Sites[i].Hosts) == 0 {
			hosts = append(hosts, "*")
		}
		hosts = append(hosts, cfg.Sites[i].Hosts...)
	}
	return hosts
}

func (n *node) proxyOptions(cfg *config.Config) proxy.Options {
	o := proxy.Options{
		Store: n.store,
		Sites: sitesOf(cfg),
		Invalidate: func(ctx context.Context, names []store.Name, by string) error {
			return n.purger.Invalidate(ctx, names, false, by)
		},
		Served:  n.warming.served,
		Fetched: n.warming.fetched,
		Heat:    func(k store.Key) float64 { return n.warming.heat.Of(k, time.Now()) },
		Trusted: cfg.Proxies.Trusted,
		Log:     n.log,
		Metrics: n.counted.requests,
	}
	if n.keys != nil {
		o.Covers = n.keys.covers
	}
	if cfg.Log.Access {
		o.Access = n.log
	}
	return o
}

func sitesOf(cfg *config.Config) []proxy.Site {
	sites := make([]proxy.Site, len(cfg.Sites))
	for i := range cfg.Sites {
		sites[i] = siteOf(cfg, &cfg.Sites[i])
	}
	return sites
}

func siteOf(cfg *config.Config, s *config.Site) proxy.Site {
	redirect := 0
	if s.RedirectHTTPS {
		redirect = cfg.TLS.RedirectTo
	}
	return proxy.Site{
		Name: s.Name, Hosts: s.Hosts, Origins: s.Origins,
		OriginHost: s.HostHeader == "origin", RedirectHTTPS: redirect,
		Key: store.KeyRules{
			SortQuery: s.Key.SortQuery, IgnoreQuery: s.Key.IgnoreQuery, Drop: s.Key.Drop, Keep: s.Key.Keep,
		},
		Policy:        policyOf(cfg, s),
		Encodings:     only(s.Vary.Encodings),
		BypassCookies: s.Cookies.Bypass,
		VaryCookies:   only(s.Cookies.Vary),
		TagFields:     s.Headers.Tags,
		DepFields:     s.Headers.Depends,
		TagRules:      store.TagRules{MaxTags: cfg.Limits.MaxTags, MaxBytes: int(cfg.Limits.MaxTagBytes)},
		KeepTags:      !s.Headers.RemoveTags,
		StripFields:   s.Headers.Strip,
		Debug:         s.Debug,
		MaxObject:     int64(cfg.Cache.MaxObject),
		Early:         s.Fresh.Early,
		EarlyHeat:     s.Fresh.EarlyHeat,
		Fill:          fillOf(cfg, &s.Fill),
	}
}

// only is a list of what is left of a field: all of it, nil, where the list has
// "*", and nothing where it is empty.
func only(list []string) []string {
	if slices.Contains(list, "*") {
		return nil
	}
	return append([]string{}, list...)
}

func policyOf(cfg *config.Config, s *config.Site) proxy.Policy {
	f := &s.Fresh
	p := proxy.Policy{
		Targeted:          s.Headers.Targeted,
		DefaultTTL:        time.Duration(f.DefaultTTL),
		MaxTTL:            time.Duration(f.MaxTTL),
		NegativeTTL:       time.Duration(f.NegativeTTL),
		HeuristicFraction: f.HeuristicFraction,
		HeuristicMax:      time.Duration(f.HeuristicMax),
		WhileRevalidate:   time.Duration(f.SWR),
		IfError:           time.Duration(f.SIE),
		Keep:              time.Duration(f.Keep),
		MaxLife:           time.Duration(cfg.Cache.MaxLife),
		Jitter:            f.Jitter,
		StoreSetCookie:    s.SetCookie == "store",
		StoreAuthorized:   s.Authorization == "rfc9111",
		Capability:        "surrogate",
		LooseSMaxAge:      f.LooseSMaxAge,
		IgnoreBadAge:      f.IgnoreBadAge,
	}
	if !f.Heuristic {
		p.HeuristicFraction = 0
	}
	return p
}

func fillOf(cfg *config.Config, f *config.Fill) proxy.Fill {
	out := proxy.Fill{
		ConnectTimeout:  time.Duration(f.ConnectTimeout),
		ResponseTimeout: time.Duration(f.ResponseTimeout),
		IdleTimeout:     time.Duration(f.IdleTimeout),
		Deadline:        time.Duration(f.Timeout),
		Wait:            time.Duration(f.Wait),
		Retries:         f.Retries,
		MaxConns:        f.MaxConns,
		IdleConns:       f.IdleConns,
		HeaderBytes:     int64(cfg.Limits.OriginHeaderBytes),
		Unshared:        time.Duration(f.UncacheableMemory),
	}
	if f.Retries == 0 {
		out.Retries = -1 // to the proxy 0 is the default
	}
	return out
}
