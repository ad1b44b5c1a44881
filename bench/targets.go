package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A verdict is a target and what was measured of it.
type verdict struct {
	what         string
	figure, most float64 // figure may be most at most, or, if atLeast, is to be that at least
	atLeast      bool
	unit         string
}

func (v verdict) met() bool {
	if v.atLeast {
		return v.figure >= v.most
	}
	return v.figure <= v.most
}

// verdicts are the targets that this run measured.
func (b *bench) verdicts() (vs []verdict) {
	cpu := func(title, name string) float64 {
		for _, r := range b.requested {
			if r.title == title {
				return medianOf(r.samples[name], func(s sample) float64 { return s.cpu })
			}
		}
		return 0
	}
	// What a request of ours is to cost, as a share of what another does to a peer.
	share := func(title, peer, peerTitle string, most float64, unit string) {
		own, theirs := cpu(title, surrogateName), cpu(peerTitle, peer)
		if own > 0 && theirs > 0 {
			vs = append(vs, verdict{what: "CPU: " + title, figure: own / theirs, most: most, unit: " × " + unit})
		}
	}
	for _, size := range []struct {
		title  string
		shares []float64
	}{{rows[hitRow].title, []float64{0.9, 0.7, 0.5}}, {rows[hit10Row].title, []float64{0.9, 0.8, 0.55}}} {
		for i, peer := range peers {
			share(size.title, peer, size.title, size.shares[i], peer)
		}
	}
	miss, pass := rows[missRow].title, rows[passRow].title
	share(pass, varnishName, pass, 0.6, varnishName)
	share(miss, varnishName, pass, 0.8, varnishName+"'s pass")
	for _, p := range b.purged {
		if p.name == surrogateName && p.objects >= 100_000 {
			vs = append(vs, verdict{what: fmt.Sprintf("purge of a tag on %s objects", thousands(float64(p.objects))), figure: median(p.took), most: 1.5, unit: " ms"})
		}
	}
	if b.fleet != nil {
		vs = append(vs, verdict{what: fmt.Sprintf("purge of a tag on %s objects until it is in force on three nodes, p99", thousands(float64(b.o.fleet))), figure: b.fleet.p99, most: 5, unit: " ms"})
	}
	if s := b.stormed; s != nil && medianSpread(s.quiet).p999 > 0 {
		vs = append(vs, verdict{what: "p99.9 of hits while purges storm", figure: medianSpread(s.loud).p999 / medianSpread(s.quiet).p999, most: 2, unit: " × quiet"})
	}
	for _, h := range b.herded {
		vs = append(vs, verdict{what: "fetches for " + thousands(float64(b.o.clients)) + " clients at once on a " + h.title + " key", figure: slices.Max(h.fetches), most: 1})
	}
	for _, m := range b.remembered {
		if m.name == surrogateName {
			vs = append(vs, verdict{what: "memory of an object beyond its bytes", figure: m.beyond / 1000, most: 0.7, unit: " KB"})
		}
	}
	if b.redis != nil {
		for _, what := range slices.Sorted(maps.Keys(b.redis.ofGET)) {
			vs = append(vs, verdict{what: "throughput of hits from Redis, " + strings.ReplaceAll(what, ",", ", "), figure: b.redis.ofGET[what], most: 0.7, atLeast: true, unit: " × a bare GET"})
		}
	}
	for arms := range slices.Chunk(b.rushes, rushArms) {
		most, slowed := 0, 0.
		for _, r := range arms[1:] {
			most = max(most, r.most)
			slowed = max(slowed, meanOf(r.own)/meanOf(arms[0].own))
		}
		where := "an origin without bounds"
		if n := arms[0].workers; n > 0 {
			where = fmt.Sprintf("an origin of %d workers", n)
		}
		vs = append(vs,
			verdict{what: "fetches for warming at once, " + where, figure: float64(most), most: rushConcurrency},
			verdict{what: "visitors' own misses while what was purged is fetched again, mean, " + where, figure: slowed, most: 1.1, unit: " × without"})
	}
	return vs
}

func targetTable(vs []verdict) table {
	t := table{head: []string{"target", "is to be", "is", ""}}
	for _, v := range vs {
		bound, met := "≤", "met"
		if v.atLeast {
			bound = "≥"
		}
		if !v.met() {
			met = "**not met**"
		}
		t.lines = append(t.lines, []string{v.what, fmt.Sprintf("%s %g%s", bound, v.most, v.unit), fmt.Sprintf("%.2f%s", v.figure, v.unit), met})
	}
	return t
}
