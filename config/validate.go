package config

import (
	"errors"
	"reflect"
	"slices"
	"strings"
)

// validate checks what no single value can tell, and fills in what follows from
// other keys.
func (l *loader) validate() {
	l.validateAddresses()
	c := l.cfg
	l.validateRedis()
	l.validateTLS()
	if c.Cache.MaxObject > c.Cache.Memory {
		if l.isSet("cache.max_object") {
			l.wrongf("cache.max_object", "%s is more than cache.memory, %s", c.Cache.MaxObject, c.Cache.Memory)
		}
		c.Cache.MaxObject = c.Cache.Memory
	}
	l.validatePolicy("defaults", &c.Defaults)
	l.validateSites()
}

// validateRedis checks what the keys of [redis] come to together.
func (l *loader) validateRedis() {
	r := &l.cfg.Redis
	if !r.Used() {
		for _, name := range []string{"master", "cluster", "username", "password", "sentinel_username", "sentinel_password", "db", "tls", "tls_ca"} {
			if at := "redis." + name; l.isSet(at) && !l.isWrong("redis.url") && !l.isWrong("redis.addrs") && !reflect.ValueOf(value(r, name)).IsZero() {
				l.wrongf(at, "there is neither redis.url nor redis.addrs")
			}
		}
		return
	}
	if r.URL != "" && len(r.Addrs) > 0 {
		l.wrongf("redis.addrs", "set either addrs or url (%s), not both", l.placeOf("redis.url"))
	}
	switch {
	case r.Cluster && r.Master != "":
		l.wrongf("redis.cluster", "set either master, for sentinels, or cluster")
	case r.Cluster && r.DB != 0:
		l.wrongf("redis.db", "a cluster has database 0 only")
	case len(r.Addrs) > 1 && !r.Cluster && r.Master == "":
		l.wrongf("redis.addrs", "several addresses are those of sentinels, with master, or of a cluster, with cluster = true")
	}
	if r.TLSCA != "" && !r.TLS && !strings.HasPrefix(r.URL, "rediss") {
		l.wrongf("redis.tls_ca", "it needs tls = true")
	}
}

func value(r *Redis, name string) any {
	for _, k := range fields("redis", reflect.ValueOf(r).Elem()) {
		if k.name() == name {
			return k.value.Interface()
		}
	}
	return nil
}

// validateTLS checks what the keys of [tls] come to together.
func (l *loader) validateTLS() {
	t := &l.cfg.TLS
	if !t.Used() {
		for at, given := range map[string]bool{"tls.certificates": len(t.Certificates) > 0, "tls.acme": t.ACME} {
			if given && !l.isWrong("tls.listen") {
				l.wrongf(at, `without tls.listen, such as ":443", there is no HTTPS`)
			}
		}
		return
	}
	if len(t.Certificates) == 0 && !t.ACME && !l.isWrong("tls.certificates") && !l.isWrong("tls.acme") {
		l.wrongf("tls.listen", "it needs tls.certificates, or tls.acme = true")
	}
	if n := len(t.Keys); n > 0 && n != len(t.Certificates) && !l.isWrong("tls.keys") && !l.isWrong("tls.certificates") {
		l.wrongf("tls.keys", "want a key for each of the certificates, of which there are %d, or none", len(t.Certificates))
	}
	if t.ACME && t.ACMEStorage == "" && !l.isWrong("tls.acme_storage") {
		l.wrongf("tls.acme", "set tls.acme_storage, a directory that outlives the program")
	}
	for i, a := range t.Listen {
		if strings.HasSuffix(a, ":0") {
			continue
		}
		switch at := element("tls.listen", i); {
		case slices.Contains(l.cfg.Listen, a):
			l.wrongf(at, "%q is an address in listen too, where HTTP is served", a)
		case a == l.cfg.Admin:
			l.wrongf(at, "%q is the address of admin too", a)
		}
	}
}

