package warm

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/store"
)

func (w *town) ask(method, path, contentType, body string) (int, map[string]any, http.Header) {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), method, path, strings.NewReader(body))
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	rec := httptest.NewRecorder()
	w.in.Handler().ServeHTTP(rec, r)
	var m map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &m); err != nil {
		w.t.Fatalf("%s %s: %v: %s", method, path, err, rec.Body)
	}
	return rec.Code, m, rec.Header()
}

func TestPostWarm(t *testing.T) {
	for name, c := range map[string]struct {
		contentType, path, body string
		status                  int
		want                    string // in what is answered, as JSON
	}{
		"urls":            {"application/json", "", `{"urls":["https://shop.example/a","/b"],"site":"shop","id":"x","force":true}`, 202, `"added":2`},
		"some bad":        {"", "", `{"urls":["https://shop.example/a","nonsense"]}`, 202, `"errors":[{"detail":"not a URL: want http://host/path or https://host/path; a path alone, /path, needs a site or a base","excerpt":"nonsense","pointer":"#/urls/1"}]`},
		"all bad":         {"", "", `{"urls":["ftp://shop.example/a","nonsense"]}`, 400, `"pointer":"#/urls/1"`},
		"sitemap":         {"", "", `{"sitemap":"https://shop.example/sitemap.xml"}`, 202, `"added":1`},
		"sitemaps":        {"", "", `{"sitemap":["/1.xml","/2.xml"],"site":"shop"}`, 202, `"added":2`},
		"crawl":           {"", "", `{"crawl":{"from":"https://shop.example/","depth":2}}`, 202, `"added":1`},
		"text":            {"text/plain; charset=utf-8", "?site=shop&id=t&force=1", "/a\n# c\n/b\nbad\n", 202, `"rejected":1`},
		"empty text":      {"text/plain", "", "# nothing\n\n", 400, "the list is empty"},
		"bad parameter":   {"text/plain", "?sites=shop&force=maybe", "/a", 400, `"pointer":"sites"`},
		"bad parameters":  {"text/plain", "?sites=shop&force=maybe", "/a", 400, `"pointer":"force"`},
		"parameter":       {"", "?site=shop", `{"urls":["/a"]}`, 400, `"no such parameter"`},
		"nothing":         {"", "", `{}`, 400, "names nothing"},
		"no json":         {"", "", `https://shop.example/`, 400, "not JSON"},
		"no text":         {"application/x-www-form-urlencoded", "", "https://shop.example/a\nhttps://shop.example/b\n", 400, `"accepted":"text/plain for a list of URLs, application/json","detail":"\"application/x-www-form-urlencoded\" is read as JSON","pointer":"Content-Type"`},
		"list":            {"", "", `[]`, 400, "not a JSON object"},
		"unknown member":  {"", "", `{"url":["/a"],"urls":[1],"site":2,"crawl":{"form":"x"},"id":"a/b"}`, 400, `"pointer":"#/url"`},
		"all at once":     {"", "", `{"url":["/a"],"urls":[1],"site":2,"crawl":{"form":"x"},"id":"a/b"}`, 400, `"pointer":"#/urls/0"`},
		"all at once 2":   {"", "", `{"url":["/a"],"urls":[1],"site":2,"crawl":{"form":"x"},"id":"a/b"}`, 400, `"pointer":"#/crawl/form"`},
		"all at once 3":   {"", "", `{"url":["/a"],"urls":[1],"site":2,"crawl":{"form":"x"},"id":"a/b"}`, 400, `"pointer":"#/id"`},
		"reserved id":     {"", "", `{"urls":["https://shop.example/"],"id":"entities"}`, 400, `cannot be an id`},
		"unknown site":    {"", "", `{"urls":["/a"],"site":"nowhere"}`, 400, `"accepted":"shop, blog, homeless"`},
		"depth":           {"", "", `{"crawl":{"from":"https://shop.example/","depth":"2"}}`, 400, `"pointer":"#/crawl/depth"`},
		"crawl as string": {"", "", `{"crawl":"https://shop.example/"}`, 400, `"pointer":"#/crawl"`},
		"too large":       {"", "", `{"urls":["` + strings.Repeat("x", maxBody) + `"]}`, 413, "text/plain"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTown(t)
			status, m, h := w.ask("POST", "/v1/warm"+c.path, c.contentType, c.body)
			text, _ := json.Marshal(m)
			if status != c.status || !strings.Contains(string(text), c.want) {
				t.Errorf("%d %s, want %d and %s", status, text, c.status, c.want)
			}
			if status != 202 {
				if h.Get("Content-Type") != "application/problem+json" {
					t.Error(h)
				}
				if runs, _ := w.queue.Runs(t.Context(), 10); len(runs) != 0 {
					t.Errorf("refused, and began %+v", runs)
				}
				return
			}
			if h.Get("Location") != "/v1/warm/"+fmt.Sprint(m["id"]) {
				t.Error(h)
			}
		})
	}
}

