package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// print prints a report for people.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "up %s\n\n", (time.Duration(r.UptimeSeconds) * time.Second).String())
	const format = "%-20s %8s %10s %10s %10s %10s %11s %10s %12s %10s\n" // the dashboard has the same columns
	fmt.Fprintf(w, format, "site", "hit rate", "hits", "stale", "misses", "collapsed", "revalidated", "passed", "fetch errors", "sent")
	row := func(name string, s *siteReport) {
		n := func(v uint64) string { return strconv.FormatUint(v, 10) }
		fmt.Fprintf(w, format, name, s.rate(), n(s.Hits), n(s.Stale), n(s.Misses), n(s.Collapsed), n(s.Revalidated), n(s.Passed), n(s.FetchErrors), size(s.SentBytes))
	}
	for i := range r.Sites {
		row(r.Sites[i].Site, &r.Sites[i])
	}
	if len(r.Sites) > 1 {
		row("total", &r.Total)
	}
	if r.Fleet != nil {
		r.Fleet.print(w, row)
	}
	i, s := &r.Invalidations, &r.Store
	fmt.Fprintf(w, "\ninvalidations  %d, %d of them soft; %s fell, %s\n", i.Purges, i.Soft, count(i.Entries, "entry"), size(i.Bytes))
	fmt.Fprintf(w, "store          %s, %s of %s; %s, %s, %s\n",
		count(s.Entries, "entry"), size(s.Bytes), size(s.Capacity), count(s.Names, "name"), count(s.Fences, "fence"), count(s.Edges, "edge"))
	fmt.Fprintf(w, "               %d evicted, %d expired, %d swept, %d fetched too early to be kept\n", s.Evictions, s.Expired, s.Swept, s.Refused)
	r.printWarming(w)
}

// print prints the fleet's total, and what its nodes have come to.
func (f *fleetReport) print(w io.Writer, row func(name string, s *siteReport)) {
	row("fleet", &f.Total)
	fmt.Fprintf(w, "\n%-20s %8s %10s %10s %10s\n", "node", "hit rate", "purges", "heard", "") // the dashboard has the same columns
	for _, name := range slices.Sorted(maps.Keys(f.Nodes)) {
		n := f.Nodes[name]
		state := ""
		if !n.Hears {
			state = "deaf"
		}
		fmt.Fprintf(w, "%-20s %8s %10d %10d %10s\n", name, n.Total.rate(), n.Purges, n.Heard, state)
	}
}

// printWarming prints what was fetched before anyone asked.
func (r *report) printWarming(w io.Writer) {
	x := r.Warming
	if x == nil {
		return
	}
	fmt.Fprintf(w, "warming        %d warmed, %d fresh already, %d not to be kept, %d failed; %d wait, %d found no room\n",
		x.Warmed, x.Fresh, x.Unkept, x.Failed, x.Queue.Queued, x.Queue.Dropped)
	fmt.Fprintf(w, "               asked for since: %d; never: %d; refreshed before they were stale: %d\n", x.Used, x.Unused, r.Total.Early)
	for _, s := range x.Sites {
		if x.Queue.Queued > 0 || s.UnderWay > 0 {
			fmt.Fprintf(w, "               %s: %s, %d of %g under way\n", s.Site, s.State, s.UnderWay, s.Window)
		}
	}
}

// rate is which part of what could be was answered from the cache.
func (r *siteReport) rate() string {
	answered := r.Hits + r.Stale + r.Misses + r.Revalidated
	if answered == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(r.Hits+r.Stale)/float64(answered))
}

// count is so many of something, of which one is called what.
func count[N int | uint64](n N, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case strings.HasSuffix(what, "y"):
		what = strings.TrimSuffix(what, "y") + "ie"
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// size is a number of bytes as people read it.
func size[N int64 | uint64](n N) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, u := float64(n), 0
	for v >= 1024 && u < len(units)-1 {
		v /= 1024
		u++
	}
	if u == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[u])
}

// seconds is a span as people read it.
func seconds(s int64) string {
	switch {
	case s < 0:
		return "-" + seconds(-s)
	case s < 120:
		return fmt.Sprintf("%d s", s)
	case s < 2*3600:
		return fmt.Sprintf("%d min", s/60)
	case s < 2*86400:
		return fmt.Sprintf("%d h", s/3600)
	}
	return fmt.Sprintf("%d d", s/86400)
}
