package config

// A Policy is how a site treats requests and responses: all keys of a [[site]]
// but its name, hosts and origins, and all keys of [defaults].
type Policy struct {
	// Host that an origin is asked for: "client" is the one that the client asked
	// for, "origin" the one in the origin's URL.
	HostHeader string `toml:"host_header" default:"client" one:"client origin"`
	// A response with Set-Cookie: "pass" never stores it; "store" stores it,
	// cookie and all, if it says that it may be.
	SetCookie string `toml:"set_cookie" default:"pass" one:"pass store"`
	// A request with Authorization: "rfc9111" stores the response if it allows
	// that by public, s-maxage or must-revalidate; "pass" neither answers such a
	// request from the cache nor stores the response.
	Authorization string `toml:"authorization" default:"rfc9111" one:"rfc9111 pass"`
	// Answer requests over HTTP with a redirect (308) to the same URL over HTTPS, at
	// tls.redirect_to; not those for ACME's proofs, nor purges. Over HTTP is also what
	// [proxies] trusted says came so.
	RedirectHTTPS bool `toml:"redirect_https" default:"false"`
	// Show clients the key and the tags of what they get, in Cache-Status and
	// X-Cache-Tags.
	Debug bool `toml:"debug" default:"false"`

	Key     Key     `toml:"key"`
	Cookies Cookies `toml:"cookies"`
	Vary    Vary    `toml:"vary"`
	Headers Headers `toml:"headers"`
	Fresh   Fresh   `toml:"fresh"`
	Fill    Fill    `toml:"fill"`
	// What is fetched before anyone asks, and how gently. Of a fleet's nodes one
	// fetches each URL, and the limits are for all of them together.
	Warm SiteWarm `toml:"warm"`
}

// Key says which URLs are the same. The origin is asked for the URL that is
// left, so what is dropped here it never sees.
type Key struct {
	// Order the query's parameters by name.
	SortQuery bool `toml:"sort_query" default:"true"`
	// Patterns of parameters that are dropped. Set, it takes the place of a keep
	// that [defaults] has.
	Drop []string `toml:"drop" default:"utm_*,gclid,fbclid,msclkid,mc_cid,mc_eid,_ga,_gl,dclid,igshid,yclid" is:"pattern"`
	// Patterns of the only parameters that are kept. Set, it takes the place of
	// drop; setting both is an error.
	Keep []string `toml:"keep" default:"" is:"pattern"`
	// Drop the whole query.
	IgnoreQuery bool `toml:"ignore_query" default:"false"`
}

// Cookies says what a request's cookies do to caching.
type Cookies struct {
	// Patterns of cookies, such as those of a session: a request with one of
	// them is neither answered from the cache nor is its response stored.
	Bypass []string `toml:"bypass" default:"" is:"cookie"`
	// Patterns of the cookies that are left of Cookie on requests that may be
	// cached, so that Vary: Cookie tells fewer apart. "*" leaves all, empty none.
	Vary []string `toml:"vary" default:"*" is:"cookie"`
}

// Vary bounds the entries under one key.
type Vary struct {
	// Content codings that Accept-Encoding is reduced to, in this order. "*" alone
	// leaves it as it came; empty asks origins for no coding.
	Encodings []string `toml:"encodings" default:"zstd,br,gzip" is:"coding"`
	// Most entries under one key that differ by Vary; a further one takes the
	// place of another.
	MaxPicks int `toml:"max_picks" default:"100" min:"1"`
}

// Headers names the response fields that are read, and those that clients do
// not see.
type Headers struct {
	// Fields with tags, all of them read.
	Tags []string `toml:"tags" default:"Surrogate-Key,xkey,Cache-Tag,Edge-Cache-Tag,X-Cache-Tags,X-Magento-Tags,Cache-Tags,Cache-Groups" is:"field"`
	// Fields with deps: tags and URLs that the response was made from.
	Depends []string `toml:"depends" default:"Surrogate-Depends" is:"field"`
	// Fields that speak to caches like this one; the first that is present and
	// valid counts in place of Cache-Control.
	Targeted []string `toml:"targeted" default:"Surrogate-Cache-Control,Surrogate-Control,CDN-Cache-Control" is:"field"`
	// Further fields that are not passed on to clients.
	Strip []string `toml:"strip" default:"" is:"field-strip"`
	// Do not pass on the fields in tags and depends to clients.
	RemoveTags bool `toml:"remove_tags" default:"true"`
}

