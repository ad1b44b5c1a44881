package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// otherTable has the figures that are no rows of requests.
func (b *bench) otherTable() table {
	t := table{head: []string{"what", "figure"}}
	add := func(what, format string, args ...any) {
		t.lines = append(t.lines, []string{what, fmt.Sprintf(format, args...)})
	}
	if r := b.redis; r != nil {
		for i, row := range r.rows {
			add("round trips to Redis of a "+row.title, "%.2f", r.trips[i])
		}
		for _, what := range slices.Sorted(maps.Keys(r.ofGET)) {
			add("throughput of such hits in the store, as a share of a bare GET's, "+strings.ReplaceAll(what, ",", ", "), "%.2f", r.ofGET[what])
		}
	}
	for _, m := range b.remembered {
		note := ""
		if m.name == nginxName {
			note = " (in files, which fill whole pages; no tags)"
		}
		add(fmt.Sprintf("memory of an object of %d bytes with three tags, of %s, beyond those, %s", m.of, thousands(float64(b.o.memory)), m.name),
			"%.2f KB%s", m.beyond/1000, note)
	}
	for _, p := range b.purged {
		s := fmt.Sprintf("%.2f ms", median(p.took))
		if len(p.took) > 1 {
			s += fmt.Sprintf(", at most %.2f ms of %d", slices.Max(p.took), len(p.took))
		}
		add(fmt.Sprintf("purge of a tag on %s objects, request to answer, %s", thousands(float64(p.objects)), p.name), "%s", s)
	}
	if f := b.fleet; f != nil {
		add(fmt.Sprintf("soft purge of a tag on %s objects until it is in force on three nodes with one Redis: p50 / p99 of %d", thousands(float64(b.o.fleet)), b.o.fleetPurges),
			"%.2f / %.2f ms; a hard one %.2f ms", f.p50, f.p99, f.hard)
	}
	if s := b.stormed; s != nil {
		add(fmt.Sprintf("%s hits a second, quiet: p50 / p99 / p99.9", thousands(stormHits)), "%s", medianSpread(s.quiet))
		add(fmt.Sprintf("the same while %d purges a second fall, each over %s objects", stormRate, thousands(float64(s.objects))), "%s", medianSpread(s.loud))
		late := ""
		if s.late > 0 {
			late = fmt.Sprintf("; %d of %.0f could not be sent for want of time", s.late, b.o.storm.Seconds()*stormRate*float64(len(s.purges)))
		}
		add("those purges themselves", "%s%s", medianSpread(s.purges), late)
	}
	for _, h := range b.herded {
		add(fmt.Sprintf("%s clients at once on a %s key over three nodes with one Redis", thousands(float64(b.o.clients)), h.title),
			"the origin is asked %s times, at most %s; all answered after %.0f ms, of which it takes %d",
			strconv.FormatFloat(median(h.fetches), 'g', -1, 64), strconv.FormatFloat(slices.Max(h.fetches), 'g', -1, 64),
			median(h.took), slowness.Milliseconds())
	}
	for arms := range slices.Chunk(b.rushes, rushArms) {
		b.rushFigures(arms, add)
	}
	return t
}

// rushFigures has those of one kind of origin, without rewarming first.
func (b *bench) rushFigures(arms []*rush, add func(what, format string, args ...any)) {
	each := func(format string, figures func(r *rush) []any) string {
		var said []string
		for _, r := range arms {
			said = append(said, fmt.Sprintf(format, figures(r)...))
		}
		return strings.Join(said, "; ")
	}
	seconds := func(rounds []float64) string {
		if m := median(rounds); !math.IsInf(m, 1) {
			return fmt.Sprintf("%.1f s", m)
		}
		return "not in time"
	}
	size := b.o.rush
	origin := fmt.Sprintf("an origin of %d ms a page", slowness.Milliseconds())
	if arms[0].workers > 0 {
		origin += fmt.Sprintf(" and %d workers", arms[0].workers)
	}
	add(fmt.Sprintf("%s of %s products purged, %d visitors a second, %s: who waits for it in the next %.0f s, without rewarming and with %d or %d pages",
		thousands(float64(size.products/inCategory)), thousands(float64(size.products)), size.perSecond, origin, size.after.Seconds(), arms[1].rewarm, arms[2].rewarm),
		"%s", each("%.1f %%", func(r *rush) []any { return []any{r.share()} }))
	add("the same after the first second", "%s", each("%.1f %%", func(r *rush) []any { return []any{r.shareLater()} }))
	add("those visitors for whom the origin is asked wait: mean / p95", "%s ms",
		each("%.0f / %.0f", func(r *rush) []any {
			return []any{meanOf(r.own), at(slices.Sorted(slices.Values(r.own)), 0.95)}
		}))
	add("90 % / all of the hottest pages are back after", "%s", each("%s / %s", func(r *rush) []any { return []any{seconds(r.mostBack), seconds(r.allBack)} }))
	add(fmt.Sprintf("fetches for warming at once, of %d configured", rushConcurrency), "%s", each("%d", func(r *rush) []any { return []any{r.most} }))
}
