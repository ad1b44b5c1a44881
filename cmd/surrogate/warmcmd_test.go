package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"surrogate/warm"
)

// A shelf is an origin with pages that can be stored, which counts how often
// each was asked for.
type shelf struct {
	url   string
	mu    sync.Mutex // guards the fields below
	asked map[string]int
	gate  chan struct{} // if not nil, answers wait for it
	most  int           // fetches that were under way at once
	now   int
}

func newShelf(t *testing.T) *shelf {
	s := &shelf{asked: map[string]int{}}
	s.url = startOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked[r.RequestURI]++
		s.now++
		s.most = max(s.most, s.now)
		gate := s.gate
		s.mu.Unlock()
		defer func() {
			s.mu.Lock()
			s.now--
			s.mu.Unlock()
		}()
		if gate != nil {
			select {
			case <-gate:
			case <-r.Context().Done():
			}
		}
		w.Header().Set("Cache-Control", "max-age=3600")
		switch {
		case strings.HasPrefix(r.URL.Path, "/gone"):
			w.Header().Set("Cache-Control", "no-store")
			http.NotFound(w, r)
			return
		case strings.HasPrefix(r.URL.Path, "/kept-404"):
			w.WriteHeader(http.StatusNotFound)
			return
		case strings.HasPrefix(r.URL.Path, "/cookie"):
			w.Header().Set("Set-Cookie", "a=b")
		case strings.HasPrefix(r.URL.Path, "/private"):
			w.Header().Set("Cache-Control", "private")
		}
		w.Header().Set("Vary", "Accept-Encoding")
		fmt.Fprintf(w, "page %s", r.RequestURI)
	})
	return s
}

func (s *shelf) times(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[path]
}

// pages writes a list of so many.
func pages(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "/p/%d\n", i)
	}
	return b.String()
}

// withSite is a configuration with one site for a name of its own.
func withSite(t *testing.T, origin, more string) string {
	return writeFile(t, "", fmt.Sprintf("[[site]]\nname = \"shop\"\nhosts = [\"shop.example\"]\norigins = [%q]\n%s", origin, more))
}

// TestWarmAList: from a file and from standard input, with what is wrong told
// line by line, and all the rest in the cache for browsers.
func TestWarmAList(t *testing.T) {
	s := newShelf(t)
	p := serving(t, "--config", withSite(t, s.url, ""))
	list := writeFile(t, filepath.Join(t.TempDir(), "urls.txt"),
		"# the shop\n"+pages(200)+"\nhttp://other.example/\n"+strings.Repeat("x", 10<<20)+"\nhttp://shop.example/p/7?utm_source=mail\n")
	code, out, errs := said(t, "warm", "--admin", p.admin, list)
	if code != 1 || !strings.Contains(out, "warmed 200 of 200 URLs") || !strings.Contains(out, "200  fetched") {
		t.Errorf("exit %d\n%s", code, out)
	}
	for _, want := range []string{`surrogate: line 203: "http://other.example/": no site serves the host "other.example"`, `line 204: "xxx`, "a line of 10485761 bytes", "surrogate: 200 of 200, "} {
		if !strings.Contains(errs, want) && !strings.HasPrefix(want, "surrogate: 200") {
			t.Errorf("no %q in:\n%s", want, errs)
		}
	}
	if strings.Contains(out+errs, "\x1b") || strings.Contains(out+errs, "\r") {
		t.Errorf("a bar in a pipe: %q", out+errs)
	}
	for _, n := range []int{0, 7, 199} {
		path := fmt.Sprintf("/p/%d", n)
		if a := get(t, p.proxy+path, "Host: shop.example", "Accept-Encoding: gzip, deflate, br, zstd"); !isHit(a) {
			t.Errorf("%s: %s", path, a.cache())
		}
		if got := s.times(path); got != 1 {
			t.Errorf("%s was fetched %d times", path, got)
		}
	}
	// Again, from standard input: all of it is fresh.
	cmd := programWith(t, "warm", "--admin", p.admin, "--json", "-")
	cmd.Stdin = strings.NewReader(pages(200) + "/cookie\n")
	q := launch(t, cmd)
	var st warm.Status
	if code := q.ended(t); code != 0 {
		t.Errorf("exit %d: %s", code, q.log)
	}
	if err := json.Unmarshal([]byte(q.out.String()), &st); err != nil || st.Fresh != 200 || st.Unkept != 1 || st.Warmed != 0 || st.What != "standard input" {
		t.Errorf("%v %s", err, q.out)
	}
}