// TestTheSameIDForSomethingElse: whoever sends an ID again learns whether he sent
// the same, of a list too.
func TestTheSameIDForSomethingElse(t *testing.T) {
	w := newTown(t)
	long := strings.Repeat("/a\n/b?c=1\n", batch)
	for i, c := range []struct {
		contentType, query, body string
		created                  bool
		differs                  any
	}{
		{"", "", `{"urls":["https://shop.example/a","https://shop.example/b"],"id":"x"}`, true, nil},
		{"", "", `{"urls":["https://shop.example/a","https://shop.example/b?utm_source=x"],"id":"x","base":"https://shop.example"}`, false, nil},
		{"text/plain", "?id=x", "https://shop.example/a\n# the same\nhttps://shop.example/b", false, nil},
		{"", "", `{"urls":["https://shop.example/a"],"id":"x"}`, false, true},
		{"", "", `{"urls":["https://shop.example/a","https://shop.example/b"],"id":"x","force":true}`, false, true},
		{"text/plain", "?id=long&site=shop", long, true, nil},
		{"text/plain", "?id=long&site=shop", long, false, nil},
		{"text/plain", "?id=long&site=shop", "/first\n" + long, false, true},
	} {
		if status, m, _ := w.ask("POST", "/v1/warm"+c.query, c.contentType, c.body); status != 202 || m["created"] != c.created || m["differs"] != c.differs {
			t.Errorf("%d: %d %v", i, status, m)
		}
	}
}

func TestGetAndCancel(t *testing.T) {
	w := newTown(t)
	w.has("https://shop.example/a", 200, "")
	w.ask("POST", "/v1/warm", "text/plain", "https://shop.example/a\nhttps://shop.example/b\nbad\n")
	w.ask("POST", "/v1/warm", "", `{"urls":["https://shop.example/c"],"id":"second"}`)
	_, m, _ := w.ask("GET", "/v1/warm?limit=10", "", "")
	runs := m["runs"].([]any)
	if len(runs) != 2 {
		t.Fatalf("%v", m)
	}
	first := runs[1].(map[string]any)["id"].(string)
	underWay := func(want ...string) {
		t.Helper()
		_, m, _ := w.ask("GET", "/v1/warm?under_way=true&limit=1", "", "")
		var got []string
		for _, r := range m["runs"].([]any) {
			got = append(got, r.(map[string]any)["id"].(string))
		}
		if !slices.Equal(got, want) {
			t.Errorf("under way: %v, want %v", got, want)
		}
	}
	underWay("second")
	if _, m, _ := w.ask("GET", "/v1/warm/second", "", ""); m["others"] != 2.0 {
		t.Errorf("not behind the first: %v", m)
	}
	if status, m, _ := w.ask("DELETE", "/v1/warm/second", "", ""); status != 200 || m["state"] != "cancelled" || m["remaining"] != 0.0 || m["dropped"] != 1.0 {
		t.Errorf("%d %v", status, m)
	}
	underWay(first)
	if _, m, _ = w.ask("GET", "/v1/warm/"+first, "", ""); m["state"] != "running" || m["remaining"] != 2.0 || m["others"] != nil || len(m["rejected"].([]any)) != 1 {
		t.Errorf("%v", m)
	}
	w.work()
	underWay()
	_, m, _ = w.ask("GET", "/v1/warm/"+first+"?wait=10s", "", "")
	text, _ := json.Marshal(m)
	if m["state"] != "done" || m["warmed"] != 1.0 || m["failed"] != 1.0 || !strings.Contains(string(text), `"failures":[{"url":"https://shop.example/b","why":"answered 404"}]`) {
		t.Errorf("%s", text)
	}
	for path, want := range map[string]int{"/v1/warm/nope": 404, "/v1/warm/" + first + "?wait=x": 400, "/v1/warm/" + first + "?wait=2h": 400, "/v1/warm?limit=0": 400, "/v1/warm?x=1": 400, "/v1/warm?under_way=x": 400, "/v1/warm/%zz": 404} {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.Path, r.URL.RawQuery, _ = strings.Cut(path, "?")
		rec := httptest.NewRecorder()
		if w.in.Handler().ServeHTTP(rec, r); rec.Code != want {
			t.Errorf("%s: %d", path, rec.Code)
		}
	}
	if status, _, h := w.ask("PUT", "/v1/warm", "", ""); status != 405 || h.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("%d %v", status, h)
	}
	if status, _, _ := w.ask("DELETE", "/v1/warm/nope", "", ""); status != 404 {
		t.Errorf("%d", status)
	}
}

