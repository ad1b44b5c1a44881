package proxy

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"surrogate/store"
)

// TestUpdated: which fields of a 304 take the place of stored ones (RFC 9111
// sections 3.1 and 3.2), as the public test suite for caches has them.
func TestUpdated(t *testing.T) {
	for _, c := range []struct {
		name          string
		stored, fresh string // field values; "" is absent, "|" separates lines
		want          string
	}{
		{"Test-Header", "a", "b", "b"},
		{"Test-Header", "a", "", "a"},
		{"Test-Header", "", "b", "b"},
		{"Test-Header", "a|b|c", "d", "d"},
		{"Test-Header", "a", "b|c", "b|c"},
		{"Content-Foo", "a", "b", "b"},
		{"Cache-Control", "max-age=1", "max-age=2", "max-age=2"},
		{"Content-Location", "/foo", "/bar", "/bar"},
		{"Content-Security-Policy", "a", "b", "b"},
		{"Content-Type", "text/plain", "text/html", "text/html"},
		{"Clear-Site-Data", "a", "b", "b"},
		{"Expires", "a", "b", "b"},
		{"Last-Modified", "a", "b", "b"},
		{"Public-Key-Pins", "a", "b", "b"},
		{"Set-Cookie", "a=b|c=d", "a=c", "a=c"},
		{"Set-Cookie2", "a=b", "a=c", "a=c"},
		{"X-Frame-Options", "a", "b", "b"},
		{"X-Xss-Protection", "a", "b", "b"},
		{"Content-Length", "5", "10", "5"},
		{"Content-Length", "", "0", ""},
		{"Content-Encoding", "gzip", "br", "gzip"},
		{"Content-Encoding", "", "br", ""},
		{"Content-Range", "a", "b", "a"},
		{"Content-Md5", "a", "b", "a"},
		{"Etag", `"a"`, `"b"`, `"a"`},
		{"Etag", "", `"b"`, `"b"`},
		{"Age", "", "5", ""},
		{"Connection", "", "x", ""},
		{"Keep-Alive", "", "x", ""},
		{"Proxy-Connection", "", "x", ""},
		{"Proxy-Authenticate", "", "x", ""},
		{"Te", "", "x", ""},
		{"Transfer-Encoding", "", "x", ""},
		{"Upgrade", "", "x", ""},
		{"Listed", "a", "b", "a"}, // Connection lists it
	} {
		stored, fresh := http.Header{}, http.Header{"Connection": {"close, listed"}}
		if c.stored != "" {
			stored[c.name] = strings.Split(c.stored, "|")
		}
		if c.fresh != "" {
			fresh[c.name] = append(fresh[c.name], strings.Split(c.fresh, "|")...)
		}
		e := store.Entry{Status: 200, Head: store.HeadOf(stored)}
		if vs := strings.Join(updated(&e, fresh)[c.name], "|"); vs != c.want {
			t.Errorf("%s: %q updated by %q is %q, want %q", c.name, c.stored, c.fresh, vs, c.want)
		}
	}
}

// TestRefresh: freshness after a 304 is that of the updated fields, counted
// from the 304's own Date and Age.
func TestRefresh(t *testing.T) {
	for _, c := range []struct {
		says, stored, fresh string
		want                string
	}{
		{"the stored life again", "Cache-Control: max-age=60\nDate: @-1000", "Date: @", "ttl=60"},
		{"a new life", "Cache-Control: max-age=60\nDate: @-1000", "Date: @\nCache-Control: max-age=5", "ttl=5"},
		{"its own Age", "Cache-Control: max-age=60\nDate: @-1000", "Date: @-10\nAge: 20", "ttl=60 age=20"},
		{"no Date: now, not the stored one", "Cache-Control: max-age=60\nDate: @-1000", "X: y", "ttl=60"},
		{"it turns private", "Cache-Control: max-age=60\nDate: @-1000", "Date: @\nCache-Control: private", "private"},
		{"it varies otherwise", "Cache-Control: max-age=60\nVary: a", "Date: @\nVary: b", "ttl=60 vary=b"},
		{"fields are dropped anew", "Cache-Control: max-age=60\nX: y", "Date: @\nCache-Control: max-age=60, no-cache=\"x\"", "ttl=60 without X"},
		{"Expires less the new Date", "Expires: @-100\nDate: @-1000", "Date: @\nExpires: @30", "ttl=30"},
	} {
		p := full
		a := parseAsked("HEAD", nil)
		e := store.Entry{Status: 200, Head: store.HeadOf(fields(c.stored)), Body: []byte("x")}
		got, adm := p.refresh(&a, &e, fields(c.fresh), epoch, epoch, 0)
		if d := describe(adm); d != c.want {
			t.Errorf("%s: got %q, want %q", c.says, d, c.want)
			continue
		}
		if adm.keep && (got.Life != adm.life || got.Vary != adm.vary) {
			t.Errorf("%s: the entry is not as admitted", c.says)
		}
		if got.Head.Has("Age") || got.Head.Has("X") && len(adm.privateFields) > 0 {
			t.Errorf("%s: stored are %q", c.says, got.Head)
		}
		if date, ok := parseDate(got.Head.Get("Date"), epoch); !ok || epoch.Sub(date) > 10*time.Second {
			t.Errorf("%s: Date is %q", c.says, got.Head.Get("Date"))
		}
	}
}

