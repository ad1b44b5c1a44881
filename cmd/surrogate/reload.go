package main

import (
	"reflect"
	"strings"

	"surrogate/config"
	"surrogate/purge"
)

// reload puts the sites, who may purge and the level of the log in force as the
// configuration now has them: all of it, or, if anything in it is wrong, none.
// Requests in progress finish with what they began with, and nothing that is
// stored is lost.
func (n *node) reload(load func() (*config.Config, error)) {
	old := n.settings.Load()
	var inForce config.Config
	var tls *tlsPlan // nil where there is no HTTPS
	cfg, err := load()
	if err == nil {
		inForce = *cfg
		// The store drops fences at the age that it was begun with: nothing may
		// outlive them.
		inForce.Cache.MaxLife = old.Cache.MaxLife
		if !cfg.TLS.Used() || n.keys == nil {
			inForce.TLS = old.TLS
		}
		inForce.TLS.Listen, inForce.TLS.ACME, inForce.TLS.RedirectTo = old.TLS.Listen, old.TLS.ACME, cfg.TLS.RedirectTo
		if n.keys != nil {
			tls, err = n.keys.replan(&inForce)
		}
	}
	if err == nil {
		err = n.proxy.SetSites(sitesOf(&inForce))
	}
	if err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			n.log.Error("reload refused, all stays as it was", "error", line)
		}
		return
	}
	n.settings.Store(&inForce)
	if tls != nil {
		n.keys.use(tls)
	}
	n.purger.SetAccess(purge.Access{ACL: cfg.Purge.ACL, ACLForwarded: cfg.Purge.ACLForwarded, Tokens: cfg.Purge.Tokens})
	n.level.Set(levelOf(cfg))
	n.log.Info("reloaded", "sites", len(cfg.Sites))
	if keys := needRestart(old, cfg); len(keys) > 0 {
		n.log.Warn("these keys changed and take effect after a restart only", "keys", strings.Join(keys, ", "))
	}
}

// needRestart lists what differs among the keys that a reload does not reach.
func needRestart(old, cfg *config.Config) []string {
	var keys []string
	for _, k := range []struct {
		name     string
		old, new any
	}{
		{"listen", old.Listen, cfg.Listen},
		{"admin", old.Admin, cfg.Admin},
		{"admin_token", old.AdminToken, cfg.AdminToken},
		{"log.format", old.Log.Format, cfg.Log.Format},
		{"log.access", old.Log.Access, cfg.Log.Access},
		{"cache.memory", old.Cache.Memory, cfg.Cache.Memory},
		{"cache.max_fences", old.Cache.MaxFences, cfg.Cache.MaxFences},
		{"cache.max_expand", old.Cache.MaxExpand, cfg.Cache.MaxExpand},
		{"cache.max_life", old.Cache.MaxLife, cfg.Cache.MaxLife},
		{"limits.header_bytes", old.Limits.HeaderBytes, cfg.Limits.HeaderBytes},
		{"limits.header_timeout", old.Limits.HeaderTimeout, cfg.Limits.HeaderTimeout},
		{"limits.idle_timeout", old.Limits.IdleTimeout, cfg.Limits.IdleTimeout},
		{"limits.http2_streams", old.Limits.HTTP2Streams, cfg.Limits.HTTP2Streams},
		{"tls.listen", old.TLS.Listen, cfg.TLS.Listen},
		{"tls.min_version", old.TLS.MinVersion, cfg.TLS.MinVersion},
		{"tls.http2", old.TLS.HTTP2, cfg.TLS.HTTP2},
		{"tls.acme", old.TLS.ACME, cfg.TLS.ACME},
		{"tls.acme_email", old.TLS.ACMEEmail, cfg.TLS.ACMEEmail},
		{"tls.acme_ca", old.TLS.ACMECA, cfg.TLS.ACMECA},
		{"tls.acme_ca_roots", old.TLS.ACMECARoots, cfg.TLS.ACMECARoots},
		{"tls.acme_storage", old.TLS.ACMEStorage, cfg.TLS.ACMEStorage},
		{"tls.acme_challenge", old.TLS.ACMEChallenge, cfg.TLS.ACMEChallenge},
		{"purge.names", old.Purge.Names, cfg.Purge.Names},
		{"purge.keep", old.Purge.Keep, cfg.Purge.Keep},
		{"purge.wait", old.Purge.Wait, cfg.Purge.Wait},
		{"redis", old.Redis, cfg.Redis},
		{"fleet", old.Fleet, cfg.Fleet},
		{"warm", old.Warm, cfg.Warm},
		{"proxies.trusted", old.Proxies.Trusted, cfg.Proxies.Trusted},
		{"vary.max_picks", memstoreOptions(old).MaxPicks, memstoreOptions(cfg).MaxPicks},
	} {
		if !reflect.DeepEqual(k.old, k.new) {
			keys = append(keys, k.name)
		}
	}
	return keys
}
