package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// An origin that tags what it answers with ?tag=, and counts.
func taggingOrigin(t *testing.T) (url string, asked *atomic.Int64) {
	asked = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Surrogate-Key", r.URL.Query().Get("tag"))
		fmt.Fprintf(w, "answer %d to %s", n, r.URL)
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

func TestServeAndPurge(t *testing.T) {
	origin, _ := taggingOrigin(t)
	p := serveFor(t, origin)
	a, b := p.proxy+"/a?tag=red", p.proxy+"/b?tag=blue"
	warmBoth := func() {
		t.Helper()
		for _, u := range []string{a, b} {
			if got := untilHit(t, u); got.Header.Get("Surrogate-Key") != "" {
				t.Fatalf("%s: Surrogate-Key %q", u, got.Header.Get("Surrogate-Key"))
			}
		}
	}
	fell := func(what string) {
		t.Helper()
		if got := get(t, a); isHit(got) {
			t.Errorf("%s: still a hit", what)
		}
		if got := get(t, b); !isHit(got) {
			t.Errorf("%s: took another page along", what)
		}
	}
	warmBoth()
	if got := ask(t, "PURGE", p.proxy+"/", "", "Surrogate-Key: red"); got.StatusCode != 200 || !strings.Contains(got.body, `"ok"`) {
		t.Fatalf("PURGE: %s %s", got.Status, got.body)
	}
	fell("PURGE by tag")
	warmBoth()
	ask(t, "PURGE", a, "")
	fell("PURGE of a URL")

	for _, args := range [][]string{{"red"}, {"--tag", "red"}, {"--url", a}, {"--prefix", strings.TrimPrefix(p.proxy, "http://") + "/a"}} {
		warmBoth()
		code, out, errs := said(t, append([]string{"purge", "--admin", p.admin}, args...)...)
		if code != 0 || !strings.HasPrefix(out, "purged ") || errs != "" {
			t.Fatalf("purge %q: %d\n%s%s", args, code, out, errs)
		}
		fell(strings.Join(args, " "))
	}
	warmBoth()
	said(t, "purge", "--admin", p.admin, "--dry-run", "red")
	if got := get(t, a); !isHit(got) {
		t.Error("a dry run purged")
	}
	said(t, "purge", "--admin", p.admin, "--soft", "red")
	fell("soft purge")
	said(t, "purge", "--admin", p.admin, "--everything", "--why", "the end")
	if got := get(t, b); isHit(got) {
		t.Error("everything: still a hit")
	}

	if code, out, errs := said(t, "purge", "--admin", p.admin, "--tag", "/books/1", "--url", "item"); code != 0 ||
		!strings.Contains(out, "note      nothing stored carries any of them; ") {
		t.Errorf("a purge of nothing: %d\n%s%s", code, out, errs)
	}

	// A purge that cannot be understood changes nothing and says why.
	code, _, errs := said(t, "purge", "--admin", p.admin, "--url", "not a url")
	if code != 1 || !strings.Contains(errs, "nothing was done\n") || !strings.Contains(errs, "surrogate: --url: ") || strings.Contains(errs, "#/") {
		t.Errorf("a bad URL: %d %s", code, errs)
	}
	code, _, errs = said(t, "explain", "--admin", p.admin, "not a url")
	if code != 1 || strings.Contains(errs, "othing was done") || strings.Contains(errs, "?url=") {
		t.Errorf("explain of a bad URL: %d %s", code, errs)
	}
	code, _, errs = said(t, "purge", "--admin", p.proxy, "x")
	if want := p.proxy + " is not surrogate's admin API (it answered 200 text/plain); --admin says"; code != 1 || !strings.Contains(errs, want) {
		t.Errorf("another port: %d %s", code, errs)
	}
	if code, _, errs := said(t, "purge", "--admin", "127.0.0.1:1", "x"); code != 1 || !strings.Contains(errs, "--admin says where") {
		t.Errorf("nobody there: %d %s", code, errs)
	}
}

func TestStats(t *testing.T) {
	origin, _ := taggingOrigin(t)
	p := serveFor(t, origin)
	asked := uint64(3)
	untilHit(t, p.proxy+"/a?tag=red")
	for range asked {
		get(t, p.proxy+"/a?tag=red")
	}
	ask(t, "POST", p.proxy+"/form", "x")
	ask(t, "PURGE", p.proxy+"/", "", "Surrogate-Key: red")
	var r report
	eventually(t, func() error { // the sweep comes after the purge
		if err := json.Unmarshal([]byte(get(t, p.admin+"/v1/stats").body), &r); err != nil {
			t.Fatal(err)
		}
		if r.Invalidations.Entries != 1 {
			return fmt.Errorf("swept %d entries", r.Invalidations.Entries)
		}
		return nil
	})
	s := r.Sites[0]
	if s.Site != "default" || s.Hits != asked+1 || s.Misses < 1 || s.Fetches != 1 || s.Passed != 1 || s != r.Total && len(r.Sites) > 1 {
		t.Errorf("site: %+v", s)
	}
	if r.Invalidations.By["public"] != 1 || r.Invalidations.By["traffic"] != 1 || r.Store.Capacity != 256<<20 {
		t.Errorf("report: %+v", r)
	}
	if _, out, _ := said(t, "stats", "--admin", p.admin); !strings.Contains(out, "default") || !strings.Contains(out, " % ") {
		t.Errorf("stats printed:\n%s", out)
	}
	text := get(t, p.admin+"/metrics").body
	for _, want := range []string{`surrogate_requests_total{site="default",cache="hit"} 4`, "surrogate_store_entries 0", "surrogate_store_fences", "process_resident_memory_bytes", "go_goroutines"} {
		if !strings.Contains(text, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n", "/": "<title>surrogate</title>", "/dashboard.js": "use strict", "/dashboard.css": "body"} {
		if got := get(t, p.admin+path); got.StatusCode != 200 || !strings.Contains(got.body, want) {
			t.Errorf("%s: %s", path, got.Status)
		}
	}
	if got := get(t, p.admin+"/v1/nothing"); got.StatusCode != 404 || got.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("/v1/nothing: %s", got.Status)
	}
}

func TestReload(t *testing.T) {
	origin, _ := taggingOrigin(t)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "other") }))
	defer other.Close()
	text := func(shop, more string) string {
		return fmt.Sprintf("[[site]]\nhosts = [\"shop.example\"]\norigins = [%q]\n%s\n", shop, more)
	}
	file := writeFile(t, "", text(origin, ""))
	p := serving(t, "--config", file)
	if got := get(t, p.proxy+"/a", "Host: shop.example"); !strings.HasPrefix(got.body, "answer 1") {
		t.Fatalf("before: %s", got.body)
	}

	// A bad file changes nothing.
	writeFile(t, file, "[[site]]\nhosts = [\"other.example\"]\norigin = [1]\n[purge]\nacl = []\n")
	p.signal(t, syscall.SIGHUP)
	p.log.await(t, `reload refused, all stays as it was.*proxy\.toml:3`)
	if got := get(t, p.proxy+"/a", "Host: shop.example"); !isHit(got) {
		t.Errorf("after a bad reload: %s", got.cache())
	}

	// A good one is in force, and what is stored stays.
	writeFile(t, file, "[purge]\nacl = []\ntokens = [\"sesame\"]\n"+text(origin, "[[site]]\nhosts = [\"other.example\"]\norigins = [\""+other.URL+"\"]"))
	p.signal(t, syscall.SIGHUP)
	p.log.await(t, `msg=reloaded sites=2`)
	if got := get(t, p.proxy+"/a", "Host: shop.example"); !isHit(got) {
		t.Errorf("after a reload: %s", got.cache())
	}
	if got := get(t, p.proxy+"/", "Host: other.example"); got.body != "other" {
		t.Errorf("the new site answers %q", got.body)
	}
	if got := ask(t, "PURGE", p.proxy+"/a", "", "Host: shop.example"); got.StatusCode != 405 {
		t.Errorf("purge by who was let in before: %s", got.Status)
	}
	if got := ask(t, "PURGE", p.proxy+"/a", "", "Host: shop.example", "Authorization: Bearer sesame"); got.StatusCode != 200 {
		t.Errorf("purge by token: %s", got.Status)
	}

	// What a reload does not reach is named.
	writeFile(t, file, "[cache]\nmemory = \"64MiB\"\n"+text(origin, ""))
	p.signal(t, syscall.SIGHUP)
	p.log.await(t, `after a restart only.*cache\.memory`)
	if got := get(t, p.proxy+"/", "Host: other.example"); got.StatusCode != 421 {
		t.Errorf("the removed site answers %s", got.Status)
	}
}

