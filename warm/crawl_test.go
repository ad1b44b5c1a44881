package warm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"surrogate/store"
)

func TestLinks(t *testing.T) {
	const page = "https://shop.example/a/b?x=1"
	for name, c := range map[string]struct{ html, want string }{
		"relative":         {`<a href="c">`, "/a/c"},
		"absolute path":    {`<A HREF=/c?y=2&amp;z=3#top>`, "/c?y=2&z=3"},
		"query alone":      {`<a href="?p=2">`, "/a/b?p=2"},
		"dots":             {`<a href="../../../c">`, "/c"},
		"no scheme":        {`<a href="//shop.example/c">`, "/c"},
		"white space":      {"<a href=' /c\n/d\t '>", "/c/d"},
		"space inside":     {`<a href="/a b">`, "/a%20b"},
		"not ascii":        {`<a href="/käse?q=ü">`, "/k%C3%A4se?q=ü"},
		"host alone":       {`<a href="https://shop.example">`, "/"},
		"twice":            {`<a href=/c><a href="/c#x">`, "/c"},
		"not for http":     {`<a href="mailto:a@b"><a href="javascript:x()"><a href="data:,x"><a href="tel:1"><a href="#x"><a href=""><a>`, ""},
		"bad":              {`<a href="http://[::1"><a href="/%zz"><a href="http://u:p@shop.example/">`, ""},
		"nofollow":         {`<a rel="noopener NOFOLLOW" href=/c><a rel=next href=/d>`, "/d"},
		"robots":           {`<a href=/c><img src=/i.png><meta name=robots content="noindex, nofollow"><a href=/d>`, "/i.png asset"},
		"noindex":          {`<meta name=robots content=noindex><a href=/d>`, "/d"},
		"base":             {`<base href="/z/"><base href="/y/"><a href=c>`, "/z/c"},
		"refresh":          {`<meta http-equiv=Refresh content="0; URL='/c'">`, "/c"},
		"link elements":    {`<link rel=canonical href=/1><link rel="next" href=/2><link rel="stylesheet" href=/3.css><link rel=dns-prefetch href=/no><link rel=alternate type=application/rss+xml href=/no><link rel=alternate hreflang=de href=/4>`, "/1 /2 /3.css asset /4"},
		"images":           {`<img src=/1.png srcset="/2.png 2x, /3.png 3x,/4,5.png"><source srcset="/6.png 100w"><video src=/7 poster=/8><script src=/9.js></script>`, "/1.png asset /2.png asset /3.png asset /4,5.png asset /6.png asset /7 asset /8 asset /9.js asset"},
		"script and style": {`<script>document.write('<a href=/no>')</script><style>a:after{content:"<a href=/no>"}</style><textarea><a href=/no></textarea><a href=/c>`, "/c"},
		"comment":          {`<!-- <a href=/no> --><a href=/c>`, "/c"},
		"broken":           {`<a href="/c"><div <a href=/d <p>`, "/c"},
		"first of a name":  {`<a href=/c href=/d>`, "/c"},
		"other hosts":      {`<a href=https://other.example/x>`, "https://other.example/x"},
	} {
		links, err := linksOf(page, nil, strings.NewReader(c.html))
		var got []string
		for _, l := range links {
			s := strings.TrimPrefix(l.url, "https://shop.example")
			if l.asset {
				s += " asset"
			}
			got = append(got, s)
		}
		if s := strings.Join(got, " "); s != c.want || err != nil {
			t.Errorf("%s: %q %v, want %q", name, s, err, c.want)
		}
	}
	if links, _ := linksOf(page, http.Header{"X-Robots-Tag": {"noindex", "nofollow"}}, strings.NewReader("<a href=/c>")); len(links) != 0 {
		t.Errorf("%v in spite of X-Robots-Tag", links)
	}
	if links, err := linksOf(page, nil, strings.NewReader(`<a href=/c><a href="`+strings.Repeat("x", 2*maxToken))); len(links) != 1 || err == nil {
		t.Errorf("%d links, %v", len(links), err)
	}
}

