package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestExplainInWords: what explain prints blames no purge for what is not stored
// anyway, and needs no glossary.
func TestExplainInWords(t *testing.T) {
	origin := startOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/private":
			w.Header().Set("Cache-Control", "private")
		case "/searched":
			w.Header().Set("No-Vary-Search", "params")
		case "/many":
			w.Header().Set("Surrogate-Key", "a b c")
		}
		w.Header().Add("Cache-Control", "max-age=60")
		fmt.Fprint(w, "content")
	})
	p := serveFor(t, origin, "--set", "limits.max_tags=2")
	explained := func(url string) string {
		t.Helper()
		code, out, errs := said(t, "explain", "--admin", p.admin, strings.TrimPrefix(url, "http://"))
		if code != 0 {
			t.Fatal(errs)
		}
		return out
	}
	check := func(url string, wants ...string) {
		t.Helper()
		out := explained(url)
		for _, want := range wants {
			if strings.Contains(out, strings.TrimPrefix(want, "!")) == strings.HasPrefix(want, "!") {
				t.Errorf("of %s, want %q:\n%s", url, want, out)
			}
		}
	}

	private := p.proxy + "/private"
	get(t, private)
	said(t, "purge", "--admin", p.admin, "--everything")
	check(private, "not in the cache: its last answer, 0 s ago, was not stored: private", "not stored ")

	page := p.proxy + "/searched"
	check(page, "not in the cache; purge 1", "not known to have taken it")
	untilHit(t, page)
	check(page, "http://127", "!https://", "a purge of everything", "a purge of any URL of 127.0.0.1", "fetched after purge 1")
	check(private, "was not stored: private")

	said(t, "purge", "--admin", p.admin, "--url", page)
	eventually(t, func() error { // once it is swept
		if out := explained(page); !strings.Contains(out, "took it, and it has not been stored since") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})

	for query, want := range map[string]string{"": "Ask for ?url=", "?ulr=a.example/": `no parameter \"ulr\"; there are: url`} {
		if got := get(t, p.admin+"/v1/explain"+query); got.StatusCode != 400 || !strings.Contains(got.body, want) {
			t.Errorf("%q: %s %s", query, got.Status, got.body)
		}
	}
	many := p.proxy + "/many"
	untilHit(t, many)
	check(many, "every purge, because its tags were too many", "!catch-all")
}