func (l *loader) validateAddresses() {
	c := l.cfg
	if len(c.Listen) == 0 && !l.isWrong("listen") {
		l.wrongf("listen", "want at least one address")
	}
	if c.Admin == "" {
		return
	}
	if c.AdminToken == "" && !isLoopback(c.Admin) && !l.isWrong("admin_token") {
		l.wrongf("admin", "%q can be reached from other machines: set admin_token, or use 127.0.0.1", c.Admin)
	}
	for i, a := range c.Listen {
		if a == c.Admin && !strings.HasSuffix(a, ":0") {
			l.wrongf(element("listen", i), "%q is the address of admin too", a)
		}
	}
}

// validatePolicy checks what is set at path.
func (l *loader) validatePolicy(path string, p *Policy) {
	f := &p.Fresh
	if e := p.Vary.Encodings; len(e) > 1 && slices.Contains(e, "*") && l.isSet(path+".vary.encodings") {
		l.wrongf(path+".vary.encodings", `want "*" alone, or codings`)
	}
	for _, v := range []struct {
		name string
		time Duration
	}{
		{"default_ttl", f.DefaultTTL}, {"negative_ttl", f.NegativeTTL}, {"max_ttl", f.MaxTTL},
		{"swr", f.SWR}, {"sie", f.SIE}, {"keep", f.Keep},
	} {
		at := path + ".fresh." + v.name
		if !l.isSet(at) {
			continue
		}
		switch {
		case v.time > l.cfg.Cache.MaxLife:
			l.wrongf(at, "%s is more than cache.max_life, %s, the longest that anything is kept", v.time, l.cfg.Cache.MaxLife)
		case strings.HasSuffix(v.name, "_ttl") && f.MaxTTL > 0 && v.time > f.MaxTTL:
			l.wrongf(at, "%s is more than max_ttl, %s", v.time, f.MaxTTL)
		}
	}
}

func (l *loader) validateSites() {
	sites := l.cfg.Sites
	if len(sites) == 0 && !l.isWrong("site") {
		l.problems = append(l.problems, &problem{at: place{name: l.file},
			err: errors.New("there is no site: give --origin URL, or a [[site]] with origins in the file")})
	}
	names, hosts := map[string]string{}, map[string]string{} // the paths of the first of each
	for i := range sites {
		s, path := &sites[i], element("site", i)
		l.validatePolicy(path, &s.Policy)
		if len(s.Origins) == 0 && !l.isWrong(path+".origins") {
			l.wrongf(path+".origins", `a site needs at least one, such as origins = ["http://127.0.0.1:3000"]`)
		}
		if len(s.Hosts) == 0 && !l.isWrong(path+".hosts") {
			if first, taken := hosts[""]; taken {
				l.wrongf(path+".hosts", "without hosts a site serves every host, and that does the one at %s already", l.placeOf(first))
			} else {
				hosts[""] = path
			}
		}
		for j, h := range s.Hosts {
			at := element(path+".hosts", j)
			if first, taken := hosts[h]; taken {
				l.wrongf(at, "%q is a host of the site at %s already", h, l.placeOf(first))
				continue
			}
			hosts[h] = path
		}
		if s.Name == "" {
			s.Name = "default"
			if len(s.Hosts) > 0 {
				s.Name = s.Hosts[0]
			}
		}
		l.validateBase(path, s)
		if !l.isWrong(path + ".hosts") {
			l.validateTargets(path+".warm.sitemaps", s, s.Warm.Sitemaps)
			l.validateTargets(path+".warm.crawl.from", s, s.Warm.Crawl.From)
		}
		if first, taken := names[s.Name]; taken && (l.isSet(path+".name") || len(s.Hosts) > 0) {
			l.wrongf(path+".name", "%q is the name of the site at %s already", s.Name, l.placeOf(first))
		} else {
			names[s.Name] = path
		}
	}
}
