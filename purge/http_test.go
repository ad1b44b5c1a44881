package purge_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metrics"
	"github.com/gorilla/mux"

	"surrogate/purge"
	"surrogate/store"
)

// An admin is the admin API of a Purger.
type admin struct {
	t testing.TB
	h http.Handler
}

func newAdmin(t testing.TB, p *purge.Purger) admin {
	r := mux.NewRouter()
	p.Mount(r)
	return admin{t, r}
}

// do sends a request to a raw target and decodes the answer into out, unless
// that is nil.
func (a admin) do(method, target, body string, out any, fields ...string) *httptest.ResponseRecorder {
	a.t.Helper()
	r := httptest.NewRequestWithContext(a.t.Context(), method, "http://127.0.0.1:8081/", strings.NewReader(body))
	u, err := url.ParseRequestURI(target)
	if err != nil {
		a.t.Fatal(err)
	}
	r.URL, r.RequestURI, r.RemoteAddr = u, target, "127.0.0.1:999"
	for i := 0; i < len(fields); i += 2 {
		if r.Header.Add(fields[i], fields[i+1]); fields[i] == "Host" {
			r.Host = fields[i+1]
		}
	}
	w := httptest.NewRecorder()
	a.h.ServeHTTP(w, r)
	if out != nil {
		if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
			a.t.Fatalf("%s %s: %d %s: %v", method, target, w.Code, w.Body, err)
		}
	}
	return w
}

func TestPostPurge(t *testing.T) {
	s := newStore(t)
	put(t, s, "http://shop/product/1", "product:1", "")
	put(t, s, "http://shop/", "", "/product/1")
	var log bytes.Buffer
	p := purge.New(purge.Options{Store: s, Node: "n1", Log: logTo(&log)})
	a := newAdmin(t, p)
	var m map[string]any
	w := a.do("POST", "/v1/purge", `{"tags":["product:1"],"id":"x","why":"price"}`, &m)
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	for member, want := range map[string]string{
		"id": "x", "seq": "1", "state": "fenced", "mode": "hard", "asked": "[product:1]", "expanded": "[url shop/product/1]",
		"nodes": "map[n1:1]", "complete": "true", "why": "price", "by": "POST /v1/purge from 127.0.0.1:999", "via": "api",
	} {
		if got := fmt.Sprint(m[member]); got != want {
			t.Errorf("%s = %s, want %s", member, got, want)
		}
	}
	for _, member := range []string{"entries", "bytes", "took_ms", "at"} {
		if m[member] == nil {
			t.Errorf("%s is missing", member)
		}
	}
	for _, want := range []string{"seq=1", "id=x", "mode=hard", "asked=[product:1]", "names=2", "reason=price", "took_ms=", "level=INFO"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s: %s", want, log.String())
		}
	}
	if strings.Count(log.String(), "\n") != 1 {
		t.Errorf("more than one line: %s", log.String())
	}
}

func TestAMalformedPurgeNamesTheMemberAndPurgesNothing(t *testing.T) {
	s := newStore(t)
	put(t, s, "http://shop/", "ok", "")
	set := metrics.NewSet()
	p := purge.New(purge.Options{Store: s, Metrics: set})
	var doc struct {
		Type, Title, Detail string
		Status              int
		Errors              []purge.Problem
	}
	w := newAdmin(t, p).do("POST", "/v1/purge", `{"tags":["ok","not ok"],"mode":"gentle"}`, &doc)
	if w.Code != 400 || w.Header().Get("Content-Type") != "application/problem+json" || doc.Status != 400 || doc.Type != "about:blank" || doc.Title == "" {
		t.Errorf("%d %v %+v", w.Code, w.Header(), doc)
	}
	if len(doc.Errors) != 2 || doc.Errors[0].Pointer != "#/mode" || doc.Errors[1].Pointer != "#/tags/1" || doc.Errors[1].Accepted == "" {
		t.Errorf("%+v", doc.Errors)
	}
	if !served(t, s, "http://shop/") {
		t.Error("it purged")
	}
	if got := metric(set, `surrogate_purge_errors_total{why="request"}`); got != "1" {
		t.Errorf("counted %s", got)
	}
}

