package warm

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"surrogate/store"
)

const urlset = `<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"
	xmlns:xhtml="http://www.w3.org/1999/xhtml">`

func TestReadSitemap(t *testing.T) {
	utf16 := func(s string) string {
		b := "\xff\xfe"
		for i := range len(s) {
			b += s[i:i+1] + "\x00"
		}
		return b
	}
	for name, c := range map[string]struct{ text, want, err string }{
		"urlset": {urlset + `<url><loc> https://shop.example/a?x=1&amp;y=2
			</loc><lastmod>2026-01-02</lastmod><image:image><image:loc>https://shop.example/i.png</image:loc></image:image>
			<xhtml:link rel="alternate" hreflang="de" href="https://shop.example/de"/></url>
			<url><lastmod>2026-01-02T10:00+01:00</lastmod><loc><![CDATA[https://shop.example/b]]></loc></url><url/></urlset>`,
			"https://shop.example/a?x=1&y=2 2026-01-02, https://shop.example/b 2026-01-02", ""},
		"index": {`<sitemapindex><sitemap><loc>https://shop.example/1.xml</loc><lastmod>2025</lastmod></sitemap></sitemapindex>`,
			"https://shop.example/1.xml 2025-01-01 sitemap", ""},
		"other namespace":   {`<x:urlset xmlns:x="http://www.sitemaps.org/schemas/sitemap/0.9"><x:url><x:loc>/a</x:loc></x:url></x:urlset>`, "/a", ""},
		"rss":               {`<rss><channel><link>/home</link><item><title>t</title><link>/a</link><pubDate>Mon, 02 Jan 2006 15:04:05 GMT</pubDate></item></channel></rss>`, "/a 2006-01-02", ""},
		"atom":              {`<feed xmlns="http://www.w3.org/2005/Atom"><link href="/self"/><entry><link rel="edit" href="/e"/><link href="/a"/><updated>2026-01-02T00:00:00Z</updated></entry></feed>`, "/a 2026-01-02", ""},
		"text":              {"https://shop.example/a\nhttps://shop.example/b\n", "https://shop.example/a, https://shop.example/b", ""},
		"byte order mark":   {"\xef\xbb\xbf<?xml version='1.0'?><urlset><url><loc>/a</loc></url></urlset>", "/a", ""},
		"utf-16":            {utf16(`<?xml version="1.0" encoding="UTF-16"?><urlset><url><loc>/a</loc></url></urlset>`), "/a", ""},
		"latin 1":           {"<?xml version='1.0' encoding='ISO-8859-1'?><urlset><!-- \xe4 --><url><loc>/\xe4</loc></url></urlset>", "/ä", ""},
		"other encoding":    {`<?xml version="1.0" encoding="EBCDIC"?><urlset/>`, "", "encoding"},
		"empty":             {" \n", "", "empty"},
		"html":              {"<!DOCTYPE html><html><body>Not found</body></html>", "", "begins with <html>"},
		"cut off":           {urlset + "<url><loc>/a</loc></url><url><loc>/b", "/a", "not well-formed"},
		"own entity":        {`<!DOCTYPE urlset [<!ENTITY a "b">]><urlset><url><loc>/&a;</loc></url></urlset>`, "", "entity"},
		"outside entity":    {`<!DOCTYPE urlset [<!ENTITY a SYSTEM "file:///etc/passwd">]><urlset><url><loc>&a;</loc></url></urlset>`, "", "entity"},
		"billion laughs":    {`<!DOCTYPE u [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><urlset><url><loc>&b;</loc></url></urlset>`, "", "entity"},
		"deep":              {strings.Repeat("<urlset>", 20), "", "nested deeper"},
		"long location":     {"<urlset><url><loc>" + strings.Repeat("x", maxURL+1) + "</loc></url><url><loc>/a</loc></url></urlset>", "bad, /a", ""},
		"long line":         {"/a\n" + strings.Repeat("x", 2*maxLine) + "\n/b\n", "/a, bad, /b", ""},
		"long comment":      {"<urlset><!-- " + strings.Repeat("x", 2*maxToken) + " --></urlset>", "", "more than"},
		"location in image": {`<urlset><url><image><loc>/no</loc></image><loc>/a</loc></url></urlset>`, "/a", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			err := readSitemap(strings.NewReader(c.text), func(f found) error {
				s := f.loc
				if !f.mod.IsZero() {
					s += f.mod.Format(" 2006-01-02")
				}
				if f.sitemap {
					s += " sitemap"
				}
				if f.bad != nil {
					s = "bad"
				}
				got = append(got, s)
				return nil
			})
			if s := strings.Join(got, ", "); s != c.want {
				t.Errorf("%q, want %q", s, c.want)
			}
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}

func TestSitemapHasBounds(t *testing.T) {
	n := 0
	err := readSitemap(strings.NewReader("<urlset>"+strings.Repeat("<url><loc>/a</loc></url>", maxSitemapURLs+1)+"</urlset>"),
		func(found) error { n++; return nil })
	if !errors.Is(err, errTooMany) || n != maxSitemapURLs {
		t.Errorf("%d, %v", n, err)
	}
}

// sitemapOf is a urlset of so many pages.
func sitemapOf(prefix string, n int) string {
	var b strings.Builder
	b.WriteString(urlset)
	for i := range n {
		fmt.Fprintf(&b, "<url><loc>%s%d</loc></url>", prefix, i)
	}
	return b.String() + "</urlset>"
}

// TestSitemapIndex: all of an index is queued, the newest first, whatever of it
// is bad.
func TestSitemapIndex(t *testing.T) {
	w := newTown(t)
	w.has("https://shop.example/robots.txt", 200, "User-agent: *\nDisallow: /cart\nsitemap: https://shop.example/index.xml # all\nSITEMAP: https://other.example/x.xml")
	w.has("https://shop.example/index.xml", 301, "", "Location: /wp-sitemap.xml")
	w.has("https://shop.example/wp-sitemap.xml", 200, fmt.Sprintf(`<sitemapindex>
		<sitemap><loc>https://shop.example/old.xml</loc><lastmod>%s</lastmod></sitemap>
		<sitemap><loc>https://shop.example/new.xml.gz</loc><lastmod>%s</lastmod></sitemap>
		<sitemap><loc>https://shop.example/wp-sitemap.xml</loc></sitemap>
		<sitemap><loc>https://shop.example/gone.xml</loc></sitemap>
		<sitemap><loc>https://shop.example/bomb.xml.gz</loc></sitemap></sitemapindex>`, days(300), days(1)))
	w.has("https://shop.example/old.xml", 200, sitemapOf("https://shop.example/old/", 3))
	w.has("https://shop.example/new.xml.gz", 200, gzipped(fmt.Sprintf(urlset+`<url><loc>https://shop.example/new/old</loc><lastmod>%s</lastmod></url>
		<url><loc>https://shop.example/new/new</loc><lastmod>%s</lastmod></url><url><loc>https://blog.example/x</loc></url></urlset>`, days(90), days(2))))
	w.has("https://shop.example/bomb.xml.gz", 200, gzipped(urlset+strings.Repeat(" ", 60<<20)))
	a := w.warm(Ask{Sitemaps: []string{"https://shop.example"}})
	did := w.work()
	why := func(path, want string) {
		t.Helper()
		if r := did["https://shop.example"+path]; want == "" && r.State != store.Warmed && r.Why != "answered 404" || !strings.Contains(r.Why, want) {
			t.Errorf("%s: %d %q, want %q", path, r.State, r.Why, want)
		}
	}
	why("/robots.txt", "no site serves")
	why("/index.xml", "names itself")
	why("/gone.xml", "answered 404")
	why("/bomb.xml.gz", "more than 1048576 bytes")
	why("/new.xml.gz", "1 of the 3 URLs")
	why("/old.xml", "")
	for _, page := range []string{"/old/0", "/old/2", "/new/new", "/new/old"} {
		if _, ok := did["https://shop.example"+page]; !ok {
			t.Errorf("%s was left out", page)
		}
	}
	in := func(page string) int { return slices.Index(w.fetched, "https://shop.example"+page) }
	if !(in("/new.xml.gz") < in("/old.xml") && in("/old.xml") < in("/new/new") && in("/new/new") < in("/new/old") && in("/new/old") < in("/old/0")) {
		t.Errorf("order: %q", w.fetched)
	}
	if p := w.progress(a.ID); !p.Done() || p.Total != len(did) {
		t.Errorf("%+v, %d done", p, len(did))
	}
}

func TestSitemapLoopsEnd(t *testing.T) {
	w := newTown(t)
	index := func(of ...string) string {
		s := "<sitemapindex>"
		for _, o := range of {
			s += "<sitemap><loc>https://shop.example" + o + "</loc></sitemap>"
		}
		return s + "</sitemapindex>"
	}
	w.has("https://shop.example/a.xml", 200, index("/b.xml"))
	w.has("https://shop.example/b.xml", 200, index("/a.xml", "/c.xml"))
	w.has("https://shop.example/c.xml", 200, index("/d.xml"))
	w.has("https://shop.example/d.xml", 200, index("/e.xml"))
	w.has("https://shop.example/r1.xml", 302, "", "Location: /r2.xml")
	w.has("https://shop.example/r2.xml", 302, "", "Location: /r1.xml")
	w.warm(Ask{Site: "shop", Sitemaps: []string{"/a.xml", "/r1.xml"}})
	did := w.work()
	if len(did) != 5 {
		t.Errorf("%q", urls(did))
	}
	if why := did["https://shop.example/d.xml"].Why; !strings.Contains(why, "index in an index") {
		t.Errorf("%q", why)
	}
	if why := did["https://shop.example/r1.xml"].Why; !strings.Contains(why, "loop: https://shop.example/r1.xml → https://shop.example/r2.xml → https://shop.example/r1.xml") {
		t.Errorf("%q", why)
	}
}

// TestBomb: neither the bytes nor the ratio of what is compressed can be had.
// TestWhatBreaksOffIsReadAgain: sitemaps and pages whose links are followed, a
// bounded number of times, and what was read of them is not queued twice.
func TestWhatBreaksOffIsReadAgain(t *testing.T) {
	const shop = "https://shop.example"
	for _, times := range []int{1, maxTries - 1, maxTries} {
		w := newTown(t)
		w.has(shop+"/index.xml", 200, `<sitemapindex><sitemap><loc>`+shop+`/s.xml</loc></sitemap><sitemap><loc>`+shop+`/packed.xml</loc></sitemap></sitemapindex>`)
		w.has(shop+"/s.xml", 200, sitemapOf(shop+"/s", 1200))
		w.has(shop+"/packed.xml", 200, gzipped(sitemapOf(shop+"/p", 1200)))
		w.page(shop+"/", "/a", "/b", "/c", "/d")
		for _, what := range []string{"/index.xml", "/s.xml", "/packed.xml", "/"} {
			w.breaks[shop+what] = times
		}
		w.breaks[shop+"/"] *= 2 // for it is fetched, and then read
		a := w.warm(Ask{Site: "shop", Sitemaps: []string{"/index.xml"}, Crawl: []string{"/"}, Depth: 1})
		did := w.work()
		p := w.progress(a.ID)
		if times < maxTries {
			if p.Total != 3+2*1200+5 || p.Warmed != 4 || !p.Done() { // the pages are not there
				t.Errorf("broken off %d times: %d, %d warmed, done %v", times, p.Total, p.Warmed, p.Done())
			}
			if p.Retries != 4*times || !strings.Contains(p.Trouble.Why, "its transfer broke off: cut") {
				t.Errorf("broken off %d times: %d retries, %+v", times, p.Retries, p.Trouble)
			}
			continue
		}
		for _, what := range []string{"/index.xml", "/"} {
			if r := did[shop+what]; r.State != store.Failed || !strings.Contains(r.Why, "its transfer broke off: cut") {
				t.Errorf("%s broke off for good: %+v", what, r)
			}
		}
	}
}

func TestBomb(t *testing.T) {
	for name, c := range map[string]struct {
		body   string
		fields []string
		want   string
	}{
		"by ratio":        {gzipped(urlset + strings.Repeat("<url><loc>https://shop.example/a</loc></url>\n", 40_000) + strings.Repeat("<url/>", 4<<20)), nil, "a bomb"},
		"twice":           {gzipped(gzipped(urlset + strings.Repeat("<url/>", 10<<20))), []string{"Content-Encoding: gzip"}, "a bomb"},
		"not compressed":  {"plain", []string{"Content-Encoding: gzip"}, "not compressed"},
		"unknown coding":  {"x", []string{"Content-Encoding: br"}, "cannot be undone"},
		"too many coding": {"x", []string{"Content-Encoding: gzip, gzip, gzip, gzip"}, "cannot be undone"},
		"by bytes":        {urlset + strings.Repeat("<url><!-- 0123456789012345678901234567890123456789012345678901234567890123456789 --></url>\n", 700_000), nil, "longer than 50 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTown(t)
			w.has("https://shop.example/s.xml", 200, c.body, c.fields...)
			w.warm(Ask{Sitemaps: []string{"https://shop.example/s.xml"}})
			if r := w.work()["https://shop.example/s.xml"]; r.State != store.Failed || !strings.Contains(r.Why, c.want) {
				t.Errorf("%d %q, want %q", r.State, r.Why, c.want)
			}
		})
	}
}

func TestNoSitemapInRobots(t *testing.T) {
	w := newTown(t)
	w.has("https://shop.example/sitemap.xml", 200, sitemapOf("https://shop.example/", 2))
	w.warm(Ask{Site: "shop", Sitemaps: []string{"/"}})
	if got := urls(w.work()); len(got) != 4 {
		t.Errorf("%q", got)
	}
}

func TestNewness(t *testing.T) {
	now := time.Now()
	last := 2.0
	for _, age := range []time.Duration{0, time.Hour, 24 * time.Hour, 40 * 24 * time.Hour, 20_000 * time.Hour} {
		h := newness(now.Add(-age), now)
		if h >= last || h <= newness(time.Time{}, now) {
			t.Errorf("%v: %v", age, h)
		}
		last = h
	}
	if newness(now.Add(time.Hour), now) != 1 {
		t.Error("what changes tomorrow is not hotter than what changed now")
	}
}

func FuzzSitemap(f *testing.F) {
	f.Add([]byte(urlset + "<url><loc>/a</loc><lastmod>2026</lastmod></url></urlset>"))
	f.Add([]byte("<rss><channel><item><link>/a</link></item></channel></rss>"))
	f.Add([]byte("\xff\xfe<\x00u\x00"))
	f.Add([]byte("https://shop.example/a\nb"))
	f.Add([]byte("<?xml version='1.0' encoding='iso-8859-1'?><sitemapindex><sitemap><loc>\xe4</loc></sitemap></sitemapindex>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		_ = readSitemap(strings.NewReader(string(b)), func(f found) error {
			if n++; n > len(b) {
				t.Fatalf("%d URLs in %d bytes", n, len(b))
			}
			if len(f.loc) > maxLine {
				t.Fatalf("a location of %d bytes", len(f.loc))
			}
			return nil
		})
	})
}
