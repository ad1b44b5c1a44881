package main

import (
	"bytes"
	"encoding/json"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"surrogate/warm"
)

// TestWhatIsNotWellWarmed: error pages, however long they may be kept, and pages
// that are not to be stored are told one by one and with their reasons, at first
// and when it is known.
func TestWhatIsNotWellWarmed(t *testing.T) {
	s := newShelf(t)
	p := serving(t, "--config", withSite(t, s.url, ""))
	list := writeFile(t, filepath.Join(t.TempDir(), "urls.txt"), "/a\n/gone\n/kept-404\n/cookie/1\n/cookie/2\n/private\n")
	for _, again := range []bool{false, true} {
		code, out, errs := said(t, "warm", "--admin", p.admin, list)
		if code != 1 || !strings.Contains(out, "warmed 1 of 6 URLs") {
			t.Errorf("again %v: exit %d\n%s%s", again, code, out, errs)
		}
		// Which of the two came first goes by who was faster.
		if !regexp.MustCompile(`2  set-cookie: http://shop.example/cookie/(1 http://shop.example/cookie/2|2 http://shop.example/cookie/1)\n`).MatchString(out) {
			t.Errorf("again %v: not both cookies in\n%s", again, out)
		}
		for _, want := range []string{
			"       3  not to be stored\n", "1  private: http://shop.example/private\n",
			"       2  failed\n", "failed  http://shop.example/gone: answered 404\n", "failed  http://shop.example/kept-404: answered 404\n",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("again %v: no %q in\n%s", again, want, out)
			}
		}
	}
	if s.times("/gone") != 1 || s.times("/kept-404") != 1 || s.times("/private") != 1 {
		t.Error("what was known was asked for again")
	}
}

// nobody is the address of an origin that nobody is at.
func nobody(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// TestWarmSaysWhatItWaitsFor: in lines, while the origin cannot be reached.
func TestWarmSaysWhatItWaitsFor(t *testing.T) {
	p := serving(t, "--config", withSite(t, nobody(t), ""))
	q := launch(t, programWith(t, "warm", "--admin", p.admin, "--on-interrupt", "cancel", writeFile(t, filepath.Join(t.TempDir(), "urls.txt"), pages(20))))
	q.log.await(t, `surrogate: \d+ of 20, .*tried again (once|\d+ times); \d+ waits?: the origin of shop is down(, next try in \d+ s)? \(origin-unreachable: .*\)\n`)
	q.signal(t, syscall.SIGINT)
	q.ended(t)
}

// TestWarmInJSON: whatever comes of it, standard output has one JSON object or
// nothing.
func TestWarmInJSON(t *testing.T) {
	s := newShelf(t)
	p := serving(t, "--config", withSite(t, s.url, ""))
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"--detach --id a http://shop.example/a", 0, `"id":"a","created":true,"added":1,`},
		{"--run a", 0, `"state":"done"`},
		{"--run a --detach", 0, `"state":"done"`},
		{"--detach --id a http://shop.example/a", 0, `"created":false`},
		{"--detach --id a http://shop.example/b", 1, ""},
		{"--detach --id b http://shop.example/b http://other.example/", 1, `"rejected":1,`},
		{"--id c http://shop.example/b http://other.example/", 1, `"rejected":["\"http://other.example/\"`},
		{"--id d http://shop.example/kept-404", 1, `"why":"answered 404"`},
		{"http://other.example/", 1, ""},
		{"--run nope", 1, ""},
	} {
		code, out, errs := said(t, append([]string{"warm", "--admin", p.admin, "--json"}, strings.Fields(c.args)...)...)
		var v map[string]any
		if code != c.code || !strings.Contains(out, c.want) || (c.want == "") != (out == "") || out != "" && json.Unmarshal([]byte(out), &v) != nil {
			t.Errorf("%s: exit %d\n%s%s", c.args, code, out, errs)
		}
	}
	s.mu.Lock()
	s.gate = make(chan struct{})
	s.mu.Unlock()
	defer close(s.gate)
	q := launch(t, programWith(t, "warm", "--admin", p.admin, "--json", "--id", "e", "http://shop.example/slow"))
	q.log.await(t, `surrogate: 0 of 1`)
	q.signal(t, syscall.SIGINT)
	var st warm.Status
	if code := q.ended(t); code != 130 || json.Unmarshal([]byte(q.out.String()), &st) != nil || st.ID != "e" || st.Remaining != 1 {
		t.Errorf("exit %d: %s", code, q.out)
	}
}