// TestDrain stops a surrogate in the middle of a download.
func TestDrain(t *testing.T) {
	more := make(chan struct{})
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		select {
		case <-more:
		case <-r.Context().Done():
		}
		io.WriteString(w, "last")
	}))
	defer origin.Close()
	p := serveFor(t, origin.URL)
	resp, err := http.Get(p.proxy + "/slow")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body := bufio.NewReader(resp.Body)
	if first, err := body.ReadString(' '); err != nil || first != "first " {
		t.Fatalf("began with %q, %v", first, err)
	}
	p.signal(t, syscall.SIGTERM)
	p.log.await(t, "finishing the requests in progress")
	eventually(t, func() error {
		if got := get(t, p.admin+"/readyz"); got.StatusCode != 503 || got.body != "draining\n" {
			return fmt.Errorf("readyz: %s", got.Status)
		}
		return nil
	})
	eventually(t, func() error {
		c, err := net.Dial("tcp", strings.TrimPrefix(p.proxy, "http://"))
		if err == nil {
			c.Close()
			return fmt.Errorf("still accepts")
		}
		return nil
	})
	close(more)
	if rest, err := io.ReadAll(body); err != nil || string(rest) != "last" {
		t.Errorf("ended with %q, %v", rest, err)
	}
	if code := p.ended(t); code != 0 {
		t.Errorf("ended with %d", code)
	}
	if log := p.log.String(); !strings.Contains(log, "every request was finished") {
		t.Errorf("said:\n%s", log)
	}
}