// TestWarmMistakes: each gets one clear answer.
func TestWarmMistakes(t *testing.T) {
	s := newShelf(t)
	p := serving(t, "--config", withSite(t, s.url, ""))
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"", 2, "warm what?"},
		{"a.txt b.txt", 2, "one list at a time"},
		{"a.txt http://shop.example/", 2, "not both at once"},
		{"--run x http://shop.example/", 2, "--run follows"},
		{"--cancel http://shop.example/", 2, "--cancel is for a --run"},
		{"--on-interrupt stop http://shop.example/", 2, `"leave" or "cancel"`},
		{"nowhere.txt", 1, "couldn't read the list: open nowhere.txt: no such file or directory; a URL begins with http:// or https://"},
		{"/products/1", 2, "there is no file /products/1; for the path of a URL: surrogate warm --base http://HOST --url /products/1"},
		{"--site shop /products/1 /products/2", 2, "there is no file /products/1; for the path of a URL"},
		{"shop.example/a", 2, "there is no file shop.example/a; for a URL: surrogate warm http://shop.example/a"},
		{"127.0.0.1:8080", 2, "for a URL: surrogate warm http://127.0.0.1:8080"},
		{"../shop/urls", 1, "couldn't read the list: open ../shop/urls"},
		{"help", 2, "there is no file help; surrogate warm --help lists the flags"},
		{t.TempDir(), 2, "is a directory: want a file with a URL in each line"},
		{"http://other.example/", 1, `no site serves the host "other.example"`},
		{"--sitemap ftp://shop.example/", 1, "cannot be warmed"},
		{"--site nope http://shop.example/", 1, "--site: there is no site"},
		{"--crawl http://shop.example/ --depth 1000", 1, "a whole number from 0 to 100"},
		{"--run nope", 1, "no run with this id is known"},
	} {
		args := append([]string{"warm", "--admin", p.admin}, strings.Fields(c.args)...)
		code, out, errs := said(t, args...)
		if code != c.code || !strings.Contains(errs, c.says) || out != "" {
			t.Errorf("surrogate warm %s: exit %d, want %d and %q:\n%s%s", c.args, code, c.code, c.says, out, errs)
		}
	}
}

func TestDetach(t *testing.T) {
	s := newShelf(t)
	p := serving(t, "--config", withSite(t, s.url, ""))
	code, out, errs := said(t, "warm", "--admin", p.admin, "--detach", "--id", "x", "http://shop.example/a")
	if code != 0 || !strings.Contains(out, "queued as run x;") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if code, out, _ := said(t, "warm", "--admin", p.admin, "--run", "x"); code != 0 || !strings.Contains(out, "warmed 1 of 1") {
		t.Errorf("exit %d: %s", code, out)
	}
}

