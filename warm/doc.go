// Package warm fetches pages before anyone asks for them: what a list, a
// sitemap or a crawl names, and what was hot when a purge took it.
//
// # The way of a page
//
//	a run       a list, a sitemap, a crawl, what one purge took: [Warmer.Start]
//	store.Queue hottest first; over a fleet one queue, each job handed to one node
//	Pace        whether the site's origin may be asked for one more now   pure, one table test
//	Fetch       the proxy's own fill, shared with any visitor who comes meanwhile
//	Settle      what became of it, counted in its run
//
// This package knows neither the proxy nor the purger: the program joins them by
// function values.
//
// # Heat
//
// Heat tells how often each key was asked for lately, and with which picks. It
// is each node's own: what this node's visitors ask for.
package warm
