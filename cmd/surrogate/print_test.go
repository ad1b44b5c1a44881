package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestStatsHaveTheDashboardsColumns: whoever reads one finds his way in the other.
func TestStatsHaveTheDashboardsColumns(t *testing.T) {
	html, err := os.ReadFile("dashboard/index.html")
	if err != nil {
		t.Fatal(err)
	}
	sites, _, _ := strings.Cut(string(html), `id="sites"`)
	var heads []string
	for _, m := range regexp.MustCompile(`<th[^>]*>([^<]*)</th>`).FindAllStringSubmatch(sites, -1) {
		heads = append(heads, m[1])
	}
	r := report{Sites: []siteReport{{Site: "a", Hits: 1, Stale: 2, Misses: 3, Collapsed: 4, Revalidated: 5, Passed: 6, FetchErrors: 7, SentBytes: 8}},
		Total: siteReport{Early: 9}, Warming: &warmReport{}}
	var b strings.Builder
	r.print(&b)
	lines := strings.Split(b.String(), "\n")
	if got, want := strings.Join(strings.Fields(lines[2]), " "), strings.Join(heads, " "); got != want || len(heads) != 10 {
		t.Errorf("columns %q, on the dashboard %q", got, want)
	}
	if !strings.Contains(b.String(), "; refreshed before they were stale: 9\n") {
		t.Errorf("no early refreshes in\n%s", b.String())
	}
	if got := strings.Join(strings.Fields(lines[3]), " "); got != "a 27.3 % 1 2 3 4 5 6 7 8 B" {
		t.Errorf("%s", got)
	}
}

func TestStatsShowTheFleet(t *testing.T) {
	html, err := os.ReadFile("dashboard/index.html")
	if err != nil {
		t.Fatal(err)
	}
	nodes, _, _ := strings.Cut(string(html), `id="nodes"`)
	_, nodes, _ = strings.Cut(nodes, `id="fleet"`)
	var heads []string
	for _, m := range regexp.MustCompile(`<th[^>]*>([^<]*)</th>`).FindAllStringSubmatch(nodes, -1) {
		heads = append(heads, m[1])
	}
	r := report{Fleet: &fleetReport{Total: siteReport{Hits: 3, Misses: 1}, Nodes: map[string]nodeReport{
		"b": {Total: siteReport{Hits: 3}, Purges: 2, Heard: 7, Hears: true},
		"a": {Total: siteReport{Misses: 1}, Heard: 5},
	}}}
	var b strings.Builder
	r.print(&b)
	var got []string
	for line := range strings.Lines(b.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := []string{"fleet 75.0 % 3 0 1 0 0 0 0 0 B", "", strings.TrimSpace(strings.Join(heads, " ")), "a 0.0 % 0 5 deaf", "b 100.0 % 2 7", ""}
	if got = got[3:9]; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