// TestAnIDSentAgain begins nothing: who sends the same is shown how that is, and
// who sends something else is not told that it was warmed.
func TestAnIDSentAgain(t *testing.T) {
	s := newShelf(t)
	p := serving(t, "--config", withSite(t, s.url, ""))
	warm := func(args ...string) (int, string, string) {
		t.Helper()
		return said(t, append([]string{"warm", "--admin", p.admin, "--id", "x"}, args...)...)
	}
	if code, out, errs := warm("http://shop.example/a"); code != 0 {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if code, out, errs := warm("http://shop.example/a#again"); code != 0 || !strings.Contains(out, "warmed 1 of 1") || !strings.Contains(errs, "run x was there already, and is not begun again") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	for _, args := range []string{"http://shop.example/b", "http://shop.example/a http://shop.example/b", "--force http://shop.example/a", "--detach --quiet http://shop.example/b"} {
		if code, out, errs := warm(strings.Fields(args)...); code != 1 || out != "" || !strings.Contains(errs, "run x was there already, for something else: nothing of this was queued") {
			t.Errorf("%s: exit %d: %s%s", args, code, out, errs)
		}
	}
	if s.times("/a") != 1 || s.times("/b") != 0 {
		t.Errorf("fetched %d and %d times", s.times("/a"), s.times("/b"))
	}
}

// TestWarmedWhenThingsChange: a data change and a purge of the tag fetch what is
// registered, in the configuration and at run time.
func TestWarmedWhenThingsChange(t *testing.T) {
	s := newShelf(t)
	p := serving(t, "--config", withSite(t, s.url, "[site.warm.entities]\nproduct = [\"/products/{id}\", \"/categories/{data.category}\"]\n"))
	fetched := func(path string) {
		t.Helper()
		eventually(t, func() error {
			if s.times(path) == 0 {
				return fmt.Errorf("%s was not fetched", path)
			}
			return nil
		})
	}
	a := ask(t, "POST", p.admin+"/v1/events", `{"type":"updated","entity":"product","id":"1","data":{"category":"a b"}}`)
	if a.StatusCode != 200 || strings.Contains(a.body, "nothing to warm") {
		t.Errorf("%s %s", a.Status, a.body)
	}
	fetched("/products/1")
	fetched("/categories/a%20b")
	a = ask(t, "POST", p.admin+"/v1/events", `{"entity":"product","id":"2"}`)
	if !strings.Contains(a.body, `nothing to warm from \"/categories/{data.category}\": the change has no data.category`) {
		t.Errorf("%s", a.body)
	}
	fetched("/products/2")
	if a := ask(t, "PUT", p.admin+"/v1/warm/entities/post", `{"urls":["/posts/{id}"]}`); a.StatusCode != 200 {
		t.Errorf("%s %s", a.Status, a.body)
	}
	if code, _, errs := said(t, "purge", "--admin", p.admin, "post:7", "product:9"); code != 0 {
		t.Error(errs)
	}
	fetched("/posts/7")
	fetched("/products/9")
}

// TestWarmedOnStart: what is configured is there before anyone asks.
func TestWarmedOnStart(t *testing.T) {
	s := newShelf(t)
	list := writeFile(t, filepath.Join(t.TempDir(), "urls.txt"), pages(20))
	p := serving(t, "--config", withSite(t, s.url, fmt.Sprintf("warm.lists = [%q]\nwarm.sitemaps = \"/s.txt\"\nwarm.on_start = true\n", list)))
	eventually(t, func() error {
		a := get(t, p.admin+"/v1/warm")
		if n := strings.Count(a.body, `"state":"done"`); n != 2 {
			return fmt.Errorf("%s", a.body)
		}
		return nil
	})
	if a := get(t, p.proxy+"/p/19", "Host: shop.example", "Accept-Encoding: br, gzip, zstd"); !isHit(a) {
		t.Error(a.cache())
	}
}

// wordpress is an application with the sitemaps that WordPress makes: an index,
// and under it lists of posts, pages, categories and authors, which it answers
// compressed where it can.
func wordpress(t *testing.T, posts, each int) (url string, asked *sync.Map) {
	asked = &sync.Map{}
	url = startOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := asked.LoadOrStore(r.URL.Path, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
		base := "http://" + r.Host
		entry := func(b *strings.Builder, kind, loc string, mod time.Time) {
			fmt.Fprintf(b, "<%s><loc>%s</loc><lastmod>%s</lastmod></%s>", kind, base+loc, mod.Format(time.RFC3339), kind)
		}
		const head = `<?xml version="1.0" encoding="UTF-8"?><?xml-stylesheet type="text/xsl" href="/wp-sitemap.xsl" ?>`
		now := time.Now().UTC()
		var b strings.Builder
		var kind string
		var page int
		switch {
		case r.URL.Path == "/robots.txt":
			fmt.Fprintf(w, "User-agent: *\nDisallow: /wp-admin/\nAllow: /wp-admin/admin-ajax.php\n\nSitemap: %s/wp-sitemap.xml\n", base)
			return
		case r.URL.Path == "/wp-sitemap.xml":
			b.WriteString(head + `<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">`)
			for i := range posts / each {
				entry(&b, "sitemap", fmt.Sprintf("/wp-sitemap-posts-post-%d.xml", i+1), now.AddDate(0, 0, -i))
			}
			entry(&b, "sitemap", "/wp-sitemap-posts-page-1.xml", now)
			entry(&b, "sitemap", "/wp-sitemap-taxonomies-category-1.xml", now)
			entry(&b, "sitemap", "/wp-sitemap-users-1.xml", now)
			b.WriteString("</sitemapindex>")
		case scan(r.URL.Path, "/wp-sitemap-posts-post-%d.xml", &page):
			b.WriteString(head + `<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">`)
			for i := range each {
				entry(&b, "url", fmt.Sprintf("/2026/%02d/post-%d/", page, (page-1)*each+i), now)
			}
			b.WriteString("</urlset>")
		case r.URL.Path == "/wp-sitemap-posts-page-1.xml", r.URL.Path == "/wp-sitemap-taxonomies-category-1.xml", r.URL.Path == "/wp-sitemap-users-1.xml":
			kind = strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/wp-sitemap-"), "-1.xml")
			b.WriteString(head + `<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">`)
			for i := range 5 {
				entry(&b, "url", fmt.Sprintf("/%s/%d/", kind, i), now)
			}
			b.WriteString("</urlset>")
		default:
			w.Header().Set("Content-Type", "text/html; charset=UTF-8")
			w.Header().Set("Cache-Control", "public, max-age=3600")
			fmt.Fprintf(w, "<html><body>%s</body></html>", r.URL.Path)
			return
		}
		w.Header().Set("Content-Type", "application/xml; charset=UTF-8")
		w.Header().Set("X-Robots-Tag", "noindex, follow")
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			io.WriteString(w, gzipOf(b.String()))
			return
		}
		io.WriteString(w, b.String())
	})
	return url, asked
}

