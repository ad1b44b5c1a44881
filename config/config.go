// Package config is surrogate's configuration: data only. The structs below
// are the manual: a struct for each TOML table, and each field's comment says
// what it means, its tags its key, its default and what is accepted. proxy.toml
// is printed from them.
//
// A value comes from the last of these that has one: the default, the file, the
// environment, the flags.
//
//   - File: strict TOML. Unknown keys and bad values are errors, all of them
//     reported at once with file:line:column. A list of one may be written as
//     the value alone: listen = ":8080".
//   - Environment: every key has a variable, SURROGATE_ and its table and name
//     in upper case joined by "_": SURROGATE_LISTEN, SURROGATE_CACHE_MEMORY,
//     SURROGATE_DEFAULTS_FRESH_SWR. Lists are separated by commas. An empty
//     variable counts as not set, an unknown one is an error. Exceptions: the
//     keys of one [[site]] have no variable; SURROGATE_CONFIG names the file;
//     SURROGATE_ORIGIN is --origin, SURROGATE_REDIS is redis.url; and what Kubernetes and Docker set for a
//     service called surrogate (SURROGATE_SERVICE_HOST, SURROGATE_PORT,
//     SURROGATE_PORT_8080_TCP, …) is not ours and ignored.
//   - Flags: see Flags.
//
// Durations are written "250ms", "90s", "1h30m", "7d", "1w" or 0; sizes "64MiB"
// (powers of 1024: KiB, MiB, GiB, TiB), "1GB" (powers of 1000: KB, MB, GB, TB),
// "512k" (k, m, g and t are powers of 1024 too) or a number of bytes. Patterns
// of names are exact, or a beginning followed by "*".
package config

import (
	"net/netip"
	"net/url"
)

// A Config is everything that can be configured, complete and checked. Whoever
// gets one reads it only: sites share the slices of Defaults.
//
// Tags: default is the value when nothing says otherwise (lists separated by
// commas), min and max bound a value, one lists the words accepted, is names
// the check in checks that the value or each of its elements must pass.
type Config struct {
	// Addresses to serve on: "host:port", or ":port" for every interface.
	Listen []string `toml:"listen" default:":8080" is:"address"`
	// Address of the admin API, the metrics and the dashboard; empty for none.
	// Beyond loopback it needs admin_token.
	Admin string `toml:"admin" default:"127.0.0.1:8081" is:"address"`
	// Bearer token that requests to the admin API must carry; empty for none.
	AdminToken string  `toml:"admin_token" default:"" is:"token"`
	Log        Log     `toml:"log"`
	Cache      Cache   `toml:"cache"`
	Limits     Limits  `toml:"limits"`
	TLS        TLS     `toml:"tls"`
	Purge      Purge   `toml:"purge"`
	Proxies    Proxies `toml:"proxies"`
	Redis      Redis   `toml:"redis"`
	Fleet      Fleet   `toml:"fleet"`
	Warm       Warm    `toml:"warm"`
	// Defaults hold for every site that does not say otherwise: a [[site]] takes
	// all of these keys too, as its own and in [site.key], [site.fresh] and so on.
	Defaults Policy `toml:"defaults"`
	// At least one; --origin alone makes one called "default" for every host.
	Sites []Site `toml:"site"`
}

// Log is what is written to standard error.
type Log struct {
	// Least level that is written: debug, info, warn or error.
	Level string `toml:"level" default:"info" one:"debug info warn error"`
	// Form of a line: "text" is key=value pairs, "json" an object.
	Format string `toml:"format" default:"text" one:"text json"`
	// A line for each request answered.
	Access bool `toml:"access" default:"true"`
}

// Cache bounds the store.
type Cache struct {
	// Memory for entries, their tags and their index.
	Memory Bytes `toml:"memory" default:"256MiB" min:"1MiB"`
	// Largest body that is stored; a larger one streams through. At most memory.
	MaxObject Bytes `toml:"max_object" default:"32MiB" min:"1KiB"`
	// Longest life of an entry, stale time included, whatever its response says.
	// A purge has to be remembered for as long.
	MaxLife Duration `toml:"max_life" default:"7d" min:"1s"`
	// Purged names remembered one by one. Beyond, the oldest are forgotten, and
	// what was stored before they fell is revalidated before it is used.
	MaxFences int `toml:"max_fences" default:"1000000" min:"1"`
	// Names that one purge may come to through dependencies. A purge that would
	// come to more is refused whole.
	MaxExpand int `toml:"max_expand" default:"100000" min:"1"`
}