// TestWarmInQuiet: nobody wants to be mailed that all went well.
func TestWarmInQuiet(t *testing.T) {
	s := newShelf(t)
	p := serving(t, "--config", withSite(t, s.url, ""))
	if code, out, errs := said(t, "warm", "--admin", p.admin, "--quiet", "http://shop.example/a"); code != 0 || out+errs != "" {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if code, out, errs := said(t, "warm", "--admin", p.admin, "--quiet", "http://shop.example/a", "http://shop.example/gone"); code != 1 ||
		!strings.Contains(out, "/gone: answered 404") || errs != "" {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if code, out, errs := said(t, "warm", "--admin", p.admin, "--quiet", "--detach", "http://shop.example/b"); code != 0 || out+errs != "" {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
}

// TestWhatIsLostAtTheEnd: without Redis the queue ends with the program, which says
// so.
func TestWhatIsLostAtTheEnd(t *testing.T) {
	s := newShelf(t)
	s.gate = make(chan struct{})
	t.Cleanup(func() { close(s.gate) })
	p := serving(t, "--config", withSite(t, s.url, ""))
	list := writeFile(t, filepath.Join(t.TempDir(), "urls.txt"), "/a\n/b\n/c\n")
	if code, out, errs := said(t, "warm", "--admin", p.admin, "--detach", list); code != 0 {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	p.signal(t, syscall.SIGTERM)
	p.ended(t)
	p.log.await(t, `what was queued to be warmed is not kept without Redis.* urls=3`)
}

// TestOneIsNoPlural, in lines, on the bar, and in what came of it.
func TestOneIsNoPlural(t *testing.T) {
	st := warm.Status{State: "running", Total: 3, Done: 2, Remaining: 1, Rate: 0.01, Retries: 1, Waits: []warm.Wait{{Site: "a", Left: 1, SiteWait: warm.SiteWait{For: warm.Down.String()}}}}
	var b bytes.Buffer
	(&progress{out: &b}).at(&st)
	if got := b.String(); got != "surrogate: 2 of 3, 0.0/s, tried again once; 1 waits: the origin of a is down\n" {
		t.Error(got)
	}
	b.Reset()
	(&progress{bar: newBar(&b)}).at(&st)
	if got := b.String(); !strings.Contains(got, "warming, 0.0/s, tried again once; 1 waits: the origin of a is down") || strings.Contains(got, "/hr") || !strings.Contains(got, "2/3") {
		t.Errorf("%q", got)
	}
	b.Reset()
	(&progress{out: &b}).at(&warm.Status{State: "running", Total: 3, Remaining: 3, Others: 1})
	if got := b.String(); got != "surrogate: 0 of 3, 0.0/s; none done yet, and queued of other runs: 1 URL\n" {
		t.Error(got)
	}
	b.Reset()
	printStatus(&b, &warm.Status{State: "done", Total: 1, Warmed: 1, Bytes: 5})
	if got := b.String(); !strings.HasPrefix(got, "warmed 1 of 1 URL, 5 B in ") {
		t.Error(got)
	}
	b.Reset()
	r := report{Store: storeReport{Entries: 1, Names: 2, Edges: 1}}
	if r.print(&b); !strings.Contains(b.String(), "store          1 entry, 0 B of 0 B; 2 names, 0 fences, 1 edge\n") || !strings.Contains(b.String(), "soft; 0 entries fell") {
		t.Error(b.String())
	}
}
