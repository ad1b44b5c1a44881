package store_test

import (
	"slices"
	"strings"
	"testing"

	"surrogate/store"
)

func TestSplitTags(t *testing.T) {
	for in, want := range map[string][]string{
		"":            nil,
		" , ,":        nil,
		"a":           {"a"},
		"a b,c\td, e": {"a", "b", "c", "d", "e"},
		"a,,b":        {"a", "b"},
		`"a b"`:       {`"a`, `b"`},
		"a;b":         {"a;b"},
	} {
		if got := store.SplitTags([]string{in}); !slices.Equal(got, want) {
			t.Errorf("%q splits into %q, want %q", in, got, want)
		}
	}
	if got := store.SplitTags([]string{"a b", "", "c"}); !slices.Equal(got, []string{"a", "b", "c"}) {
		t.Errorf("several lines split into %q", got)
	}
}

func TestParseGroups(t *testing.T) {
	for in, want := range map[string][]string{
		`"a", "b c"`:     {"a", "b c"},
		`"a";x=1, "b"`:   {"a", "b"},
		`"a", token, 1`:  {"a"},
		`("a" "b"), "c"`: {"c"},
		``:               nil,
	} {
		got, ok := store.ParseGroups([]string{in})
		if !ok || !slices.Equal(got, want) {
			t.Errorf("%q is %q, %v; want %q", in, got, ok, want)
		}
	}
	for _, in := range []string{`"a`, `"a",`, `a b`, `"ü"`} {
		if got, ok := store.ParseGroups([]string{in}); ok {
			t.Errorf("%q is taken for %q", in, got)
		}
	}
	if got, ok := store.ParseGroups([]string{`"a"`, `"b"`}); !ok || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("two lines are %q", got)
	}
}

func TestTaggedNames(t *testing.T) {
	const key = store.Key("https://h/page?x")
	rules := &store.KeyRules{SortQuery: true}
	one := func(s string) []string { return []string{s} }
	for _, c := range []struct {
		what               string
		rules              store.TagRules
		tags, groups, deps []string
		wantTags, wantDeps store.NameList
		catchAll           bool
		bad                int
	}{
		{what: "nothing"},
		{what: "tags", tags: one("a b,a"), wantTags: "a\nb"},
		{what: "groups", groups: one(`"g", "two words"`), wantTags: " group https://h g\ng\n group https://h two words"},
		{what: "no groups", groups: one(`"g`)},
		{
			what: "deps", deps: one("product:1 /b?z&a https://o/c#f http://[/ /page?x"),
			wantDeps: "product:1\n url h/b?a&z\n/b?z&a\n url o/c\nhttps://o/c#f\nhttp://[/\n/page?x",
		},
		{what: "bad tags", tags: one("a \x01 b " + strings.Repeat("x", store.MaxTag+1)), wantTags: "a\nb", catchAll: true, bad: 2},
		{what: "too many", rules: store.TagRules{MaxTags: 2}, tags: one("a b"), deps: one("c"), catchAll: true},
		{what: "just as many", rules: store.TagRules{MaxTags: 3}, tags: one("a b"), deps: one("c"), wantTags: "a\nb", wantDeps: "c"},
		{what: "too long", rules: store.TagRules{MaxBytes: 3}, tags: one("aa"), deps: one("bb"), catchAll: true},
	} {
		got := c.rules.Names(key, rules, c.tags, c.groups, c.deps)
		if got.Tags != c.wantTags || got.Deps != c.wantDeps || got.CatchAll != c.catchAll || len(got.Bad) != c.bad {
			t.Errorf("%s: %+v", c.what, got)
		}
	}
}

// Whatever an origin sends, no name is lost without the catch-all, and none
// is an implicit name that it did not earn.
func FuzzTaggedNames(f *testing.F) {
	f.Add("a b", `"g"`, "/x http://h/y product:1", 4)
	f.Add(" all", `" all"`, " url h/a", 0)
	f.Add("a\nb\x00", `"`, "//h", 1)
	f.Fuzz(func(t *testing.T, tags, groups, deps string, maxTags int) {
		r := store.TagRules{MaxTags: maxTags, MaxBytes: 200}
		got := r.Names("http://h/a", &store.KeyRules{}, []string{tags}, []string{groups}, []string{deps})
		for _, s := range store.SplitTags([]string{tags}) {
			if !got.CatchAll && !slices.Contains(slices.Collect(got.Tags.All()), store.Name(s)) {
				t.Errorf("%q is lost", s)
			}
		}
		for _, s := range store.SplitTags([]string{deps}) {
			if !got.CatchAll && !slices.Contains(slices.Collect(got.Deps.All()), store.Name(s)) {
				t.Errorf("dep %q is lost", s)
			}
		}
		for n := range got.Tags.All() {
			if n[0] == ' ' && !strings.HasPrefix(string(n), " group http://h ") {
				t.Errorf("%q is carried as a tag", n)
			}
		}
		for n := range got.Deps.All() {
			if _, ok := n.URL(); n[0] == ' ' && !ok {
				t.Errorf("%q is carried as a dep", n)
			}
		}
	})
}