// Limits bound what one client or one response may cost.
type Limits struct {
	// Largest head of a request; a larger one is answered 431.
	HeaderBytes Bytes `toml:"header_bytes" default:"256KiB" min:"1KiB" max:"64MiB"`
	// Largest head of an origin's response; a larger one counts as a failure.
	OriginHeaderBytes Bytes `toml:"origin_header_bytes" default:"1MiB" min:"1KiB" max:"64MiB"`
	// Time a client has to send the head of a request.
	HeaderTimeout Duration `toml:"header_timeout" default:"10s" min:"1ms"`
	// Time a client's connection may stay open between two requests.
	IdleTimeout Duration `toml:"idle_timeout" default:"75s" min:"1ms"`
	// Time that requests in progress get to finish when the program is told to
	// stop; 0 cuts them off.
	Drain Duration `toml:"drain" default:"30s"`
	// Most requests in progress on one HTTP/2 connection; further ones wait, and a
	// client that goes on asking is cut off.
	HTTP2Streams int `toml:"http2_streams" default:"128" min:"1" max:"10000"`
	// Most tags and deps together that a response is stored with. With more it is
	// stored so that every purge takes it along.
	MaxTags int `toml:"max_tags" default:"4096" min:"1"`
	// Most bytes of all tag and dep fields of a response; beyond, as with max_tags.
	MaxTagBytes Bytes `toml:"max_tag_bytes" default:"64KiB" min:"1"`
}

// TLS is HTTPS on the public side: with listen, and certificates from files or
// from a certificate authority by ACME (RFC 8555).
type TLS struct {
	// Addresses to serve HTTPS on; empty for none.
	Listen []string `toml:"listen" default:"" is:"address"`
	// Files of certificates (PEM), each with its chain, chosen by the name that a
	// client asks for. The first is also for clients that ask for none, or for one
	// that no certificate has. Files that change are read again.
	Certificates []string `toml:"certificates" default:"" is:"file"`
	// Files of their keys, in the same order; empty if the certificates' files hold
	// the keys too.
	Keys []string `toml:"keys" default:"" is:"key-file"`
	// Least version of TLS that is spoken.
	MinVersion string `toml:"min_version" default:"1.2" one:"1.2 1.3"`
	// Speak HTTP/2 with clients that do.
	HTTP2 bool `toml:"http2" default:"true"`
	// Port, as clients see it, that redirect_https sends them to.
	RedirectTo int `toml:"redirect_to" default:"443" min:"1" max:"65535"`
	// Get certificates by ACME, and renew them: for the hosts of all sites that no
	// certificate from a file covers. You agree to the terms of the authority, which
	// must reach port 80 (listen) or 443 (tls.listen) of this machine by their names.
	ACME bool `toml:"acme" default:"false"`
	// Hosts to get certificates for instead of those of the sites. Needed where
	// sites have wildcards, for which ACME as it is done here has no certificates.
	ACMEHosts []string `toml:"acme_hosts" default:"" is:"acme-host"`
	// Address that the authority may write to.
	ACMEEmail string `toml:"acme_email" default:"" is:"email"`
	// URL of the authority's directory.
	ACMECA string `toml:"acme_ca" default:"https://acme-v02.api.letsencrypt.org/directory" is:"https"`
	// File of the certificates (PEM) that the authority's own server must be signed
	// by; empty for those of the system.
	ACMECARoots string `toml:"acme_ca_roots" default:"" is:"file"`
	// Directory for accounts, keys and certificates, which has to outlive the
	// program: authorities refuse who asks for the same again and again. Nodes of a
	// fleet need one that they share.
	ACMEStorage string `toml:"acme_storage" default:"" is:"file"`
	// How to show the authority that a host is ours: "http-01" on port 80,
	// "tls-alpn-01" on port 443, or "any" of them.
	ACMEChallenge string `toml:"acme_challenge" default:"any" one:"any http-01 tls-alpn-01"`
}

// Used reports whether HTTPS is served.
func (t *TLS) Used() bool { return len(t.Listen) > 0 }

// Purge says who may purge on the public addresses, and what a purge answers.
// The host of a purge is meant as clients write it, with its port:
// "shop.example" does not mean "shop.example:8080".
type Purge struct {
	// Networks or addresses whose connections may purge. A request that came
	// through an intermediary, as X-Forwarded-For and the like tell, is not let in
	// by them. Empty for none: then only tokens let in.
	ACL []netip.Prefix `toml:"acl" default:"127.0.0.0/8,::1/128"`
	// Let such a request in too, where the intermediary itself refuses purges.
	ACLForwarded bool `toml:"acl_forwarded" default:"false"`
	// Bearer tokens that let anyone purge from anywhere.
	Tokens []string `toml:"tokens" default:"" is:"token"`
	// Host names of surrogate itself, for purges sent to it by name: their host
	// means every site. Addresses, localhost and names without a dot are known.
	Names []string `toml:"names" default:"" is:"host"`
	// Time that a purge waits for the other nodes to confirm before it answers
	// 202 instead of 200.
	Wait Duration `toml:"wait" default:"2s"`
	// Receipts kept for /v1/purges.
	Keep int `toml:"keep" default:"1000" min:"1" max:"1000000"`
}

