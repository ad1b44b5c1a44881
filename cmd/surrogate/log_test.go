package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
)

// TestJSONLog: what is measured is a number with its unit in the name, what has
// a name is said by it, and what is empty is left out.
func TestJSONLog(t *testing.T) {
	origin, _ := taggingOrigin(t)
	p := serveFor(t, origin, "--set", "log.format=json", "--set", "limits.drain=1500ms")
	get(t, p.proxy+"/a?tag=red")
	ask(t, "PURGE", p.proxy+"/", "", "Surrogate-Key: red")
	ask(t, "PURGE", p.proxy+"/a", "", "X-Forwarded-For: 192.0.2.1")
	said(t, "purge", "--admin", p.admin, "--why", "new price", "red")
	p.signal(t, syscall.SIGTERM)
	p.ended(t)

	type members = map[string]any
	lines := map[string][]members{}
	for line := range strings.Lines(p.log.String()) {
		var m members
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		for name, v := range m {
			if v == "" || name == "took" || name == "within" || name == "err" {
				t.Errorf("%s: %v in %s", name, v, line)
			}
		}
		msg, _ := m["msg"].(string)
		lines[msg] = append(lines[msg], m)
	}
	for _, c := range []struct {
		msg, member string
		want        any
	}{
		{"purge", "reason", nil},
		{"purge", "exact", true},
		{"purge refused", "url", "/a"},
		{"stopping: finishing the requests in progress", "signal", "SIGTERM"},
		{"stopping: finishing the requests in progress", "within_s", 1.5},
	} {
		if got := lines[c.msg]; len(got) == 0 || got[0][c.member] != c.want {
			t.Errorf("%s: %s is not %v: %v", c.msg, c.member, c.want, got)
		}
	}
	for _, m := range append(lines["purge"], lines["request"]...) {
		if _, ok := m["took_ms"].(float64); !ok {
			t.Errorf("took_ms is no number: %v", m)
		}
	}
	if got := lines["purge"]; len(got) != 2 || got[1]["reason"] != "new price" {
		t.Errorf("purges: %v", got)
	}
}
