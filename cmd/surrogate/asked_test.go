package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// These are the operations that surrogate was asked for by name, on the built
// program.

// TestColdKey: a thousand clients ask for the same page that nobody has asked
// for yet, and the origin is asked once.
func TestColdKey(t *testing.T) {
	const clients = 1000
	var asked atomic.Int64
	all := make(chan struct{})
	origin := startOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		select {
		case <-all: // answers once everybody waits
		case <-r.Context().Done():
		}
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprint(w, "the page")
	})
	p := serveFor(t, origin)
	var wg sync.WaitGroup
	errs := make(chan error, clients)
	for range clients {
		wg.Go(func() {
			got, err := try("GET", p.proxy+"/cold", "")
			if err == nil && got.body != "the page" {
				err = errors.New(got.Status + " " + got.body)
			}
			if err != nil {
				errs <- err
			}
		})
	}
	// The goroutines of the program tell that all are there: two a connection.
	eventually(t, func() error {
		var n int
		for line := range strings.Lines(get(t, p.admin+"/metrics").body) {
			fmt.Sscanf(line, "go_goroutines %d", &n)
		}
		if n < clients {
			return fmt.Errorf("%d goroutines", n)
		}
		return nil
	})
	close(all)
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the origin was asked %d times", n)
	}
	var r report
	if err := json.Unmarshal([]byte(get(t, p.admin+"/v1/stats").body), &r); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d clients: 1 request to the origin, %d collapsed, %d hits", clients, r.Total.Collapsed, r.Total.Hits)
}

// shopBehind is the demo's shop, which renders at once, behind the program.
func shopBehind(t *testing.T) (p *process, origin string, rendered *atomic.Int64) {
	t.Helper()
	rendered = new(atomic.Int64)
	shop := newShop(0).routes()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "GET" {
			rendered.Add(1)
		}
		shop.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return serveFor(t, s.URL, "--set", "log.access=false"), s.URL, rendered
}

// TestCategory: 500 products and their listing fall by one call.
func TestCategory(t *testing.T) {
	p, _, rendered := shopBehind(t)
	askAll := func() (hits int) {
		for n := range shopSize + 1 {
			url := fmt.Sprintf("%s/products/%d", p.proxy, n)
			if n == 0 {
				url = p.proxy + "/categories/everything"
			}
			got := get(t, url)
			if got.StatusCode != 200 {
				t.Fatalf("%s: %s", url, got.Status)
			}
			if isHit(got) {
				hits++
			}
		}
		return hits
	}
	eventually(t, func() error {
		if hits := askAll(); hits != shopSize+1 {
			return fmt.Errorf("%d hits before", hits)
		}
		return nil
	})
	code, out, errs := said(t, "purge", "--admin", p.admin, "category:everything")
	if code != 0 {
		t.Fatal(errs)
	}
	t.Logf("\n%s", out)
	rendered.Store(0)
	if hits := askAll(); hits != 0 || rendered.Load() != shopSize+1 {
		t.Errorf("%d hits after, the origin was asked %d times", hits, rendered.Load())
	}
}

