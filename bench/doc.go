// Command bench compares surrogate with its peers on this machine:
//
//	go run ./bench
//
// It installs what is missing from Debian's packages, starts HAProxy, nginx,
// Varnish, httputil.ReverseProxy, surrogate and a floor on one core, an origin and
// the load on another, and prints Markdown: what a request costs, how memory and
// purges grow, who waits after a purge, and how that stands to the targets.
//
// What makes the figures comparable:
//
//   - Every server has the same core, one thread of work and the same amount of
//     memory to cache in, writes no access log, and stores the same responses: a
//     dozen fields and a Vary. A request carries what a browser's does.
//   - The floor is a C loop that writes a canned answer, as long as surrogate's. It
//     is what the kernel takes for itself.
//   - All take turns, for several rounds; what is printed are medians, and ratios of
//     medians. Other work on the machine disturbs them alike.
//   - CPU is what the kernel accounts to the processes of a server, softirqs in
//     their time included, over the requests that it answered meanwhile. Times to
//     answer are those of a closed loop at saturation, wrk's or h2load's: they say
//     how evenly a server treats its connections, not how long a visitor of an idle
//     one waits.
//   - Visitors after a purge come when they are due, however many wait, and their
//     times count from then. With rewarming and without, the same ones come at the
//     same time, each to a server with an origin of its own.
//   - Nothing is measured before it was looked at: status, length, content and
//     fields of an answer, and whether the origin was asked for it. During a
//     measurement wrk and h2load count failures, the bytes must come to as much as
//     was looked at, and the origin must have been asked as often as the row says.
//     Otherwise the run fails.
//
// What it starts it stops, on an interrupt too. Everything it writes is in a
// temporary directory.
package main