func TestMorePrefixesThanCanStandAre422(t *testing.T) {
	s := newStore(t)
	put(t, s, "http://shop/", "ok", "")
	p := purge.New(purge.Options{Store: s})
	var prefixes []string
	for i := range 2000 {
		prefixes = append(prefixes, fmt.Sprintf("shop/%d", i))
	}
	body, err := json.Marshal(map[string]any{"prefixes": prefixes})
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Detail string }
	w := newAdmin(t, p).do("POST", "/v1/purge", string(body), &doc)
	if w.Code != 422 || !strings.Contains(doc.Detail, "2000") || !strings.Contains(doc.Detail, "1024") {
		t.Errorf("%d %s", w.Code, doc.Detail)
	}
	if !served(t, s, "http://shop/") {
		t.Error("it purged")
	}
}

func TestABodyOver16MiBIs413(t *testing.T) {
	s := newStore(t)
	put(t, s, "http://shop/", "a", "")
	body := `{"tags":["a"],"why":"` + strings.Repeat(" ", 16<<20) + `"}`
	w := newAdmin(t, purge.New(purge.Options{Store: s})).do("POST", "/v1/purge", body, nil)
	if w.Code != 413 || !strings.Contains(w.Body.String(), "16777216") || !served(t, s, "http://shop/") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestABatchOf100000TagsIsOnePurge(t *testing.T) {
	s := newStore(t)
	var tags []string
	for i := range 100_000 {
		tags = append(tags, fmt.Sprintf("product:%d", i))
	}
	put(t, s, "http://shop/", "product:99999", "")
	body, _ := json.Marshal(map[string]any{"tags": tags})
	var r purge.Receipt
	if w := newAdmin(t, purge.New(purge.Options{Store: s})).do("POST", "/v1/purge", string(body), &r); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if r.Seq != 1 || served(t, s, "http://shop/") || len(r.Asked)+r.AskedMore != 100_000 || len(r.Asked) == 0 {
		t.Errorf("seq %d, %d asked, %d more", r.Seq, len(r.Asked), r.AskedMore)
	}
}

func TestErrorsOfAPurgeHaveTheirStatus(t *testing.T) {
	s := newStore(t)
	for i := range 3 {
		put(t, s, fmt.Sprintf("http://shop/%d", i), "t", fmt.Sprintf("/%d", i+1))
	}
	p := purge.New(purge.Options{Store: s, MaxExpand: 1})
	a := newAdmin(t, p)
	if w := a.do("POST", "/v1/purge", `{"tags":["t"]}`, nil); w.Code != 422 || !strings.Contains(w.Body.String(), "Nothing was purged") {
		t.Errorf("over the bound: %d %s", w.Code, w.Body)
	}
	a.do("POST", "/v1/purge", `{"tags":["a"],"id":"x"}`, nil)
	if w := a.do("POST", "/v1/purge", `{"tags":["b"],"id":"x"}`, nil); w.Code != 409 || !strings.Contains(w.Body.String(), "number 1, hard, of a, at 2") {
		t.Errorf("id used: %d %s", w.Code, w.Body)
	}
	a = newAdmin(t, purge.New(purge.Options{Store: broken{s}}))
	if w := a.do("POST", "/v1/purge", `{"tags":["a"]}`, nil); w.Code != 503 || !strings.Contains(w.Body.String(), "Nothing was purged") {
		t.Errorf("store down: %d %s", w.Code, w.Body)
	}
}

func TestReceiptsAreListedNewestFirstInPages(t *testing.T) {
	p := purge.New(purge.Options{Store: newStore(t)})
	a := newAdmin(t, p)
	for i := range 5 {
		a.do("POST", "/v1/purge", fmt.Sprintf(`{"tags":["t%d"],"id":"a/%d"}`, i, i), nil)
	}
	if err := p.Invalidate(t.Context(), []store.Name{store.URLName("http://shop/cart")}, false, "POST shop/cart"); err != nil {
		t.Fatal(err)
	}
	var got []store.Seq
	for next := "/v1/purges?limit=4"; next != ""; {
		var page struct {
			Purges []purge.Receipt
			Next   store.Seq
		}
		a.do("GET", next, "", &page)
		for _, r := range page.Purges {
			got = append(got, r.Seq)
		}
		if next = ""; page.Next != 0 {
			next = fmt.Sprintf("/v1/purges?limit=4&before=%d", page.Next)
		}
	}
	if !slices.Equal(got, []store.Seq{6, 5, 4, 3, 2, 1}) {
		t.Errorf("%v", got)
	}
	var r purge.Receipt
	if a.do("GET", "/v1/purges/a%2F3", "", &r); r.Seq != 4 {
		t.Errorf("by id: %+v", r)
	}
	if a.do("GET", "/v1/purges/6", "", &r); r.By != "POST shop/cart" || r.Via != purge.ByTraffic {
		t.Errorf("by sequence number: %+v", r)
	}
	var page struct{ Purges []purge.Receipt }
	if a.do("GET", "/v1/purges?via=traffic", "", &page); len(page.Purges) != 1 {
		t.Errorf("by traffic: %+v", page)
	}
	for target, status := range map[string]int{
		"/v1/purges/nope": 404, "/v1/purges/": 400, "/v1/purges?limit=0": 400, "/v1/purges?limit=x": 400, "/v1/purges?before=x": 400, "/v1/purges?via=x": 400,
	} {
		if w := a.do("GET", target, "", nil); w.Code != status || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	if w := a.do("GET", "/v1/purge", "", nil); w.Code != 405 || w.Header().Get("Allow") != "POST" {
		t.Errorf("GET /v1/purge: %d %v", w.Code, w.Header())
	}
}

type objects struct {
	Name    string
	Entries int
	Cascade []string
	Objects []struct {
		Key             string
		Status          int
		Bytes, Age, TTL int64
		Tags, Deps      []string
	}
	Cursor string
}

func TestWhatCarriesANameIsListed(t *testing.T) {
	s := newStore(t)
	put(t, s, "http://shop/1", "a/b x", "")
	put(t, s, "http://shop/2", "a/b", "")
	put(t, s, "http://shop/3", "", "/1")
	put(t, s, "http://other/4", "a//b?c%2F", "/../x")
	a := newAdmin(t, purge.New(purge.Options{Store: s}))
	for target, want := range map[string]string{
		"/v1/tags/a%2Fb":                      "http://shop/1 http://shop/2",
		"/v1/tags/a/b":                        "http://shop/1 http://shop/2",
		"/v1/tags/a//b%3Fc%252F":              "http://other/4",
		"/v1/tags/none":                       "",
		"/v1/deps/http://shop/1":              "http://shop/3",
		"/v1/deps/https%3A%2F%2Fshop%2F1":     "http://shop/3",
		"/v1/deps/url%20shop/1":               "http://shop/3",
		"/v1/tags/url%20shop/1":               "http://shop/1 http://shop/3",
		"/v1/tags/host%20OTHER":               "http://other/4",
		"/v1/tags/prefix%20shop/":             "http://shop/1 http://shop/2 http://shop/3",
		"/v1/deps//1":                         "http://shop/3",
		"/v1/deps//../x":                      "http://other/4",
		"/v1/objects":                         "http://other/4 http://shop/1 http://shop/2 http://shop/3",
		"/v1/objects?host=OTHER":              "http://other/4",
		"/v1/objects?url=https://shop/2":      "http://shop/2",
		"/v1/objects?url=shop%2F2&limit=1000": "http://shop/2",
		"/v1/objects?host=nowhere":            "",
		"/v1/deps/x":                          "",
	} {
		var o objects
		w := a.do("GET", target, "", &o)
		var keys []string
		for _, obj := range o.Objects {
			keys = append(keys, obj.Key)
			if obj.Status != 200 || obj.Bytes != 5 || obj.TTL < 3590 || obj.Tags == nil {
				t.Errorf("%s: %+v", target, obj)
			}
		}
		slices.Sort(keys)
		if got := strings.Join(keys, " "); got != want || w.Code != 200 {
			t.Errorf("%s: %d %q, want %q", target, w.Code, got, want)
		}
	}
	var o objects
	if a.do("GET", "/v1/deps/x", "", &o); !slices.Equal(o.Cascade, []string{"url shop/1"}) {
		t.Errorf("cascade of x: %q", o.Cascade)
	}
	seen := 0
	for cursor := "first"; cursor != ""; seen++ {
		var o objects
		target := "/v1/objects?limit=1"
		if cursor != "first" {
			target += "&cursor=" + url.QueryEscape(cursor)
		}
		a.do("GET", target, "", &o)
		cursor = o.Cursor
		if seen += len(o.Objects) - 1; seen > 10 {
			break
		}
	}
	if seen != 4 {
		t.Errorf("%d objects in pages of one", seen)
	}
	for target, says := range map[string]string{
		"/v1/objects?hots=shop": "host, url, limit, cursor", "/v1/tags/a?lmit=1": "limit, cursor", "/v1/deps/a?host=shop": "limit, cursor",
		"/v1/purges?befor=1": "limit, before, via",
	} {
		w := a.do("GET", target, "", nil)
		if w.Code != 400 || !strings.Contains(w.Body.String(), `"detail":"no such parameter","accepted":"`+says+`"`) || strings.Contains(w.Body.String(), "Nothing was") {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	for _, target := range []string{"/v1/tags/", "/v1/tags/a%20b", "/v1/tags/%ff", "/v1/deps/http://", "/v1/objects?url=/x", "/v1/objects?limit=9999"} {
		if w := a.do("GET", target, "", nil); w.Code != 400 {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

func TestTheAdminAPIAsksForItsToken(t *testing.T) {
	s := newStore(t)
	put(t, s, "http://shop/", "a", "")
	a := newAdmin(t, purge.New(purge.Options{Store: s, AdminToken: "s3cr3t", ACL: loopback}))
	for _, target := range []string{"GET /v1/purges", "POST /v1/purge", "GET /v1/tags/a", "GET /v1/tags/none", "PURGE /", "DELETE /v1/objects"} {
		method, target, _ := strings.Cut(target, " ")
		for _, token := range []string{"", "Bearer", "Bearer nope", "Basic bm9wZQ=="} {
			w := a.do(method, target, `{"tags":["a"]}`, nil, "Authorization", token)
			if w.Code != 401 || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer") || strings.Contains(w.Body.String(), "tag") {
				t.Errorf("%s %s with %q: %d %s", method, target, token, w.Code, w.Body)
			}
		}
	}
	if !served(t, s, "http://shop/") {
		t.Fatal("it purged")
	}
	if w := a.do("POST", "/v1/purge", `{"tags":["a"]}`, nil, "Authorization", "Bearer s3cr3t", "Host", "cache.example"); w.Code != 200 {
		t.Errorf("with the token: %d %s", w.Code, w.Body)
	}
}

func TestWithoutATokenTheAdminAPIKeepsWebPagesOut(t *testing.T) {
	s := newStore(t)
	put(t, s, "http://shop/", "a", "")
	a := newAdmin(t, purge.New(purge.Options{Store: s}))
	for _, fields := range [][]string{
		{"Host", "evil.example"},
		{"Host", "evil.example:8081", "Origin", "http://evil.example:8081", "Sec-Fetch-Site", "same-origin"},
		{"Host", "127.0.0.1:8081", "Origin", "http://evil.example", "Sec-Fetch-Site", "cross-site"},
		{"Host", "127.0.0.1:8081", "Origin", "null"},
	} {
		if w := a.do("POST", "/v1/purge", `{"tags":["a"]}`, nil, fields...); w.Code != 403 {
			t.Errorf("%v: %d %s", fields, w.Code, w.Body)
		}
		if len(fields) > 2 {
			if w := a.do("PURGE", "/", "", nil, fields...); w.Code != 403 {
				t.Errorf("PURGE %v: %d %s", fields, w.Code, w.Body)
			}
		}
	}
	if w := a.do("GET", "/v1/objects", "", nil, "Host", "evil.example"); w.Code != 403 {
		t.Errorf("reading: %d", w.Code)
	}
	if !served(t, s, "http://shop/") {
		t.Fatal("it purged")
	}
	for _, host := range []string{"127.0.0.1:8081", "localhost:8081", "[::1]:8081", "localhost"} {
		if w := a.do("GET", "/v1/objects", "", nil, "Host", host); w.Code != 200 {
			t.Errorf("%s: %d %s", host, w.Code, w.Body)
		}
	}
	if w := a.do("PURGE", "/", "", nil, "Host", "shop"); w.Code != 200 || served(t, s, "http://shop/") {
		t.Errorf("PURGE on the admin listener: %d %s", w.Code, w.Body)
	}
}

func TestGuardProtectsOtherRoutes(t *testing.T) {
	h := purge.Guard("tok", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "in") }))
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/stats", nil)
	if h.ServeHTTP(w, r); w.Code != 401 {
		t.Error(w.Code)
	}
	w = httptest.NewRecorder()
	r.Header.Set("Authorization", "Bearer tok")
	if h.ServeHTTP(w, r); w.Body.String() != "in" {
		t.Error(w.Code)
	}
}
