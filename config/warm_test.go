package config

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestSchedule(t *testing.T) {
	daily := [7]bool{true, true, true, true, true, true, true}
	for text, want := range map[string]Schedule{
		"every 6h":           {Every: Duration(6 * time.Hour)},
		" Every  1d ":        {Every: Duration(24 * time.Hour)},
		"hourly":             {Every: Duration(time.Hour)},
		"daily 04:00":        {Days: daily, At: Duration(4 * time.Hour)},
		"Mon thu 23:59":      {Days: [7]bool{1: true, 4: true}, At: Duration(24*time.Hour - time.Minute)},
		"sun 00:00":          {Days: [7]bool{0: true}},
		"sat 1:30":           {Days: [7]bool{6: true}, At: Duration(90 * time.Minute)},
		"":                   {},
		"every":              {},
		"every 1s":           {},
		"every 6h 7h":        {},
		"every -1h":          {},
		"daily":              {},
		"daily 24:00":        {},
		"daily 4":            {},
		"daily daily 04:00":  {},
		"moon 04:00":         {},
		"unm 04:00":          {},
		"0 4 * * *":          {},
		"hourly 04:00":       {},
		"mon 04:00 tue 5:00": {},
	} {
		got, err := ParseSchedule(text)
		if got != want || (err != nil) != (want == Schedule{}) {
			t.Errorf("%q: %+v %v, want %+v", text, got, err, want)
		}
	}
}

// TestEntitiesOfASite: a site's lists take the place of those it inherits, name
// by name, and no other site sees them.
func TestEntitiesOfASite(t *testing.T) {
	cfg, err := assemble("x", []byte(`
[defaults.warm.entities]
product = "/p/{id}"
post = "/b/{id}"
[[site]]
hosts = "a.example"
origins = "http://127.0.0.1:1"
warm.entities = { product = ["/x/{id}", "/y"] }
[[site]]
hosts = "b.example"
origins = "http://127.0.0.1:1"
[site.warm]
base = "https://B.example:443/"
`), nil, Flags{})
	if err != nil {
		t.Fatal(err)
	}
	a, b := cfg.Sites[0].Warm, cfg.Sites[1].Warm
	if !reflect.DeepEqual(a.Entities, map[string][]string{"product": {"/x/{id}", "/y"}, "post": {"/b/{id}"}}) {
		t.Errorf("%v", a.Entities)
	}
	if !reflect.DeepEqual(b.Entities, map[string][]string{"product": {"/p/{id}"}, "post": {"/b/{id}"}}) || b.Base != "https://b.example" {
		t.Errorf("%v %s", b.Entities, b.Base)
	}
	if slices.ContainsFunc(Keys(), func(k KeyInfo) bool { return k.Name == "defaults.warm.entities" }) {
		t.Error("a variable can set entities")
	}
}