// A second signal, or the end of the time for it, ends the waiting.
func TestDrainCutShort(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		act  func(t *testing.T, p *process)
	}{
		{"second signal", nil, func(t *testing.T, p *process) { p.signal(t, syscall.SIGINT) }},
		{"time is up", []string{"--set", "limits.drain=50ms"}, func(*testing.T, *process) {}},
		{"no time at all", []string{"--set", "limits.drain=0"}, func(*testing.T, *process) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}))
			defer origin.Close()
			p := serveFor(t, origin.URL, c.args...)
			resp, err := http.Get(p.proxy + "/slow")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			p.signal(t, syscall.SIGTERM)
			p.log.await(t, "finishing the requests in progress")
			c.act(t, p)
			if code := p.ended(t); code != 0 {
				t.Errorf("ended with %d", code)
			}
			if log := p.log.String(); !strings.Contains(log, "some requests were cut off") {
				t.Errorf("said:\n%s", log)
			}
		})
	}
}

// A killed surrogate leaves nothing behind that keeps another from taking over.
func TestKilled(t *testing.T) {
	origin, _ := taggingOrigin(t)
	p := serveFor(t, origin)
	get(t, p.proxy+"/a")
	p.signal(t, syscall.SIGKILL)
	<-p.done
	again := launch(t, programWith(t, "--origin", origin, "--listen", strings.TrimPrefix(p.proxy, "http://"), "--admin", strings.TrimPrefix(p.admin, "http://")))
	again.ready(t)
	if got := get(t, again.proxy+"/a"); !strings.Contains(got.cache(), "miss") {
		t.Errorf("after a kill: %s", got.cache())
	}
}
