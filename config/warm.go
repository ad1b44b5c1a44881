package config

// Warm is the queue of what is to be fetched before anyone asks. What is fetched
// each site says under [site.warm].
type Warm struct {
	// Most URLs that wait. Where there are more the coldest are left out, and
	// counted.
	Queue int `toml:"queue" default:"100000" min:"1"`
	// Most memory that they take, here or in Redis.
	QueueMemory Bytes `toml:"queue_memory" default:"64MiB" min:"1MiB"`
	// Most URLs of one list, sitemap or crawl.
	MaxURLs int `toml:"max_urls" default:"1000000" min:"1"`
	// After so long another node takes what one took and has said nothing of since:
	// it died. The same on all nodes.
	Lease Duration `toml:"lease" default:"1m" min:"20s"`
}

// SiteWarm says what of a site is fetched before anyone asks, and how gently. Of
// a fleet's nodes one fetches each URL, and the limits are for all together.
type SiteWarm struct {
	// How many of the pages that a purge took are fetched again, the hottest
	// first, unless the purge says so itself; 0 for none.
	Rewarm int `toml:"rewarm" default:"100" max:"1000000"`
	// Most fetches at a time.
	Concurrency int `toml:"concurrency" default:"8" min:"1"`
	// Most fetches begun in a second; 0 for no limit.
	Rate float64 `toml:"rate" default:"0"`
	// Warming waits while so many fetches are under way at the origin, those for
	// visitors included; and at fill.max_conns, whose connections are the visitors'.
	Busy int `toml:"busy" default:"64" min:"1"`
	// Time for one fetch.
	Timeout Duration `toml:"timeout" default:"1m" min:"1ms"`
	// Scheme and host that paths in lists and templates are completed with:
	// "https://shop.example". URLs of the site in the other scheme are warmed with
	// this one, for it is what visitors' requests arrive with. If empty, what
	// visitors ask for, if that is one host, or else http (https with
	// redirect_https) and the first host; and URLs as they are.
	Base string `toml:"base" default:"" is:"base"`
	// Files with a URL or a path in each line; lines that begin with "#" do not
	// count.
	Lists []string `toml:"lists" default:""`
	// URLs or paths of sitemaps or their indexes; "/" for those that robots.txt
	// names.
	Sitemaps []string `toml:"sitemaps" default:"" is:"target"`
	// Warm lists, sitemaps and what is crawled when the program starts.
	OnStart bool `toml:"on_start" default:"false"`
	// And at these times: "every 6h", "hourly", "daily 04:00", "mon thu 04:00", in
	// UTC.
	Schedule []string `toml:"schedule" default:"" is:"schedule"`
	Crawl    Crawl    `toml:"crawl"`
	// URL templates by entity. When a product changes (POST /v1/events), or the tag
	// product:123 is purged, what they come to is fetched:
	//
	//   product = ["/products/{id}", "/categories/{data.category}"]
	//
	// {type}, {entity}, {id} and {data.…} are the event's; one without what a
	// template needs leaves that one out. {+data.path} is put in as it is.
	Entities map[string][]string `toml:"entities" default:"" is:"template"`
}

// Crawl says which pages' links are followed. Only GET is ever sent, without
// cookies. Links with rel="nofollow", and pages with robots meta or X-Robots-Tag
// that say so, are respected; Disallow in robots.txt is for foreign crawlers.
type Crawl struct {
	// URLs or paths of the pages to begin at.
	From []string `toml:"from" default:"" is:"target"`
	// How many links away from those.
	Depth int `toml:"depth" default:"2" min:"1" max:"100"`
	// Most URLs of one crawl.
	MaxPages int `toml:"max_pages" default:"10000" min:"1"`
	// Style sheets, scripts, images and fonts that pages name, too.
	Assets bool `toml:"assets" default:"false"`
	// Patterns of paths that are not followed.
	Exclude []string `toml:"exclude" default:"/login*,/logout*,/signin*,/signout*,/cart,/cart/*,/cart?*,/checkout*,/account*,/wp-admin*,/wp-login.php*" is:"path"`
}
