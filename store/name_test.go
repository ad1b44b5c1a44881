package store_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"surrogate/store"
)

func TestNames(t *testing.T) {
	k := store.Key("https://h/a?b")
	for n, want := range map[store.Name]string{
		store.URLName(k):                    "url h/a?b",
		store.HostName("h"):                 "host h",
		store.PrefixName("h/a"):             "prefix h/a",
		store.GroupName(k.Origin(), "g"):    "group https://h g",
		store.AllName:                       "all",
		store.CatchAllName:                  "catch-all",
		store.Name("product:1"):             "product:1",
		store.URLName("http://h/a?b"):       "url h/a?b",
		store.SearchName("http://h/a?b=c?"): "search h/a",
	} {
		if n.String() != want {
			t.Errorf("%q reads %q, want %q", string(n), n, want)
		}
	}
	if u, ok := store.URLName(k).URL(); !ok || u != "h/a?b" {
		t.Errorf("the URL is %q", u)
	}
	if h, ok := store.HostName("h").Host(); !ok || h != "h" {
		t.Errorf("the host is %q", h)
	}
	if p, ok := store.PrefixName("").Prefix(); !ok || p != "" {
		t.Errorf("the prefix is %q", p)
	}
	if _, ok := store.Name("url h").URL(); ok {
		t.Error("a tag is taken for a URL")
	}
}

func TestNameList(t *testing.T) {
	for _, c := range []struct{ in, want []store.Name }{
		{nil, nil},
		{[]store.Name{"a"}, []store.Name{"a"}},
		{[]store.Name{""}, nil},
		{[]store.Name{"b", "a", "b", "", "a"}, []store.Name{"b", "a"}},
	} {
		l := store.NamesOf(c.in...)
		if got := slices.Collect(l.All()); !slices.Equal(got, c.want) || l.Len() != len(c.want) {
			t.Errorf("%q becomes %q, %d long", c.in, got, l.Len())
		}
	}
}

func TestEntryNames(t *testing.T) {
	e := store.Entry{Key: "http://h/a", Tags: "t\nu", Deps: "d\n url h/b"}
	want := []store.Name{store.AllName, " host h", " url h/a", "t", "u", "d", " url h/b"}
	if got := slices.Collect(e.Names()); !slices.Equal(got, want) {
		t.Errorf("names are %q, want %q", got, want)
	}
	e.Life.Flags = store.CatchAll
	if got := slices.Collect(e.Names()); !slices.Contains(got, store.CatchAllName) {
		t.Errorf("names are %q", got)
	}
	for n := range e.Names() { // stops where it is told
		if n == " url h/a" {
			break
		}
	}
}

// What CheckTag lets through is never mistaken for an implicit name, survives a
// list, and is what SplitTags makes of it, commas apart.
func FuzzTag(f *testing.F) {
	for _, s := range []string{"product:1", "", " all", "a,b", "a b", "ü", "\xff", "\u2028", "\u00a0x", "*", strings.Repeat("x", 1025)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if err := store.CheckTag(s); err != nil {
			if !errors.Is(err, store.ErrBadTag) {
				t.Errorf("the error is %v", err)
			}
			return
		}
		if s == "" || len(s) > store.MaxTag || s[0] == ' ' || strings.ContainsAny(s, " \t\r\n\v\f\x00\x7f") {
			t.Fatalf("%q is let through", s)
		}
		if got := slices.Collect(store.NamesOf("x", store.Name(s)).All()); s != "x" && !slices.Equal(got, []store.Name{"x", store.Name(s)}) {
			t.Errorf("%q comes out of a list as %q", s, got)
		}
		if !strings.Contains(s, ",") {
			if got := store.SplitTags([]string{" " + s + ", " + s}); !slices.Equal(got, []string{s, s}) {
				t.Errorf("%q splits into %q", s, got)
			}
		}
	})
}
