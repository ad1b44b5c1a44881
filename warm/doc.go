// Package warm fetches pages before anyone asks for them: what a list, a
// sitemap or a crawl names, and what was hot when a purge took it.
//
// # The way of a page
//
//	a run       a list, a sitemap, a crawl, what one purge took: [Intake.Warm]
//	store.Queue hottest first; over a fleet one queue, each job handed to one node
//	Pace        whether the site's origin may be asked for one more now   pure, one table test
//	Fetch       the proxy's own fill, shared with any visitor who comes meanwhile
//	Settle      what became of it, counted in its run
//
// This package knows neither the proxy nor the purger: the program joins them by
// function values.
//
// # What is asked
//
// An [Intake] makes runs of what people ask for. A list is read line by line,
// whatever its length: what is wrong with a line is told with its number, and the
// rest goes on. URLs are queued as the keys of their site's rules, so what the
// cache holds once is warmed once.
//
// Sitemaps, and pages whose links are followed, are jobs like others, told by
// Job.Depth: below zero is a sitemap, that many indexes deep; above zero a page
// whose links are followed so far. [Intake.Following] does them, and queues what
// they lead to before they are settled. So nothing is held by the node that was
// asked: any node reads the next sitemap, and another one when it dies. Heat
// puts them in order: sitemaps before pages, what changed lately before what did
// not, few links away before many.
//
// What changed by itself asks too: [Intake.Changed] fills in the URL templates
// that are registered for an entity, and [Intake.RunSchedules] asks what the
// configuration says. The ID of such a run is made of what caused it, so of all
// nodes that come to it one begins it.
//
// A list is taken in no faster than there is room for it behind its own URLs; who
// is hotter goes first, and who is full of others has none.
//
// # What a run tells
//
// A page counts as warmed when a visitor would be shown it, and not an error:
// what answers with 400 or above has failed, whether it is stored or not. What is
// not to be stored is counted by its reason. What fails in a way that may pass is
// put back, a bounded number of times; the run tells how often and why last. What
// is left of it waits, by site, while no node may fetch there, and it says for
// what (waits.go); of an origin that is down nothing is given up for an hour.
//
// Whoever begins a run seals it, when the queue fails just then later: a run that
// is not sealed is never over. Only one whose node was killed while it queued
// stays open, until it is forgotten a day later.
//
// Rejected, 2026-11-23: robots.txt's Disallow. It is written for crawlers of
// others, and often shuts out what a site's own visitors ask for most; paths
// that are not to be followed are configured. Also <priority> and <changefreq>
// of sitemaps, which hardly anybody writes truly, and links that scripts make.
//
// # Heat
//
// Heat tells how often each key was asked for lately, and with which picks. It
// is each node's own: what this node's visitors ask for. So in a fleet each node
// queues what was hot among what a purge took from its own memory, in a run of its
// own; the node that purged takes what its sweep yields, which is more. What two of
// them queue is fetched once: one fetch for the fleet at a time, and whoever comes
// later finds it fresh. After soft purges only the node that purged does so: they
// take nothing away, and stale pages are shown while they are refreshed.
//
// # What an origin is asked
//
// A site's limits are for all nodes together, which divide them by their number
// and order among those that hold a lease. While nodes come and go, for the few
// seconds until all know of it, the sum may be off by one node's part; a node that
// has lost touch has none.
//
// Visitors' own fetches count against Limits.Busy and are watched: when they take
// longer than they do without warming, warming is halved, and it does not grow
// again while they do. What passes through unstored is not counted: long polls
// would look like a busy origin.
package warm
