package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// page is the Markdown that a run prints.
func (b *bench) page() string {
	var p strings.Builder
	fmt.Fprintf(&p, "%s; %s.\n`%s`, %d rounds of %d s, %d connections; each server on one core, the load and the origin on another.\n",
		machine(), versions(), command(), b.o.rounds, b.o.seconds, b.o.connections)
	rows := b.requested
	if b.redis != nil {
		rows = append(slices.Clip(rows), b.redis.rows...)
	}
	if len(rows) > 0 {
		p.WriteString("\n" + costTable(rows))
	}
	if t := b.otherTable(); len(t.lines) > 0 {
		p.WriteString("\n" + t.String())
	}
	if t := targetTable(b.verdicts()); len(t.lines) > 0 {
		p.WriteString("\n" + t.String())
	}
	if len(rows) > 0 {
		p.WriteString("\n" + detailTable(rows).String())
	}
	return p.String()
}

// command is how this was started, as one would type it.
func command() string { return strings.Join(append([]string{"go run ./bench"}, os.Args[1:]...), " ") }

// medianOf is the median of one figure of a server's samples; 0 without any.
func medianOf(samples []sample, figure func(sample) float64) float64 {
	var xs []float64
	for _, s := range samples {
		xs = append(xs, figure(s))
	}
	return median(xs)
}

// median is that of the two in the middle where there are two; 0 for none.
func median(xs []float64) float64 {
	if len(xs) == 0 {
		return 0
	}
	xs = slices.Sorted(slices.Values(xs))
	return (xs[(len(xs)-1)/2] + xs[len(xs)/2]) / 2
}

// costTable is the CPU that a request costs, with surrogate's as a share of each
// other's.
func costTable(results []rowResult) string {
	present := map[string]bool{}
	for _, r := range results {
		for name := range maps.Keys(r.samples) {
			present[name] = true
		}
	}
	head := []string{"CPU of a request, µs (surrogate's share of it)"}
	for _, name := range names {
		if present[name] {
			head = append(head, name)
		}
	}
	t := table{head: head}
	cpu := func(s sample) float64 { return s.cpu }
	for _, r := range results {
		line := []string{r.title}
		own := medianOf(r.samples[surrogateName], cpu)
		for _, name := range head[1:] {
			m := medianOf(r.samples[name], cpu)
			switch {
			case m == 0:
				line = append(line, "–")
			case name == surrogateName:
				line = append(line, fmt.Sprintf("**%.1f**", m))
			default:
				line = append(line, fmt.Sprintf("%.1f (%.2f)", m, own/m))
			}
		}
		t.lines = append(t.lines, line)
	}
	return t.String()
}

// detailTable has the other figures of requests.
func detailTable(results []rowResult) table {
	t := table{head: []string{"", "server", "requests/s", "p50, ms", "p99, ms", "p99.9, ms", "core busy", "CPU, least to most, µs"}}
	for _, r := range results {
		title := r.title
		for _, name := range names {
			s := r.samples[name]
			if len(s) == 0 {
				continue
			}
			ms := func(figure func(sample) float64) string { return fmt.Sprintf("%.2f", medianOf(s, figure)/1e3) }
			least, most := s[0].cpu, s[0].cpu
			for _, x := range s {
				least, most = min(least, x.cpu), max(most, x.cpu)
			}
			t.lines = append(t.lines, []string{
				title, name, thousands(medianOf(s, func(s sample) float64 { return s.rate })),
				ms(func(s sample) float64 { return s.p50 }), ms(func(s sample) float64 { return s.p99 }), ms(func(s sample) float64 { return s.p999 }),
				fmt.Sprintf("%.0f %%", 100*medianOf(s, func(s sample) float64 { return s.busy })),
				fmt.Sprintf("%.1f–%.1f", least, most),
			})
			title = ""
		}
	}
	return t
}

// A table is one in Markdown.
type table struct {
	head  []string
	lines [][]string
}

func (t table) String() string {
	var b strings.Builder
	row := func(cells []string) { fmt.Fprintf(&b, "| %s |\n", strings.Join(cells, " | ")) }
	row(t.head)
	b.WriteString(strings.Repeat("|---", len(t.head)) + "|\n")
	for _, l := range t.lines {
		row(l)
	}
	return b.String()
}

// thousands writes a count as people read it.
func thousands(x float64) string {
	s := fmt.Sprintf("%.0f", x)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