func TestCrawl(t *testing.T) {
	w := newTown(t)
	w.plans[0].Crawl = CrawlPlan{Exclude: []string{"/cart*", "/search"}}
	w.page("https://shop.example/", "/a", "/b", "/cart/add?id=1", "/search?q=x", "https://other.example/", "https://blog.example/", "/#top")
	w.page("https://shop.example/a", "/", "/c", "/missing")
	w.page("https://shop.example/b", "/c", "/moved")
	w.page("https://shop.example/c", "/d")
	w.page("https://shop.example/d", "/e")
	w.has("https://shop.example/moved", 302, "", "Location: https://shop.example/target")
	w.page("https://shop.example/target", "/beyond")
	a := w.warm(Ask{Site: "shop", Crawl: []string{"/"}, Depth: 3})
	did := w.work()
	want := []string{"/", "/a", "/b", "/beyond", "/c", "/d", "/missing", "/moved"}
	for i := range want {
		want[i] = "https://shop.example" + want[i]
	}
	if got := urls(did); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if r := did["https://shop.example/missing"]; r.State != store.Failed {
		t.Errorf("%+v", r)
	}
	if p := w.progress(a.ID); !p.Done() || p.Failed != 2 || p.Total != len(want) {
		t.Errorf("%+v", p)
	}
}

// TestLinksOfStoredPages: what is stored is read as it is, compressed or not; it
// is asked for anew only where its coding cannot be undone here.
func TestLinksOfStoredPages(t *testing.T) {
	const page = `<a href="/next">x</a>`
	for coding, c := range map[string]struct {
		body  string
		asked int
	}{
		"":     {page, 0},
		"gzip": {gzipped(page), 0},
		"br":   {"compressed", 1},
	} {
		w := newTown(t)
		w.has("https://shop.example/", 200, page, "Content-Type: text/html")
		h := http.Header{"Content-Type": {"text/html; charset=utf-8"}}
		if coding != "" {
			h.Set("Content-Encoding", coding)
		}
		e := &store.Entry{Status: 200, Head: store.HeadOf(h), Body: []byte(c.body)}
		a := w.warm(Ask{Site: "shop", URLs: []string{"/first"}})
		r := w.in.Following(func(context.Context, store.Job) Result { return Result{Page: e, Status: 200} })(
			t.Context(), store.Job{Run: a.ID, Site: "shop", URL: "https://shop.example/", Depth: 1})
		if r.State != store.Warmed || len(w.fetched) != c.asked {
			t.Errorf("%q: %+v, asked for %q", coding, r, w.fetched)
		}
		if got := urls(w.work()); !slices.Contains(got, "https://shop.example/next") {
			t.Errorf("%q: %q", coding, got)
		}
	}
}

func TestCrawlHasBounds(t *testing.T) {
	w := newTown(t)
	w.plans[0].Crawl = CrawlPlan{MaxPages: 10, Assets: true}
	var links []string
	for i := range 50 {
		links = append(links, "/"+strings.Repeat("x", i+1))
	}
	w.page("https://shop.example/", links...)
	a := w.warm(Ask{Site: "shop", Crawl: []string{"/"}, Depth: 2})
	w.work()
	if p := w.progress(a.ID); p.Total != 10 || !p.Done() || !strings.Contains(p.Failures[0].Why, "as many pages as it may, 10") {
		t.Errorf("%+v", p)
	}
}