// TestRefreshParts: an incomplete entry is refreshed as what it is a part of.
func TestRefreshParts(t *testing.T) {
	p := full
	a := parseAsked("GET", nil)
	e := store.Entry{Status: 206, Head: store.HeadOf(fields(`ETag: "a"`)), Parts: []store.Part{{From: 0, Len: 1}, {From: 5, Len: 1}}, Size: 10, Body: []byte("xy")}
	if got, adm := p.refresh(&a, &e, fields("Cache-Control: max-age=60"), epoch, epoch, 0); !adm.keep || got.Status != 206 || len(got.Parts) != 2 {
		t.Errorf("%s, %d", describe(adm), got.Status)
	}
}

func TestHeadMatches(t *testing.T) {
	stored := "ETag: \"a\"\nLast-Modified: @-60\nContent-Length: 3"
	for _, c := range []struct {
		stored, fresh string
		want          bool
	}{
		{stored, "", true},
		{stored, stored, true},
		{stored, `ETag: "a"`, true},
		{stored, `ETag: W/"a"`, false},
		{stored, `ETag: "b"`, false},
		{stored, "ETag: \"a\"\nETag: \"b\"", false},
		{stored, "Last-Modified: @-60", true},
		{stored, "Last-Modified: @-59", false},
		{stored, "ETag: \"a\"\nLast-Modified: @-59", false},
		{stored, "Content-Length: 3", true},
		{stored, "Content-Length: 4", false},
		{stored, "Content-Length: x", false},
		{"", `ETag: "a"`, false},
		{"", "Content-Length: 3", true},
		{"", "Content-Length: 4", false},
	} {
		e := store.Entry{Status: 200, Head: store.HeadOf(fields(c.stored)), Body: []byte("xyz")}
		if got := headMatches(&e, fields(c.fresh)); got != c.want {
			t.Errorf("stored %q, HEAD says %q: %v", c.stored, c.fresh, got)
		}
	}
	part := store.Entry{Status: 206, Head: store.HeadOf(fields("Content-Length: 3")), Body: []byte("xyz"), Parts: []store.Part{{From: 0, Len: 3}}, Size: 10}
	if headMatches(&part, fields("Content-Length: 3")) || !headMatches(&part, fields("Content-Length: 10")) {
		t.Error("a part's own length was taken for that of the whole")
	}
}

func TestStoredHead(t *testing.T) {
	h := fields("Age: 5\nConnection: a, B\nA: 1\nB: 2\nC: 3\nC: 4\nKeep-Alive: x\nD: 5\nTransfer-Encoding: z")
	got := storedHead(h, func(name string) bool { return name == "D" }).Header()
	if len(got) != 1 || strings.Join(got["C"], "|") != "3|4" {
		t.Errorf("%v", got)
	}
	if h.Get("Age") == "" {
		t.Error("the response's own fields were edited")
	}
}

func TestIsHopByHop(t *testing.T) {
	for _, name := range hopByHop {
		if !isHopByHop(name, nil) {
			t.Errorf("%s is passed on", name)
		}
	}
	if h := (http.Header{"Connection": {"close, x-named"}}); !isHopByHop("X-Named", h) || isHopByHop("X-Other", h) {
		t.Error("what Connection names, and nothing else, is not passed on")
	}
}
