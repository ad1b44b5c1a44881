package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"strings"
	"time"

	"surrogate/config"
	"surrogate/store"
	"surrogate/store/memstore"
	"surrogate/store/redisstore"
	"surrogate/store/tierstore"
)

// newStore makes the store: this process's memory or, in front of a Redis, a
// memory tier. It connects to nothing.
func (n *node) newStore(cfg *config.Config) (store.Store, error) {
	memory := memstoreOptions(cfg)
	if !cfg.Redis.Used() {
		return memstore.New(memory), nil
	}
	o, err := redisOptions(cfg)
	if err != nil {
		return nil, err
	}
	o.MaxPicks, o.Log = memory.MaxPicks, n.log
	if n.redis, err = redisstore.New(o); err != nil {
		return nil, fmt.Errorf("couldn't set Redis up: %w", err)
	}
	n.fleet = tierstore.New(tierstore.Options{
		Below: n.redis, Memory: memory, ServeDeaf: cfg.Fleet.WhenDeaf == "serve", Fell: n.elsewhere,
	}).(*tierstore.Fleet)
	return n.fleet, nil
}

func redisOptions(cfg *config.Config) (redisstore.Options, error) {
	r := &cfg.Redis
	o := redisstore.Options{
		Redis: redisstore.Redis{
			URL: r.URL, Addrs: r.Addrs, Master: r.Master, Cluster: r.Cluster, Username: r.Username, Password: r.Password, DB: r.DB,
			SentinelUsername: r.SentinelUsername, SentinelPassword: r.SentinelPassword,
			Pool: r.Pool, DialTimeout: time.Duration(r.DialTimeout), Timeout: time.Duration(r.Timeout),
		},
		Prefix: r.Prefix, Node: cmp.Or(cfg.Fleet.Node, randomNode()),
		MaxLife: time.Duration(cfg.Cache.MaxLife), MaxFences: cfg.Cache.MaxFences,
		MaxDeaf: time.Duration(cfg.Fleet.MaxDeaf), Budget: time.Duration(r.Budget),
	}
	if !r.TLS && r.TLSCA == "" {
		return o, nil // the URL says
	}
	o.Redis.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	if r.TLSCA == "" {
		return o, nil
	}
	pem, err := os.ReadFile(r.TLSCA)
	if err != nil {
		return o, fmt.Errorf("couldn't read redis.tls_ca: %w", err)
	}
	o.Redis.TLS.RootCAs = x509.NewCertPool()
	if !o.Redis.TLS.RootCAs.AppendCertsFromPEM(pem) {
		return o, fmt.Errorf("redis.tls_ca: there is no certificate in %s", r.TLSCA)
	}
	return o, nil
}

// randomNode is a name that no other node has, nor this one after a restart: a
// node that comes back has heard nothing.
func randomNode() string {
	host, err := os.Hostname()
	if err != nil {
		host = "node"
	}
	return host + "-" + strings.ToLower(rand.Text()[:6])
}

// fleet adds what a node of a fleet knows of it.
func (c *counted) fleet(n *node) {
	if n.fleet == nil {
		return
	}
	gauge := func(name string, of func() float64) { c.held.NewGauge("surrogate_"+name, of) }
	yes := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	gauge("fleet_deaf", func() float64 { return yes(!n.fleet.Hears()) })
	gauge("fleet_heard", func() float64 { return float64(n.redis.Book().Seq()) })
	gauge("redis_down", func() float64 { return yes(!n.redis.Reachable()) })
	tally := func(name string, of func(t tierstore.Tally) uint64) {
		gauge("memory_"+name, func() float64 { return float64(of(n.fleet.Tally())) })
	}
	tally("hits_total", func(t tierstore.Tally) uint64 { return t.Hits })
	tally("redis_hits_total", func(t tierstore.Tally) uint64 { return t.Below })
	tally("misses_total", func(t tierstore.Tally) uint64 { return t.Missed })
	tally("redis_failures_total", func(t tierstore.Tally) uint64 { return t.Failed })
	tally("kept_alone_total", func(t tierstore.Tally) uint64 { return t.Alone })
	tally("unkept_total", func(t tierstore.Tally) uint64 { return t.Unkept })
	memory := func(name string, of func(*store.Stats) float64) {
		gauge("memory_"+name, func() float64 {
			st, err := n.fleet.Memory(context.Background())
			if err != nil {
				return 0
			}
			return of(&st)
		})
	}
	memory("entries", func(s *store.Stats) float64 { return float64(s.Entries) })
	memory("bytes", func(s *store.Stats) float64 { return float64(s.Bytes) })
	memory("evictions_total", func(s *store.Stats) float64 { return float64(s.Evictions) })
}

// deaf says in a word that a node does not hear; "" while it does.
func (n *node) deaf() string {
	switch {
	case n.fleet == nil || n.fleet.Hears():
		return ""
	case !n.redis.Reachable():
		return "Redis does not answer: what is in memory is revalidated before use, and nothing can be purged"
	}
	return "waiting for the purge log"
}
