package main

import (
	"net/http"
	"strings"
	"testing"
)

// TestProfile: profiles are on the admin address, for whoever may use that, and never
// on the public one.
func TestProfile(t *testing.T) {
	origin := startOrigin(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
	p := serveFor(t, origin, "--admin-token", "secret")
	const bearer = "Authorization: Bearer secret"
	for path, want := range map[string]string{
		"profile?seconds=1": "\x1f\x8b", // profiles are compressed
		"heap":              "\x1f\x8b",
		"goroutine?debug=1": "goroutine profile: total ",
		"mutex?seconds=1":   "\x1f\x8b",
		"cmdline":           `"status":404`,
		"goroutine/":        `"status":404`,
		"":                  `"status":404`,
	} {
		if got := get(t, p.admin+"/debug/pprof/"+path, bearer); !strings.Contains(got.body, want) || strings.Contains(got.body, "secret") {
			t.Errorf("%q is answered %s, %.100q", path, got.Status, got.body)
		}
	}
	if got := get(t, p.admin+"/debug/pprof/heap"); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("without the token: %s", got.Status)
	}
	if got := ask(t, "POST", p.admin+"/debug/pprof/heap", "", bearer); got.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", got.Status)
	}
	if got := get(t, p.proxy+"/debug/pprof/heap", bearer); got.StatusCode != http.StatusTeapot {
		t.Errorf("on the public address: %s", got.Status)
	}
}
