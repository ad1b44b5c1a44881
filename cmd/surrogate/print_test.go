package main

import (
	"os"
	"regexp"
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
	r := report{Sites: []siteReport{{Site: "a", Hits: 1, Stale: 2, Misses: 3, Collapsed: 4, Revalidated: 5, Passed: 6, FetchErrors: 7, SentBytes: 8}}}
	var b strings.Builder
	r.print(&b)
	lines := strings.Split(b.String(), "\n")
	if got, want := strings.Join(strings.Fields(lines[2]), " "), strings.Join(heads, " "); got != want || len(heads) != 10 {
		t.Errorf("columns %q, on the dashboard %q", got, want)
	}
	if got := strings.Join(strings.Fields(lines[3]), " "); got != "a 27.3 % 1 2 3 4 5 6 7 8 B" {
		t.Errorf("%s", got)
	}
}
