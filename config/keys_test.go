package config

import (
	"strings"
	"testing"
)

// TestVariablesAreUnique: no two keys share a variable, and none is taken for
// one of a container's.
func TestVariablesAreUnique(t *testing.T) {
	seen := map[string]string{"SURROGATE_CONFIG": "the file", "SURROGATE_ORIGIN": "--origin"}
	for _, k := range Keys() {
		if strings.HasPrefix(k.Name, "site.") {
			if k.Env != "" {
				t.Errorf("%s has the variable %s", k.Name, k.Env)
			}
			continue
		}
		if other, taken := seen[k.Env]; taken || k.Env == "" {
			t.Errorf("%s: variable %q is that of %q", k.Name, k.Env, other)
		}
		seen[k.Env] = k.Name
		if foreign.MatchString(k.Env) {
			t.Errorf("%s looks foreign", k.Env)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"cache", "default_ttl", "level", "listen", "log", "max_object", "memory", "origins", "purge", "warn"}
	for word, want := range map[string]string{
		"orgin": "origins", "origin": "origins", "memroy": "memory", "Memory": "memory", "max-object": "max_object",
		"maxobject": "max_object", "ttl": "default_ttl", "warning": "warn", "logging": "log",
		"frobnicate": "", "x": "", "": "", "listen_address": "listen",
	} {
		if got := nearest(word, names); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "ab", 2}, {"ab", "", 2}, {"ab", "ab", 0}, {"ab", "ba", 1}, {"kitten", "sitting", 3}, {"memroy", "memory", 1}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q, %q: got %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
