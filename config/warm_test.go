package config

import (
	"fmt"
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

// TestWarmsItsOwn: what a site has fetched are pages of its hosts.
func TestWarmsItsOwn(t *testing.T) {
	const site = "[[site]]\nhosts = ['shop.example', '*.shop.example', 'b.example:8443', '::1']\norigins = 'http://o'\n"
	for target, good := range map[string]bool{
		"/s.xml": true, "https://shop.example/": true, "http://SHOP.example.:8080/s.xml": true, "https://a.b.shop.example/": true,
		"https://b.example:8443/": true, "http://[::1]:81/": true,
		"https://b.example/": false, "https://other.example/s.xml": false, "https://myshop.example/": false, "https://[::2]/": false,
	} {
		for _, key := range []string{"sitemaps", "crawl.from"} {
			_, err := assemble("x", []byte(site+"warm."+key+" = ['/', '"+target+"']\n"), nil, Flags{})
			want := ""
			if !good {
				want = fmt.Sprintf("x:4:%d: site.warm.", len("warm."+key+" = ['/', '")) + key + `: "` + target + `" is not of this site, whose hosts are shop.example, *.shop.example, b.example:8443, [::1]`
			}
			if got := fmt.Sprint(err); good != (err == nil) || !good && got != want {
				t.Errorf("%s = %s: %v\nwant %s", key, target, err, want)
			}
		}
	}
	if _, err := assemble("x", []byte("defaults.warm.sitemaps = 'http://a.example/'\n"+site), nil, Flags{}); err != nil {
		t.Errorf("inherited: %v", err)
	}
}
