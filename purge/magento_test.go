package purge

import (
	"regexp"
	"strings"
	"testing"
)

func TestTagsOfPattern(t *testing.T) {
	for _, c := range []struct{ pattern, tags string }{
		{`((^|,)cat_p_12(,|$))|((^|,)cat_p(,|$))`, "cat_p_12 cat_p"},
		{`((^|,)cat_p_12(,|$))`, "cat_p_12"},
		{`(^|,)cat_p_12(,|$)`, "cat_p_12"},
		{`(^|,)(post\-1|a_b|x\.y)(,|$)`, "post-1 a_b x.y"},
		{`(((^|,)a(,|$))|((^|,)b(,|$)))`, "a b"},
		{`(^|,)(/some\-longer\-tag|\/b)($|\,)`, "/some-longer-tag /b"},
		{`(^|,)é(,|$)`, "é"},
	} {
		tags, err := tagsOfPattern(c.pattern)
		if got := strings.Join(tags, " "); got != c.tags || err != nil {
			t.Errorf("%s: %q, %v; want %q", c.pattern, got, err, c.tags)
		}
	}
	for _, pattern := range []string{
		"", `.*`, `a`, `a|b`, `(a|b)($|\,)`, `((^|,)cat_p_.*(,|$))`, `((^|,)cat_p(,|$))|`, `(^|,)(,|$)`, `((^|,)a(,|$)`, `(^|,)a(,|$))`,
		`(^|,)a\,b(,|$)`, `(^|,)a\`, `(^|,)\d(,|$)`, `(^|,)[ab](,|$)`, `^a$`, `(^|,)(a|)(,|$)`, `(?:^|,)a(,|$)`, `(^|,)a(,|$)b`,
		strings.Repeat("(", 10_000),
	} {
		if tags, err := tagsOfPattern(pattern); err == nil {
			t.Errorf("%.100s: %q, want an error", pattern, tags)
		}
	}
}

// FuzzTagsOfPattern: what a pattern is taken for, it means: each of the tags
// matches it, alone and among others, and a longer tag does not.
func FuzzTagsOfPattern(f *testing.F) {
	f.Add(`((^|,)cat_p_12(,|$))|((^|,)cat_p(,|$))`)
	f.Add(`(^|,)(post\-1|a_b|x\.y)(,|$)`)
	f.Add(`((^|,)a\\(\,|$))`)
	f.Fuzz(func(t *testing.T, pattern string) {
		tags, err := tagsOfPattern(pattern)
		if err != nil {
			return
		}
		re, err := regexp.Compile(pattern)
		if err != nil {
			return // something RE2 has other bounds for
		}
		for _, tag := range tags {
			if strings.ContainsAny(tag, ",\n") {
				t.Fatalf("%q: tag %q", pattern, tag)
			}
			if !re.MatchString(tag) || !re.MatchString("some,"+tag+",other") {
				t.Fatalf("%q does not match its tag %q", pattern, tag)
			}
			if longer := "\x01" + tag + "\x01"; re.MatchString(longer) {
				t.Fatalf("%q matches %q", pattern, longer)
			}
		}
	})
}