// Proxies says what stands in front of surrogate.
type Proxies struct {
	// Networks or addresses of load balancers and CDNs whose X-Forwarded-For,
	// -Host and -Proto are believed; anyone else's are discarded.
	Trusted []netip.Prefix `toml:"trusted" default:""`
}

// Redis is what the nodes of a fleet share: entries, purges and claims. Without
// url or addrs there is none, and each node keeps to its memory.
// redis = "redis://…" is the same as url alone in this table.
type Redis struct {
	// Where it is and how to log in: "redis://user:password@host:6379/0",
	// "unix:///run/redis.sock", "redis+sentinel://s1:26379,s2:26379/master/0" or
	// "redis+cluster://n1:6379,n2:6379"; with TLS the scheme begins "rediss". Keys
	// below that are set win over what it says.
	URL string `toml:"url" default:"" is:"redis"`
	// Addresses instead of a URL: of the server, of sentinels, or of some nodes of
	// a cluster.
	Addrs []string `toml:"addrs" default:"" is:"address"`
	// Name of the master that sentinels watch; addrs are sentinels then.
	Master string `toml:"master" default:"" is:"name"`
	// addrs are nodes of a Redis Cluster.
	Cluster bool `toml:"cluster" default:"false"`
	// User of an ACL; empty for the default one.
	Username string `toml:"username" default:""`
	// Its password.
	Password string `toml:"password" default:"" is:"secret"`
	// User for the sentinels themselves.
	SentinelUsername string `toml:"sentinel_username" default:""`
	// Password for the sentinels themselves.
	SentinelPassword string `toml:"sentinel_password" default:"" is:"secret"`
	// Number of the database; a cluster has only 0.
	DB int `toml:"db" default:"0"`
	// Connect with TLS.
	TLS bool `toml:"tls" default:"false"`
	// File of the certificates (PEM) that Redis's own must be signed by; empty for
	// those of the system.
	TLSCA string `toml:"tls_ca" default:""`
	// Beginning of every key, so that several deployments share a server.
	Prefix string `toml:"prefix" default:"surrogate" is:"name"`
	// Connections kept, at most.
	Pool int `toml:"pool" default:"64" min:"1"`
	// Time to connect.
	DialTimeout Duration `toml:"dial_timeout" default:"500ms" min:"1ms"`
	// Time for a command that nothing else bounds.
	Timeout Duration `toml:"timeout" default:"1s" min:"1ms"`
	// Longest that a request waits for Redis to look something up; then the origin
	// is asked.
	Budget Duration `toml:"budget" default:"100ms" min:"1ms"`
}

// Used reports whether there is a Redis.
func (r *Redis) Used() bool { return r.URL != "" || len(r.Addrs) > 0 }

// Fleet is this node's part among those that share a Redis.
type Fleet struct {
	// This node's name, unlike any other's; the host's name and a random part, if
	// empty.
	Node string `toml:"node" default:"" is:"name"`
	// Longest that a node answers from memory without hearing from Redis: the
	// length of its lease, for which purges wait when it has died. The same on all
	// nodes.
	MaxDeaf Duration `toml:"max_deaf" default:"5s" min:"100ms"`
	// What a node does with what it has in memory when it has heard nothing for
	// that long: "revalidate" asks the origin before each use, "serve" shows it
	// although it may have been purged.
	WhenDeaf string `toml:"when_deaf" default:"revalidate" one:"revalidate serve"`
}

// A Site is a set of hosts with the origins that answer for them, and the
// policy for what they answer.
type Site struct {
	// Name in logs and metrics; the first host, or "default", if empty.
	Name string `toml:"name" default:"" is:"name"`
	// Hosts served: "shop.example", "shop.example:8443" on one port only, or
	// "*.shop.example" for everything under it. Exact hosts come first, then the
	// longest wildcard. Empty for every host that no other site has.
	Hosts []string `toml:"hosts" default:"" is:"host"`
	// Where responses come from: "http://host:port" or "https://host:port",
	// without a path. Requests are balanced over several.
	Origins []*url.URL `toml:"origins" default:""`
	Policy
}
