package main

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestAListThatIsLongerThanTheQueue: all of it is warmed, and it is shown how far
// that is while the rest is being sent.
func TestAListThatIsLongerThanTheQueue(t *testing.T) {
	s := newShelf(t)
	s.gate = make(chan struct{})
	p := serving(t, "--config", withSite(t, s.url, ""), "--set", "warm.queue=100")
	list := writeFile(t, filepath.Join(t.TempDir(), "urls.txt"), pages(2000))
	q := launch(t, programWith(t, "warm", "--admin", p.admin, "--id", "broken-off", list))
	q.log.await(t, `surrogate: 0 of \d+, 0.0/s`)
	q.signal(t, syscall.SIGINT)
	if code := q.ended(t); code != 130 || !strings.Contains(q.log.String(), " URLs; the list was not taken in to its end yet") {
		t.Errorf("exit %d: %s", code, q.log)
	}
	s.mu.Lock()
	close(s.gate)
	s.gate = nil
	s.mu.Unlock()
	if code, out, _ := said(t, "warm", "--admin", p.admin, "--run", "broken-off"); code == 130 || !strings.Contains(out, "fetched") {
		t.Errorf("exit %d: %s", code, out)
	}
	q = launch(t, programWith(t, "warm", "--admin", p.admin, list))
	if code := q.ended(t); code != 0 || !strings.Contains(q.out.String(), "warmed 2000 of 2000 URLs") {
		t.Errorf("exit %d: %s%s", code, q.out, q.log)
	}
}

// TestAPathIsOfTheHostThatVisitorsAskFor: where the site takes every host.
func TestAPathIsOfTheHostThatVisitorsAskFor(t *testing.T) {
	s := newShelf(t)
	p := serveFor(t, s.url)
	list := writeFile(t, filepath.Join(t.TempDir(), "urls.txt"), "/a\n")
	if code, _, errs := said(t, "warm", "--admin", p.admin, list); code != 1 || !strings.Contains(errs, "nobody has asked for a page yet") {
		t.Errorf("exit %d: %s", code, errs)
	}
	get(t, p.proxy+"/b")
	if code, out, errs := said(t, "warm", "--admin", p.admin, list); code != 0 {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if a := get(t, p.proxy+"/a", "Accept-Encoding: gzip, deflate, br, zstd"); !isHit(a) {
		t.Error(a.cache())
	}
	if code, _, errs := said(t, "warm", "--admin", p.admin, "--base", "http://other.example", list); code != 0 || s.times("/a") != 2 {
		t.Errorf("exit %d: %s", code, errs)
	}
}
