package purge_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"surrogate/purge"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

// listen serves p in front of an origin that must not see purge methods, and
// returns the address.
func listen(t *testing.T, p *purge.Purger) string {
	t.Helper()
	origin := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "GET" && r.Method != "POST" {
			t.Errorf("%s %s reached the origin", r.Method, r.RequestURI)
		}
		_, _ = io.WriteString(w, "origin")
	})
	srv := httptest.NewServer(p.Intercept(origin))
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

// exchange sends a request as it is written and returns the answer.
func exchange(t *testing.T, addr, request string) (status int, h http.Header, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(b)
}

// What purge clients send, and what falls of the pages below.
var dialects = []struct {
	request string // lines; the first two words and the rest
	falls   string // numbers of pages
	soft    bool
}{
	{"PURGE /hello/|Host: www.example.com", "1 2", false},
	{"PURGE /hello/|Host: WWW.example.com:80|X-Purge-Method: default|Connection: close", "1 2", false},
	{"PURGE http://www.example.com/hello/|Host: other|Proxy-Connection: Keep-Alive|content-length: 0", "1 2", false},
	{"PURGE https://www.example.com/hello/|Host: other", "1 2", false},
	{"PURGE /hello/|Host: www.example.com|Surrogate-Purge: soft", "1 2", true},
	{"PURGE /hello/|Host: www.example.com|Fastly-Soft-Purge: 1", "1 2", true},
	{"PURGE /hello/|Host: www.example.com|Fastly-Soft-Purge: 0", "1 2", false},
	{"PURGE /hello|Host: www.example.com", "", false},
	{"PURGE //a/../b|Host: www.example.com", "3", false},
	{"PURGE /a%2Fb?x=%2f|Host: www.example.com", "4", false},
	{"PURGE /|Host: www.example.com", "5", false},
	{"PURGE /|Host: www.example.com|Surrogate-Key: t6 t7", "6 7", false},
	{"PURGE /nowhere|Host: nobody|Surrogate-Key: t6,t7|Surrogate-Key: t8", "6 7 8", false},
	{"PURGE /|Host: h|Surrogate-Keys: t6", "6", false},
	{"PURGE /|Host: h|xkey: t6\tt7", "6 7", false},
	{"PURGE /|Host: h|xkey-purge: t6", "6", false},
	{"PURGE /|Host: h|xkey-softpurge: t6", "6", true},
	{"PURGE /|Host: h|xkey-softpurge: t6|Surrogate-Purge: hard", "6", true},
	{"PURGE /|Host: h|key: t6", "6", true},
	{"PURGE /|Host: h|Cache-Tag: t6", "6", false},
	{"PURGE /|Host: h|Cache-Tags: t6", "6", false},
	{"PURGE /|Host: h|X-Cache-Tags: t6, t7,", "6 7", false},
	{"PURGE /|Host: h|Surrogate-Key: t6|Fastly-Soft-Purge: true", "6", true},
	{"PURGE /|Host: h|Surrogate-Key: none", "", false},
	{"PURGEKEYS /|Host: h|xkey-purge: t6 t7", "6 7", false},
	{"PURGEKEYS /|Host: h|xkey-softpurge: t6 t7", "6 7", true},
	{"PURGETAGS /|Host: h|X-Cache-Tags: t6,t7", "6 7", false},
	{"PURGETAGS /|Host: h", "", false},
	{"BAN /|Host: h|xkey-purge: t6", "6", false},
	{"BAN /|Host: h", "1 2 3 4 5 6 7 8 9", false},
	{"BAN /|Host: h|Surrogate-Purge: soft", "1 2 3 4 5 6 7 8 9", true},
	{"URIBAN /hello/|Host: www.example.com", "1 2", false},
	{"PURGE /hel.*|Host: www.example.com", "1 2", false},
	{"PURGE /.*|Host: www.example.com", "1 2 3 4 5 6", false},
	{"PURGE /.*|Host: www.example.com|X-Purge-Method: regex", "1 2 3 4 5 6", false},
	{"PURGE /.*|Host: 127.0.0.1|X-Purge-Method: regex", "1 2 3 4 5 6 7 8 9", false},
	{"PURGE /|Host: h|Clear-Cache: true", "1 2 3 4 5 6 7 8 9", false},
	{"PURGE /|Host: 127.0.0.1|X-Magento-Tags-Pattern: ((^|,)t6(,|$))|((^|,)t7(,|$))", "6 7", false},
	{"PURGE /|Host: 127.0.0.1|X-Magento-Tags-Pattern: ((^|,)t6(,|$))|X-Magento-Purge-Soft: 1", "6", true},
	{"PURGE /|Host: 127.0.0.1|X-Magento-Tags-Pattern: .*", "1 2 3 4 5 6 7 8 9", false},
	{"PURGE /same|Host: 127.0.0.1:6081", "6 7 9", false},
	{"PURGE /same|Host: [::1]:6081", "6 7", false},
	{"PURGE /same|Host: localhost", "6 7", false},
	{"PURGE /same|Host: varnish", "6 7", false},
	{"PURGE /same|Host: cache.internal.example", "6 7", false},
	{"PURGE /same|Host: shop", "7", false},
}