// TestWaitEndsWhenTheRunDoes, and not before, and not later than it was to.
func TestWaitEndsWhenTheRunDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t)
		a := w.warm(Ask{URLs: []string{"https://shop.example/a"}})
		began := time.Now()
		if p, err := w.in.await(t.Context(), a.ID, 5*time.Second); err != nil || p.Done() || time.Since(began) != 5*time.Second {
			t.Errorf("%+v %v after %v", p, err, time.Since(began))
		}
		go func() {
			time.Sleep(3 * time.Second)
			jobs, err := w.queue.Take(t.Context(), 1, nil)
			if err == nil {
				err = w.queue.Settle(t.Context(), jobs[0], store.Outcome{})
			}
			if err != nil {
				t.Error(err)
			}
		}()
		began = time.Now()
		if p, err := w.in.await(t.Context(), a.ID, time.Minute); err != nil || !p.Done() || time.Since(began) > 4*time.Second {
			t.Errorf("%+v %v after %v", p, err, time.Since(began))
		}
	})
}

func TestEntitiesOverHTTP(t *testing.T) {
	w := newTown(t)
	w.plans[0].Entities = map[string][]string{"product": {"/products/{id}"}}
	if status, m, _ := w.ask("PUT", "/v1/warm/entities/post", "", `{"urls":["/{id}","{id}","/{nope}"],"site":"x"}`); status != 400 || len(m["errors"].([]any)) != 3 {
		t.Errorf("%d %v", status, m)
	}
	for _, bad := range []string{"", "a%2Fb", "a:b", "a%20b"} {
		if status, _, _ := w.ask("PUT", "/v1/warm/entities/"+bad, "", `{"urls":["/{id}"],"site":"blog"}`); status != 400 && status != 405 {
			t.Errorf("%q: %d", bad, status)
		}
	}
	if status, m, _ := w.ask("PUT", "/v1/warm/entities/post", "", `{"urls":"/{id}","site":"blog"}`); status != 200 {
		t.Errorf("%d %v", status, m)
	}
	_, m, _ := w.ask("GET", "/v1/warm/entities", "", "")
	text, _ := json.Marshal(m)
	if string(text) != `{"entities":[{"configured":[],"entity":"post","registered":{"site":"blog","urls":["/{id}"]}},{"configured":[{"site":"shop","urls":["/products/{id}"]}],"entity":"product","registered":null}]}` {
		t.Errorf("%s", text)
	}
	if status, _, _ := w.ask("GET", "/v1/warm/entities/product", "", ""); status != 200 {
		t.Error(status)
	}
	if status, _, _ := w.ask("DELETE", "/v1/warm/entities/post", "", ""); status != 200 {
		t.Error(status)
	}
	if status, _, _ := w.ask("GET", "/v1/warm/entities/post", "", ""); status != 404 {
		t.Error(status)
	}
}

func TestStatus(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	p := store.Progress{Run: store.Run{ID: "x", At: at}, Total: 100, Warmed: 15, Fresh: 5, Failed: 3, Unkept: 1, Dropped: 1, Sealed: true}
	s := StatusOf(&p, at.Add(10*time.Second), nil)
	if s.State != "running" || s.Done != 25 || s.Remaining != 75 || s.Rate != 2.4 || *s.ETA != 31 {
		t.Errorf("%+v", s)
	}
	p.Reasons = []store.Reason{{Why: "private", Count: 2, URLs: []string{"http://a/"}}, {Count: 1}}
	if s := StatusOf(&p, at, nil); len(s.Reasons) != 2 || s.Reasons[0].Why != "private" || s.Reasons[0].Count != 2 || s.Reasons[1].Why != "other reasons" {
		t.Errorf("%+v", s.Reasons)
	}
	p.Sealed = false
	if s := StatusOf(&p, at, nil); s.State != "listing" || s.ETA != nil || s.Rate != 0 {
		t.Errorf("%+v", s)
	}
	p.Sealed, p.Warmed, p.Ended = true, 90, at.Add(50*time.Second)
	if s := StatusOf(&p, at.Add(time.Hour), nil); s.State != "done" || s.Rate != 1.98 || s.ETA != nil || s.Remaining != 0 {
		t.Errorf("%+v", s)
	}
}
