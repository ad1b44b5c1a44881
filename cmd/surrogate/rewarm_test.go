package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"surrogate/purge"
)

// TestRewarm: what visitors ask for comes back by itself after a purge, and the
// receipt, the run and the statistics tell of it.
func TestRewarm(t *testing.T) {
	origin, _ := taggingOrigin(t)
	p := serveFor(t, origin, "--set", "defaults.warm.rewarm=100")
	for _, path := range []string{"/a?tag=red", "/b?tag=red"} {
		untilHit(t, p.proxy+path)
	}
	receipt := func(id string) (r purge.Receipt) {
		eventually(t, func() error {
			if err := json.Unmarshal([]byte(get(t, p.admin+"/v1/purges/"+id).body), &r); err != nil {
				t.Fatal(err)
			}
			if r.State != purge.Rewarmed {
				return fmt.Errorf("it is %s", r.State)
			}
			return nil
		})
		return r
	}
	ask(t, "POST", p.admin+"/v1/purge", `{"tags":["red"],"id":"one"}`)
	if r := receipt("one"); r.Entries != 2 || r.WarmRun != "rewarm-one" {
		t.Errorf("%+v", r)
	}
	for _, path := range []string{"/a?tag=red", "/b?tag=red"} {
		if got := get(t, p.proxy+path); !isHit(got) {
			t.Errorf("the first visitor of %s: %s", path, got.cache())
		}
	}
	if got := get(t, p.admin+"/v1/warm/rewarm-one"); !strings.Contains(got.body, `"kind":"purge","what":"one"`) || !strings.Contains(got.body, `"warmed":2`) {
		t.Errorf("the run: %s", got.body)
	}
	var r report
	if err := json.Unmarshal([]byte(get(t, p.admin+"/v1/stats").body), &r); err != nil {
		t.Fatal(err)
	}
	if w := r.Warming; w == nil || w.Warmed != 2 || w.Used != 2 || w.Rewarmed != 2 || len(w.Sites) != 1 || w.Sites[0].State != "ready" {
		t.Errorf("%+v", w)
	}
	if _, out, _ := said(t, "stats", "--admin", p.admin); !strings.Contains(out, "2 warmed, 0 fresh already") || !strings.Contains(out, "asked for since: 2;") {
		t.Errorf("stats printed:\n%s", out)
	}
	for _, args := range []string{"--id none --rewarm 0 red", "--id asked --rewarm 5 green"} {
		if code, _, errs := said(t, append([]string{"purge", "--admin", p.admin}, strings.Fields(args)...)...); code != 0 {
			t.Errorf("%s: exit %d: %s", args, code, errs)
		}
	}
	if r := receipt("asked"); r.Rewarm != 5 { // nothing was hot, and that is told too
		t.Errorf("%+v", r)
	}
	if got := get(t, p.proxy+"/a?tag=red"); isHit(got) {
		t.Errorf("none was to be fetched again: %s", got.cache())
	}
	if code, _, errs := said(t, "purge", "--admin", p.admin, "--rewarm=-1", "red"); code != 1 || !strings.Contains(errs, "--rewarm: not a number of keys (accepted: a whole number from 0 to 1000000)") {
		t.Errorf("exit %d: %s", code, errs)
	}
}
