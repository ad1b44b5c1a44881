package proxy

import (
	"net/http"
	"testing"

	"surrogate/store"
)

func entryWith(head string) *store.Entry {
	return &store.Entry{Status: 200, Head: store.HeadOf(fields(head)), Body: []byte("x"), Life: store.Life{Born: epoch}}
}

// TestNotModified: RFC 9111 section 4.3.2, RFC 9110 section 13.
func TestNotModified(t *testing.T) {
	for _, c := range []struct {
		says, ask, head string
		want            bool
	}{
		{"no condition", "", `ETag: "a"`, false},
		{"the same tag", `If-None-Match: "a"`, `ETag: "a"`, true},
		{"another", `If-None-Match: "b"`, `ETag: "a"`, false},
		{"weak against strong", `If-None-Match: W/"a"`, `ETag: "a"`, true},
		{"strong against weak", `If-None-Match: "a"`, `ETag: W/"a"`, true},
		{"weak against weak", `If-None-Match: W/"a"`, `ETag: W/"a"`, true},
		{"the first of several", `If-None-Match: "a", "b", "c"`, `ETag: "a"`, true},
		{"the middle one", `If-None-Match: "b", "a", "c"`, `ETag: "a"`, true},
		{"the last", `If-None-Match: "b","c"  ,W/"a"`, `ETag: "a"`, true},
		{"on a second line", "If-None-Match: \"b\"\nIf-None-Match: \"a\"", `ETag: "a"`, true},
		{"a comma within", `If-None-Match: "x", "a,b"`, `ETag: "a,b"`, true},
		{"a comma within is not two", `If-None-Match: "a,b"`, `ETag: "a"`, false},
		{"a backslash is itself", `If-None-Match: "a\", "b"`, `ETag: "b"`, true},
		{"any", "If-None-Match: *", `ETag: "a"`, true},
		{"any, without a tag", "If-None-Match: *", "X: y", true},
		{"a tag, and none stored", `If-None-Match: "a"`, "X: y", false},
		{"an empty list", "If-None-Match: ", "ETag: ", false},
		{"unquoted, both", "If-None-Match: abc", "ETag: abc", true},
		{"unquoted has no weakness", "If-None-Match: W/abc", "ETag: abc", false},
		{"unquoted against quoted", "If-None-Match: abc", `ETag: "abc"`, false},
		{"lower-case w, both", `If-None-Match: w/"abc"`, `ETag: w/"abc"`, true},
		{"W without its slash, both", `If-None-Match: W"abc"`, `ETag: W"abc"`, true},
		{"W with a backslash, both", `If-None-Match: W\"abc"`, `ETag: W\"abc"`, true},
		{"obs-text", "If-None-Match: \"abc\xfc\"", "ETag: \"abc\xfc\"", true},
		{"the tag goes before the date", "If-None-Match: \"b\"\nIf-Modified-Since: @", "ETag: \"a\"\nLast-Modified: @-60", false},
		{"the tag goes before the date, also when the date is no match", "If-None-Match: \"a\"\nIf-Modified-Since: @-90", "ETag: \"a\"\nLast-Modified: @-60", true},
		{"the same date", "If-Modified-Since: @-60", "Last-Modified: @-60", true},
		{"a later one", "If-Modified-Since: @-50", "Last-Modified: @-60", true},
		{"an earlier one", "If-Modified-Since: @-70", "Last-Modified: @-60", false},
		{"in RFC 850 format", "If-Modified-Since: Wednesday, 04-Mar-26 05:06:07 GMT", "Last-Modified: @", true},
		{"in asctime format", "If-Modified-Since: Wed Mar  4 05:06:07 2026", "Last-Modified: @", true},
		{"no date (RFC 9110 section 13.1.3)", "If-Modified-Since: soon", "Last-Modified: @-60", false},
		{"two dates", "If-Modified-Since: @\nIf-Modified-Since: @", "Last-Modified: @-60", false},
		{"no Last-Modified: Date", "If-Modified-Since: @-60", "Date: @-60", true},
		{"no Last-Modified: Date, later", "If-Modified-Since: @-70", "Date: @-60", false},
		{"neither: when it was received", "If-Modified-Since: @", "X: y", true},
		{"neither, and earlier", "If-Modified-Since: @-1", "X: y", false},
	} {
		if got := notModified(fields(c.ask), entryWith(c.head)); got != c.want {
			t.Errorf("%s: %v", c.says, got)
		}
	}
	e := entryWith(`ETag: "a"`)
	e.Status = 404
	if notModified(fields(`If-None-Match: "a"`), e) {
		t.Error("a 404 became a 304 (RFC 9110 section 13.2.1)")
	}
}