var pages = []struct{ key, tags string }{
	{"http://www.example.com/hello/", ""},
	{"https://www.example.com/hello/", ""},
	{"http://www.example.com//a/../b", ""},
	{"http://www.example.com/a%2Fb?x=%2F", ""},
	{"http://www.example.com/", ""},
	{"http://www.example.com/same", "t6"},
	{"http://shop/same", "t7"},
	{"http://elsewhere.example/", "t8"},
	{"http://127.0.0.1:6081/same", "t9"},
}

func TestDialects(t *testing.T) {
	for _, d := range dialects {
		s := newStore(t)
		for _, page := range pages {
			put(t, s, page.key, page.tags, "")
		}
		addr := listen(t, purge.New(purge.Options{
			Store: s, ACL: loopback, Names: []string{"cache.internal.example"},
			Hosts: func() []string { return []string{"www.example.com", "shop"} },
		}))
		request := wire(d.request)
		status, h, body := exchange(t, addr, request)
		var r struct {
			Status, ID, Note string
			Invalidated      *int
			Soft             *bool
		}
		if err := json.Unmarshal([]byte(body), &r); err != nil || status != 200 || r.Status != "ok" || r.Invalidated == nil || r.Soft == nil || r.Note != "" {
			t.Errorf("%s: %d %s", d.request, status, body)
			continue
		}
		if h.Get("Content-Type") != "application/json" || h.Get("Content-Length") != fmt.Sprint(len(body)) || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", d.request, h)
		}
		if *r.Soft != d.soft {
			t.Errorf("%s: soft %v", d.request, *r.Soft)
		}
		var fell []string
		for i, page := range pages {
			f := get(t, s, page.key)
			if f.Hit && f.Fell.IsZero() {
				continue
			}
			if f.Hit != d.soft {
				t.Errorf("%s: page %d: stale %v, want %v", d.request, i+1, f.Hit, d.soft)
			}
			fell = append(fell, fmt.Sprint(i+1))
		}
		if got := strings.Join(fell, " "); got != d.falls {
			t.Errorf("%s: pages %q fell, want %q", d.request, got, d.falls)
		}
	}
}

// wire makes a request of lines separated by bars. A bar within parentheses is
// a pattern's.
func wire(lines string) string {
	var b strings.Builder
	depth := 0
	for i := range len(lines) {
		c := lines[i]
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		}
		if c == '|' && depth == 0 && !(lines[i-1] == ')' && lines[i+1] == '(') {
			b.WriteString("\r\n")
		} else {
			b.WriteByte(c)
		}
	}
	s := b.String()
	first, rest, _ := strings.Cut(s, "\r\n")
	return first + " HTTP/1.1\r\n" + rest + "\r\n\r\n"
}

