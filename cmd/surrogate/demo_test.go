package main

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// needPrograms skips the test where a program is missing, and fails it where
// nothing may be.
func needPrograms(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatalf("%s is not installed: judge/install.sh does it", name)
			}
			t.Skip(name + " is not installed")
		}
	}
}

// TestDemo pastes what the demo prints, verbatim.
func TestDemo(t *testing.T) {
	needPrograms(t, "curl", "sh", "grep")
	p := launch(t, programWith(t, "demo"))
	p.out.await(t, "Ctrl-C ends it")
	var lines []string
	for line := range strings.Lines(p.out.String()) {
		if rest, ok := strings.CutPrefix(line, "  "); ok && !strings.HasPrefix(rest, "#") {
			lines = append(lines, strings.TrimSpace(rest))
		}
	}
	if len(lines) != 4 {
		t.Fatalf("want four commands, found %q", lines)
	}
	paste := func(line string) string {
		t.Helper()
		out, err := exec.Command("sh", "-c", line).CombinedOutput()
		if err != nil {
			t.Fatalf("%s\n%v\n%s", line, err, out)
		}
		t.Logf("$ %s\n%s", line, out)
		return string(out)
	}
	seconds := func(out string) (s []float64) {
		for _, m := range regexp.MustCompile(`(?m)^([0-9.]+) s$`).FindAllStringSubmatch(out, -1) {
			f, _ := strconv.ParseFloat(m[1], 64)
			s = append(s, f)
		}
		return s
	}

	first := paste(lines[0])
	if strings.Count(first, "fwd=uri-miss") != 2 || len(seconds(first)) != 2 || seconds(first)[0] < 0.2 {
		t.Errorf("the first time is not two misses of 200 ms")
	}
	second := paste(lines[0])
	if strings.Count(second, "; hit;") != 2 || len(seconds(second)) != 2 || seconds(second)[0] > 0.1 {
		t.Errorf("the second time is not two quick hits")
	}
	prices := func(out string) []string {
		return regexp.MustCompile(`Trail runner, € [0-9.]+`).FindAllString(out, -1)
	}
	before := prices(paste(lines[1]))
	if len(before) != 3 || before[0] != before[1] || before[1] != before[2] {
		t.Errorf("three pages do not agree on a price: %q", before)
	}
	if out := paste(lines[2]); !strings.Contains(out, `"status":"ok"`) || !strings.Contains(out, "now costs € 19.90") {
		t.Errorf("the purge did not say that it was done")
	}
	after := prices(paste(lines[1]))
	if want := "Trail runner, € 19.90"; len(after) != 3 || after[0] != want || after[1] != want || after[2] != want {
		t.Errorf("not all three pages say the new price on the very next request: %q", after)
	}
	if out := paste(lines[3]); !strings.Contains(out, "; hit;") {
		t.Errorf("another product was dropped")
	}
	p.signal(t, syscall.SIGINT)
	if code := p.ended(t); code != 0 {
		t.Errorf("Ctrl-C ended it with %d", code)
	}
	if log := p.log.String(); log != "" {
		t.Errorf("it logged:\n%s", log)
	}
}

// TestShopButtons presses them: changed alone, the old price is shown; purged,
// the new one, and nothing else was dropped.
func TestShopButtons(t *testing.T) {
	p := launch(t, programWith(t, "demo"))
	m := p.out.await(t, `(?s)shop  on (http://\S+),.*proxy on (http://\S+),.*admin on (http://\S+)\n.*Ctrl-C`)
	shop, proxy, dashboard := m[1], m[2], m[3]
	page, other := proxy+"/products/1", proxy+"/products/2"
	if got := untilHit(t, page); !strings.Contains(got.body, `action="`+shop+`/admin/products/1"`) || !strings.Contains(got.body, `href="`+dashboard+`"`) {
		t.Errorf("no form or no link:\n%s", got.body)
	}
	untilHit(t, other)
	press := func(form string) string {
		t.Helper()
		got := ask(t, "POST", shop+"/admin/products/1", form, "Content-Type: application/x-www-form-urlencoded")
		if got.StatusCode != 303 || got.Header.Get("Location") != page {
			t.Fatalf("%s: %s, to %q: %s", form, got.Status, got.Header.Get("Location"), got.body)
		}
		return get(t, page).body
	}
	if body := press("back=1&price=7.77"); strings.Contains(body, "€ 7.77") {
		t.Errorf("the cache has the new price without a purge")
	}
	if body := press("back=1&price=8.88&purge=1"); !strings.Contains(body, "€ 8.88") {
		t.Errorf("the cache has the old price after a purge:\n%s", body)
	}
	if got := get(t, other); !isHit(got) {
		t.Errorf("another product was dropped: %s", got.cache())
	}
	for _, path := range []string{"/products/501", "/nowhere"} {
		if got := get(t, proxy+path); got.StatusCode != 404 || !strings.Contains(got.body, "<nav>") || !strings.Contains(got.body, "</body>") {
			t.Errorf("%s: %s\n%s", path, got.Status, got.body)
		}
	}
}