// Fresh says how long a response may be used, where it does not say so itself
// or says too much. All of it stays within cache.max_life.
type Fresh struct {
	// Life of a response that says nothing and has no heuristic life; 0 for none.
	DefaultTTL Duration `toml:"default_ttl" default:"0s"`
	// Give a response that says nothing but has Last-Modified a life that is a
	// fraction of the time since (RFC 9111, section 4.2.2).
	Heuristic bool `toml:"heuristic" default:"true"`
	// Fraction of that time, up to 1.
	HeuristicFraction float64 `toml:"heuristic_fraction" default:"0.1" max:"1"`
	// Longest heuristic life; 0 for no bound.
	HeuristicMax Duration `toml:"heuristic_max" default:"24h"`
	// Longest life of any response; 0 for as long as it says.
	MaxTTL Duration `toml:"max_ttl" default:"0s"`
	// How long a stale response that does not say so itself is shown while one
	// fetch replaces it (stale-while-revalidate).
	SWR Duration `toml:"swr" default:"0s"`
	// How long a stale response that does not say so itself is shown while its
	// origin fails (stale-if-error).
	SIE Duration `toml:"sie" default:"0s"`
	// Honour a stale-while-revalidate or stale-if-error that a response names
	// beside s-maxage, as frameworks that write both mean it and most CDNs read
	// it; false reads RFC 9111, section 5.2.2.10, to the letter: s-maxage then
	// forbids showing anything stale.
	LooseSMaxAge bool `toml:"loose_s_maxage" default:"true"`
	// Read an invalid Age as if it were absent (RFC 9111, section 5.1), instead of
	// taking its response for stale.
	IgnoreBadAge bool `toml:"ignore_bad_age" default:"false"`
	// How long an entry is kept after it can no longer be shown, to be
	// revalidated with a conditional request.
	Keep Duration `toml:"keep" default:"1h"`
	// Life of a 404, 410 and other failures that may be cached and say nothing; 0
	// leaves them to default_ttl and heuristic.
	NegativeTTL Duration `toml:"negative_ttl" default:"0s"`
	// Most, as a fraction up to 0.9, by which a life is shortened at random, so
	// that what was fetched together does not expire together; 0 for none.
	Jitter float64 `toml:"jitter" default:"0" max:"0.9"`
	// Refresh what is hot before it expires, so that no visitor waits for it: at a
	// random moment, the earlier the longer its fetch takes and the fewer ask for
	// it; 1 is usual, up to 10 is earlier, 0 is off.
	Early float64 `toml:"early" default:"0" max:"10"`
	// How hot that is: requests a minute, each counting half as much after ten
	// minutes. What is asked for less is left to expire.
	EarlyHeat float64 `toml:"early_heat" default:"1"`
}

// Fill bounds a fetch from an origin.
type Fill struct {
	// Time for the whole of a fetch that is to be stored.
	Timeout Duration `toml:"timeout" default:"1h" min:"1ms"`
	// Time between two pieces of the body of a fetch that is to be stored.
	IdleTimeout Duration `toml:"idle_timeout" default:"60s" min:"1ms"`
	// Time to connect to an origin.
	ConnectTimeout Duration `toml:"connect_timeout" default:"5s" min:"1ms"`
	// Time from the request to the head of its response.
	ResponseTimeout Duration `toml:"response_timeout" default:"30s" min:"1ms"`
	// Longest that a request waits for another's fetch of the same thing to
	// bring the head of a response, before it fetches for itself.
	Wait Duration `toml:"wait" default:"10s" min:"1ms"`
	// Further attempts, up to 10, after a failed connection, for requests that may
	// be repeated; with several origins at the next one. 0 for none.
	Retries int `toml:"retries" default:"1" max:"10"`
	// Most connections to one origin at a time, beyond which requests queue; 0
	// for no limit.
	MaxConns int `toml:"max_conns" default:"0"`
	// Idle connections kept open to one origin.
	IdleConns int `toml:"idle_conns" default:"64" min:"1"`
	// How long it is remembered that something could not be stored, so that
	// requests for it do not wait for each other.
	UncacheableMemory Duration `toml:"uncacheable_memory" default:"2m" min:"1ms"`
}