func TestWhatADialectDoesNotMeanIsRefusedAndPurgesNothing(t *testing.T) {
	s := newStore(t)
	for _, page := range pages {
		put(t, s, page.key, page.tags, "")
	}
	addr := listen(t, purge.New(purge.Options{Store: s, ACL: loopback}))
	for _, c := range []struct {
		request string
		status  int
		says    string
	}{
		{"PURGE /|Host: h|Surrogate-Key: \x80", 400, "UTF-8"},
		{"PURGE /|Host: h|Surrogate-Key: " + strings.Repeat("x", 1025), 400, "xxx"},
		{"PURGE /|Host: h|xkey:", 400, "Xkey"},
		{"PURGE *|Host: h", 400, "*"},
		{"PURGE /|Host: a b", 400, ""},
		{"PURGE /a[0-9].*|Host: www.example.com", 400, "pattern"},
		{"PURGE /a|Host: www.example.com|X-Purge-Method: regex", 400, "pattern"},
		{"PURGE /a|Host: www.example.com|X-Purge-Method: glob", 400, "glob"},
		{"PURGE /|Host: h|X-Magento-Tags-Pattern: ((^|,)cat_p_.*(,|$))", 400, "unescaped ."},
		{"PURGE /|Host: h|X-Pool: a", 501, "X-Pool"},
		{"BAN /|Host: h|X-Url: .*|X-Host: .*", 501, "X-"},
		{"BAN /|Host: h|ApiPlatform-Ban-Regex: .*", 501, "Regex"},
		{"BAN /|Host: h|Varnish-Ban-All: 1", 501, "Varnish-Ban-All"},
		{"BAN /news/*|Host: h", 501, "path"},
		{"REFRESH /|Host: www.example.com", 501, "REFRESH"},
		{"PURGEKEYS /|Host: h", 400, "xkey-purge"},
	} {
		status, _, body := exchange(t, addr, wire(c.request))
		if status != c.status || !strings.Contains(body, c.says) || status != 400 && !strings.HasPrefix(body, `{"status":"error"`) {
			t.Errorf("%.100s: %d %s", c.request, status, body)
		}
	}
	for _, page := range pages {
		if !served(t, s, page.key) {
			t.Errorf("%s fell", page.key)
		}
	}
}

func TestAnAddressWithoutKnownSitesIsToldWhatWasPurged(t *testing.T) {
	s := newStore(t)
	put(t, s, "http://127.0.0.1:8080/a", "", "")
	addr := listen(t, purge.New(purge.Options{Store: s, ACL: loopback, Hosts: func() []string { return []string{"*"} }}))
	_, _, body := exchange(t, addr, wire("PURGE /a|Host: 127.0.0.1:8080"))
	if !strings.Contains(body, "127.0.0.1:8080") || served(t, s, "http://127.0.0.1:8080/a") {
		t.Error(body)
	}
}

func TestAHeaderOf200KBIsReadWhole(t *testing.T) {
	s := newStore(t)
	var tags []string
	for i := range 20_000 {
		tags = append(tags, fmt.Sprintf("tag:%05d", i))
	}
	put(t, s, "http://shop/", "tag:19999", "")
	addr := listen(t, purge.New(purge.Options{Store: s, ACL: loopback}))
	status, _, body := exchange(t, addr, wire("PURGE /|Host: h|Surrogate-Key: "+strings.Join(tags, " ")))
	if status != 200 || !strings.Contains(body, `"invalidated":1,`) || served(t, s, "http://shop/") {
		t.Errorf("%d %s", status, body)
	}
}