// TestIfRange: RFC 9110 section 13.1.5.
func TestIfRange(t *testing.T) {
	for _, c := range []struct {
		says, ask, head string
		want            bool
	}{
		{"none", "", `ETag: "a"`, true},
		{"the same", `If-Range: "a"`, `ETag: "a"`, true},
		{"another", `If-Range: "b"`, `ETag: "a"`, false},
		{"weak never matches", `If-Range: W/"a"`, `ETag: W/"a"`, false},
		{"strong against weak", `If-Range: "a"`, `ETag: W/"a"`, false},
		{"a list is no If-Range", `If-Range: "a", "b"`, `ETag: "a", "b"`, false},
		{"two lines", "If-Range: \"a\"\nIf-Range: \"a\"", `ETag: "a"`, false},
		{"unquoted", "If-Range: a", "ETag: a", false},
		{"the same date, strong", "If-Range: @-60", "Last-Modified: @-60\nDate: @", true},
		{"the same date, weak", "If-Range: @-59", "Last-Modified: @-59\nDate: @", false},
		{"the same date, nobody knows how strong", "If-Range: @-60", "Last-Modified: @-60", false},
		{"a later date is not the same", "If-Range: @-50", "Last-Modified: @-100\nDate: @", false},
	} {
		if got := ifRangeMatches(fields(c.ask), entryWith(c.head)); got != c.want {
			t.Errorf("%s: %v", c.says, got)
		}
	}
}

// TestSetConditional: RFC 9111 section 4.3.1.
func TestSetConditional(t *testing.T) {
	for _, c := range []struct {
		head, inm, ims string
	}{
		{"X: y", "", ""},
		{`ETag: "a"`, `"a"`, ""},
		{`ETag: W/"a"`, `W/"a"`, ""},
		{"ETag: a", "a", ""},
		{"Last-Modified: Wed, 04 Mar 2026 05:06:07 GMT", "", "Wed, 04 Mar 2026 05:06:07 GMT"},
		{"Last-Modified: soon", "", ""},
		{"ETag: \"a\"\nLast-Modified: Wed, 04 Mar 2026 05:06:07 GMT", `"a"`, "Wed, 04 Mar 2026 05:06:07 GMT"},
	} {
		out := fields("If-None-Match: \"client\"\nIf-Modified-Since: @\nIf-Range: \"client\"\nX: y")
		ok := setConditional(out, entryWith(c.head))
		if ok != (c.inm+c.ims != "") || out.Get("If-None-Match") != c.inm || out.Get("If-Modified-Since") != c.ims || out["If-Range"] != nil || out.Get("X") != "y" {
			t.Errorf("%q: %v, %v", c.head, ok, out)
		}
	}
}

// TestSelects304: RFC 9111 section 4.3.4, with one entry asked about.
func TestSelects304(t *testing.T) {
	for _, c := range []struct {
		says, head, h string
		want          bool
	}{
		{"it says nothing", `ETag: "a"`, "", true},
		{"the same tag", `ETag: "a"`, `ETag: "a"`, true},
		{"another tag", `ETag: "a"`, `ETag: "a-gzip"`, true},
		{"the same date", "Last-Modified: @-60", "Last-Modified: @-60", true},
		{"another date", "Last-Modified: @-60", "Last-Modified: @-50", false},
		{"a date that is none", "Last-Modified: @-60", "Last-Modified: soon", false},
		{"a tag where we had a date", "Last-Modified: @-60", `ETag: "a"`, true},
		{"we did not ask", "X: y", "", false},
	} {
		if got := selects304(entryWith(c.head), fields(c.h)); got != c.want {
			t.Errorf("%s: %v", c.says, got)
		}
	}
}

// FuzzNotModified: a tag that came from the entry matches wherever it stands in
// a list, and evaluating never panics.
func FuzzNotModified(f *testing.F) {
	f.Add("a", `"b", W/"c"`, "")
	f.Add("a,b", `*`, "Wed, 04 Mar 2026 05:06:07 GMT")
	f.Fuzz(func(t *testing.T, tag, others, ims string) {
		for _, c := range tag {
			if c == '"' || c < '!' || c > '~' {
				return
			}
		}
		e := entryWith("")
		e.Head = store.HeadText("Etag: \"" + tag + "\"\r\n")
		if !notModified(http.Header{"If-None-Match": {others, `W/"` + tag + `"`}}, e) {
			t.Errorf("%q does not match itself", tag)
		}
		notModified(http.Header{"If-None-Match": {others}}, e)
		notModified(http.Header{"If-Modified-Since": {ims}}, e)
		ifRangeMatches(http.Header{"If-Range": {others}}, e)
	})
}