// TestRedirects: what they lead to is warmed, and loops end and are told, for
// plain URLs too.
func TestRedirects(t *testing.T) {
	w := newTown(t)
	to := func(from, location string) { w.has("https://shop.example"+from, 301, "", "Location: "+location) }
	to("/1", "https://shop.example/2")
	to("/2", "https://shop.example/ok")
	w.page("https://shop.example/ok")
	to("/self", "https://shop.example/self#again")
	to("/x", "https://shop.example/y")
	to("/y", "https://shop.example/z")
	to("/z", "https://shop.example/y")
	to("/away", "https://other.example/")
	to("/nowhere", "https://shop.example/404")
	to("/cookie", "https://shop.example/sets")
	w.has("https://shop.example/sets", 200, "", "Set-Cookie: a=b")
	for i := range 15 {
		to("/long"+strings.Repeat("g", i), "https://shop.example/long"+strings.Repeat("g", i+1))
	}
	w.warm(Ask{Site: "shop", List: strings.NewReader("/1\n/self\n/x\n/away\n/nowhere\n/cookie\n/long")})
	did := w.work()
	for path, want := range map[string]string{
		"/1": "", "/away": "",
		"/self":    "redirects in a loop: https://shop.example/self → https://shop.example/self",
		"/x":       "redirects in a loop: https://shop.example/x → https://shop.example/y → https://shop.example/z → https://shop.example/y",
		"/nowhere": "redirects to https://shop.example/404: answered 404",
		"/cookie":  "redirects to what is not kept: set-cookie",
		"/long":    "more than 10 redirects",
	} {
		r := did["https://shop.example"+path]
		if path == "/cookie" {
			if r.State != store.Unkept || r.Why != want {
				t.Errorf("%s: %d %q", path, r.State, r.Why)
			}
			continue
		}
		if want == "" && r.State != store.Warmed || !strings.HasPrefix(r.Why, want) || want != "" && r.State != store.Failed {
			t.Errorf("%s: %d %q, want %q", path, r.State, r.Why, want)
		}
	}
	if !slices.Contains(w.fetched, "https://shop.example/ok") {
		t.Error("what a redirect led to was not fetched")
	}
}

// TestErrorsAreNotWarmed: whether they are kept or not, stored now or fresh.
func TestErrorsAreNotWarmed(t *testing.T) {
	for status, want := range map[int]store.OutcomeState{200: store.Warmed, 304: store.Warmed, 404: store.Failed, 410: store.Failed, 501: store.Failed} {
		for _, state := range []store.OutcomeState{store.Warmed, store.Fresh, store.Unkept, store.Again} {
			r := judged(Result{Outcome: store.Outcome{State: state, Why: "x"}, Status: status})
			if status >= 400 && state != store.Again {
				if r.State != want || r.Why != fmt.Sprint("answered ", status) {
					t.Errorf("%d, %d: %+v", status, state, r)
				}
			} else if r.State != state || r.Why != "x" {
				t.Errorf("%d, %d: %+v", status, state, r)
			}
		}
	}
}

// failingQueue refuses jobs.
type failingQueue struct{ store.Queue }

func (failingQueue) Add(_ context.Context, _ string, _ []store.Job) (int, int, error) {
	return 0, 0, errors.New("no Redis")
}

// TestLinksThatCannotBeQueued: the page is done again.
func TestLinksThatCannotBeQueued(t *testing.T) {
	w := newTown(t)
	w.page("https://shop.example/", "/a")
	w.has("https://shop.example/s.xml", 200, sitemapOf("https://shop.example/", 1000))
	w.in.queue = failingQueue{w.queue}
	do := w.in.Following(w.plain)
	if r := do(t.Context(), store.Job{Run: "x", Site: "shop", URL: "https://shop.example/", Depth: 1}); r.State != store.Again || !strings.Contains(r.Why, "no Redis") {
		t.Errorf("%+v", r)
	}
	if r := do(t.Context(), store.Job{Run: "x", Site: "shop", URL: "https://shop.example/s.xml", Depth: -2}); r.State != store.Again || !strings.Contains(r.Why, "no Redis") {
		t.Errorf("%+v", r)
	}
	w.has("https://shop.example/s.xml", 503, "")
	if r := do(t.Context(), store.Job{Run: "x", Site: "shop", URL: "https://shop.example/s.xml", Depth: -2}); r.State != store.Again || r.Why != "answered 503" {
		t.Errorf("%+v", r)
	}
}

func FuzzLinks(f *testing.F) {
	f.Add("https://shop.example/a", `<base href=/b/><a href="c" rel=x><img srcset="a 1x, b">`)
	f.Add("https://shop.example/a", "<meta http-equiv=refresh content=0;url=/x><link rel=next href=//h>")
	f.Add("http://[::1]/", "<a href='\n?\t#'>")
	f.Fuzz(func(t *testing.T, page, text string) {
		links, _ := linksOf(page, nil, strings.NewReader(text))
		for _, l := range links {
			if !strings.HasPrefix(l.url, "http://") && !strings.HasPrefix(l.url, "https://") || strings.Contains(l.url, "#") || len(l.url) > maxURL {
				t.Fatalf("%q", l.url)
			}
		}
		if len(links) > len(text) {
			t.Fatalf("%d links in %d bytes", len(links), len(text))
		}
	})
}
