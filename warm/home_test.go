package warm

import (
	"strings"
	"testing"
)

func TestCompletes(t *testing.T) {
	type asked = map[string]float64
	for what, c := range map[string]struct {
		site  SitePlan
		said  string
		asked asked
		want  string // what is wrong begins with "!"
	}{
		"nothing is known":       {want: "!takes every host, and nobody has asked"},
		"one host is asked":      {asked: asked{"http://a:8080": 1}, want: "http://a:8080"},
		"by two schemes":         {asked: asked{"http://a": 1, "https://a": 5}, want: "https://a"},
		"as often":               {asked: asked{"http://a": 1, "https://a": 1}, want: "https://a"},
		"beside a health check":  {asked: asked{"http://10.0.0.1": 1, "https://a": 50}, want: "https://a"},
		"several":                {asked: asked{"https://b": 1, "https://a": 5}, want: "!visitors ask for a, b: write URLs"},
		"several, and one's own": {site: SitePlan{Guess: "http://b"}, asked: asked{"https://b": 1, "https://a": 5}, want: "http://b"},
		"one's own, by https":    {site: SitePlan{Guess: "http://b"}, asked: asked{"https://b": 1}, want: "https://b"},
		"one's own":              {site: SitePlan{Guess: "http://b"}, want: "http://b"},
		"configured":             {site: SitePlan{Base: "https://c", Guess: "http://b"}, asked: asked{"http://b": 1}, want: "https://c"},
		"said":                   {site: SitePlan{Base: "https://c"}, said: "https://d", asked: asked{"http://b": 1}, want: "https://d"},
	} {
		c.site.Name = "x"
		got, err := c.site.completes(c.said, c.asked)
		wrong, isWrong := strings.CutPrefix(c.want, "!")
		if isWrong != (err != nil) || isWrong && !strings.Contains(err.Error(), wrong) || !isWrong && got != c.want {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
}

// TestPathsNeedAHost: it is told how, or learnt from visitors, once for a list.
func TestPathsNeedAHost(t *testing.T) {
	w := newTown(t)
	asked := map[string]float64{}
	looked := 0
	w.plans[2].Name = "shop" // the only one, of every host
	w.plans = w.plans[2:]
	w.in.o.Site = func(string) *SitePlan { return w.plans[0] }
	w.in.o.Asked = func(string) map[string]float64 { looked++; return asked }
	if _, err := w.in.Warm(t.Context(), Ask{URLs: []string{"/a", "/b"}}); err == nil || !strings.Contains(err.Error(), "--base") || looked != 1 {
		t.Errorf("%v, looked %d times", err, looked)
	}
	if a := w.warm(Ask{List: strings.NewReader("/a\n/b\n"), Base: "https://said.example/"}); a.Added != 2 {
		t.Errorf("%+v", a)
	}
	asked["http://127.0.0.1:8080"] = 3
	w.warm(Ask{Sitemaps: []string{"/"}, Crawl: []string{"/c"}})
	want := "http://127.0.0.1:8080/c http://127.0.0.1:8080/robots.txt http://127.0.0.1:8080/sitemap.xml https://said.example/a https://said.example/b"
	if got := strings.Join(urls(w.work()), " "); got != want {
		t.Errorf("%s", got)
	}
	for _, base := range []string{"shop.example", "ftp://shop.example", "https://", "https://shop.example/x", "https://shop.example?x"} {
		if _, err := w.in.Warm(t.Context(), Ask{URLs: []string{"/a"}, Base: base}); err == nil || !strings.Contains(err.Error(), "#/base") {
			t.Errorf("%q: %v", base, err)
		}
	}
}