func scan(s, format string, n *int) bool {
	got, err := fmt.Sscanf(s, format, n)
	return err == nil && got == 1
}

// TestWordPressIsWarmedWhole: by its address alone, through robots.txt, the index
// and all its sitemaps.
func TestWordPressIsWarmedWhole(t *testing.T) {
	const posts, each = 400, 100
	origin, asked := wordpress(t, posts, each)
	p := serving(t, "--config", withSite(t, origin, ""))
	code, out, errs := said(t, "warm", "--admin", p.admin, "--sitemap", "http://shop.example/")
	const want = posts + 15
	if code != 0 || !strings.Contains(out, fmt.Sprintf("%8d  fetched\n", want+posts/each+5)) {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	n := 0
	asked.Range(func(path, times any) bool {
		if strings.Contains(path.(string), "sitemap") || path == "/robots.txt" {
			return true
		}
		n++
		if got := times.(*atomic.Int64).Load(); got != 1 {
			t.Errorf("%s was fetched %d times", path, got)
		}
		if a := get(t, p.proxy+path.(string), "Host: shop.example", "Accept-Encoding: gzip, deflate, br, zstd"); !isHit(a) {
			t.Errorf("%s: %s", path, a.cache())
		}
		return true
	})
	if n != want {
		t.Errorf("%d pages of %d", n, want)
	}
}

func gzipOf(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, s)
	z.Close()
	return b.String()
}