// TestProductChange: a change of one product takes its page, its category
// listing and the homepage, in under 10 ms, and nothing else.
func TestProductChange(t *testing.T) {
	p, origin, _ := shopBehind(t)
	pages := []string{"/products/1", "/categories/shoes", "/"}
	rest := []string{"/products/2", "/products/9", "/categories/bags"}
	warmAll := func() {
		for _, path := range append(pages[:3:3], rest...) {
			untilHit(t, p.proxy+path)
		}
	}
	event := `{"type":"updated","entity":"product","id":"1"}`
	for i, say := range []func() answered{
		func() answered { return ask(t, "POST", p.admin+"/v1/events", event) },
		func() answered { return ask(t, "POST", p.admin+"/v1/purge", `{"tags":["product:1"]}`) },
		func() answered { return ask(t, "PURGE", p.proxy+"/", "", "Surrogate-Key: product:1") },
		func() answered { return ask(t, "PURGE", p.proxy+pages[0], "") },
	} {
		warmAll()
		price := fmt.Sprintf("%d.50", i+1)
		ask(t, "POST", origin+"/admin/products/1?price="+price, "")
		began := time.Now()
		got := say()
		took := time.Since(began)
		if got.StatusCode != 200 {
			t.Fatalf("%s %s", got.Status, got.body)
		}
		if took > 10*time.Millisecond && !raceEnabled {
			t.Errorf("took %v", took)
		}
		t.Logf("%v for %s", took, strings.TrimSpace(got.body))
		want := pages
		if i == 3 { // the listing depends on the product, not on its page
			want = []string{pages[0], pages[2]}
		}
		for _, path := range want {
			if got := get(t, p.proxy+path); isHit(got) || !strings.Contains(got.body, "Trail runner, € "+price) {
				t.Errorf("%s right after: %s\n%s", path, got.cache(), got.body)
			}
		}
		for _, path := range rest {
			if got := get(t, p.proxy+path); !isHit(got) {
				t.Errorf("%s was dropped: %s", path, got.cache())
			}
		}
		ask(t, "PURGE", p.proxy+"/", "", "Surrogate-Key: product:1")
	}
}

// TestExplain: whoever purged and is still shown the old page is told why.
func TestExplain(t *testing.T) {
	p, _, _ := shopBehind(t)
	explained := func(url string) (x explanation) {
		t.Helper()
		code, out, errs := said(t, "explain", "--json", "--admin", p.admin, url)
		if code != 0 {
			t.Fatal(errs)
		}
		if err := json.Unmarshal([]byte(out), &x); err != nil {
			t.Fatal(err)
		}
		return x
	}
	home, one := p.proxy+"/", p.proxy+"/products/1"
	if x := explained(one); !strings.HasPrefix(x.Verdict, "not in the cache") || x.Site != "default" {
		t.Errorf("cold: %+v", x)
	}
	untilHit(t, one)
	untilHit(t, home)
	x := explained(home)
	if len(x.Entries) != 1 || x.Entries[0].State != "fresh" || len(x.Takes) != 0 {
		t.Fatalf("the homepage: %+v", x)
	}
	ways := map[string]int{}
	for _, f := range x.Falls {
		ways[f.Name] = len(f.Via)
	}
	for name, via := range map[string]int{"home": 0, "product:2": 0, "product:1": 1, "category:shoes": 1, "all": 0} {
		if got, ok := ways[name]; !ok || got != via {
			t.Errorf("the homepage falls with %s by way of %d pages, told %d, %t", name, via, got, ok)
		}
	}
	if x := explained(one); len(x.Entries) != 1 || len(x.Takes) != 1 || !strings.HasSuffix(x.Takes[0], "/") {
		t.Errorf("the product: %+v", x)
	}

	said(t, "purge", "--admin", p.admin, "--why", "new price", "product:1")
	eventually(t, func() error { // once it is swept
		if x = explained(one); x.Last == nil {
			return fmt.Errorf("no purge is told of: %s", x.Verdict)
		}
		return nil
	})
	if x.Last.Why != "new price" || x.Last.Asked[0] != "product:1" || len(x.Entries) != 0 {
		t.Errorf("after the purge: %+v", x)
	}
	untilHit(t, one)
	if x := explained(one); !strings.Contains(x.Verdict, "fresh: fetched after purge 1") {
		t.Errorf("fetched anew: %s", x.Verdict)
	}
	said(t, "purge", "--admin", p.admin, "--soft", "product:1")
	if x := explained(one); x.Entries[0].State != "soft-purged" || x.Last.Mode != "soft" {
		t.Errorf("after a soft purge: %+v", x)
	}
	if _, out, _ := said(t, "explain", "--admin", p.admin, one); !strings.Contains(out, "soft-purged") || !strings.Contains(out, "product:1") {
		t.Errorf("printed:\n%s", out)
	}
	if code, _, errs := said(t, "explain", "--admin", p.admin, "not a url"); code != 1 || !strings.Contains(errs, "not a URL") {
		t.Errorf("a bad URL: %s", errs)
	}
}