func TestWhoIsNotLetInGets405AndTheReasonAndIsNotProxied(t *testing.T) {
	s := newStore(t)
	put(t, s, "http://shop/", "t", "")
	var log bytes.Buffer
	p := purge.New(purge.Options{Store: s, ACL: loopback, Tokens: []string{"s3cr3t", "other"}, Log: logTo(&log)})
	origin := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("proxied") })
	ask := func(method, peer string, fields ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), method, "http://shop/", nil)
		r.RequestURI = "/"
		r.RemoteAddr = peer
		for i := 0; i < len(fields); i += 2 {
			r.Header.Add(fields[i], fields[i+1])
		}
		w := httptest.NewRecorder()
		p.Intercept(origin).ServeHTTP(w, r)
		return w
	}
	const stranger = "this address is not in purge.acl and no valid token was sent"
	for _, c := range []struct {
		peer   string
		fields []string
		why    string
	}{
		{"192.0.2.1:1234", nil, stranger},
		{"192.0.2.1:1234", []string{"X-Forwarded-For", "127.0.0.1"}, stranger},
		{"127.0.0.1:1234", []string{"X-Forwarded-For", "192.0.2.1"}, "an intermediary (X-Forwarded-For) and no valid token was sent; see purge.acl_forwarded"},
		{"127.0.0.1:1234", []string{"Forwarded", "for=192.0.2.1"}, "(Forwarded)"},
		{"[::1]:1234", []string{"X-Real-IP", "192.0.2.1"}, "(X-Real-Ip)"},
		{"127.0.0.1:1234", []string{"X-Forwarded-For", ""}, "(X-Forwarded-For)"},
		{"127.0.0.1:1234", []string{"Origin", "http://shop"}, "web pages"},
		{"127.0.0.1:1234", []string{"Sec-Fetch-Site", "same-origin"}, "web pages"},
		{"@", nil, stranger},
		{"192.0.2.1:1234", []string{"Authorization", "Bearer s3cr3"}, stranger},
		{"192.0.2.1:1234", []string{"X-Purge-Token", ""}, stranger},
	} {
		for _, method := range []string{"PURGE", "purge", "BAN", "PURGEKEYS", "PURGETAGS", "URIBAN", "REFRESH"} {
			log.Reset()
			w := ask(method, c.peer, c.fields...)
			if w.Code != 405 || !strings.HasPrefix(w.Body.String(), `{"status":"error","msg":"Not allowed: `) ||
				!strings.Contains(w.Body.String(), c.why) || w.Header().Get("Allow") == "" {
				t.Errorf("%s from %s %v: %d %s", method, c.peer, c.fields, w.Code, w.Body)
			}
			for _, want := range []string{c.why, "method=" + method, "host=shop", "url=/", "peer=" + c.peer} {
				if !strings.Contains(log.String(), want) {
					t.Errorf("%s from %s %v: the log lacks %s: %s", method, c.peer, c.fields, want, log.String())
				}
			}
		}
	}
	if !served(t, s, "http://shop/") {
		t.Fatal("it fell")
	}
	for _, c := range []struct {
		peer   string
		fields []string
	}{
		{"127.0.0.1:1234", nil},
		{"[::ffff:127.0.0.1]:1234", nil},
		{"[::1]:1234", nil},
		{"192.0.2.1:1234", []string{"Authorization", "Bearer s3cr3t"}},
		{"192.0.2.1:1234", []string{"Authorization", "bearer other"}},
		{"192.0.2.1:1234", []string{"Authorization", "Basic dXNlcjpzM2NyM3Q="}},
		{"192.0.2.1:1234", []string{"X-Purge-Token", "s3cr3t"}},
		{"192.0.2.1:1234", []string{"X-Invalidate-Token", "s3cr3t"}},
		{"127.0.0.1:1234", []string{"Fastly-Key", "other", "X-Forwarded-For", "192.0.2.1"}},
	} {
		if w := ask("PURGE", c.peer, c.fields...); w.Code != 200 {
			t.Errorf("from %s %v: %d %s", c.peer, c.fields, w.Code, w.Body)
		}
	}
}

func TestAFailedPurgeIsAnswered503AndSaysThatNothingWasPurged(t *testing.T) {
	addr := listen(t, purge.New(purge.Options{Store: broken{newStore(t)}, ACL: loopback}))
	status, _, body := exchange(t, addr, wire("PURGE /|Host: h"))
	if status != 503 || !strings.Contains(body, "Nothing was purged") || !strings.HasPrefix(body, `{"status":"error"`) {
		t.Errorf("%d %s", status, body)
	}
}

func TestOtherMethodsAreNotOurs(t *testing.T) {
	addr := listen(t, purge.New(purge.Options{Store: newStore(t)}))
	if _, _, body := exchange(t, addr, "GET / HTTP/1.1\r\nHost: h\r\nSurrogate-Key: a\r\n\r\n"); body != "origin" {
		t.Error(body)
	}
}
