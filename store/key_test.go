package store_test

import (
	"errors"
	"strings"
	"testing"

	"surrogate/store"
)

func TestKey(t *testing.T) {
	plain := store.KeyRules{}
	sorted := store.KeyRules{SortQuery: true}
	none := store.KeyRules{IgnoreQuery: true}
	drop := store.KeyRules{SortQuery: true, Drop: []string{"utm_*", "fbclid"}}
	keep := store.KeyRules{Keep: []string{"id", "p*"}}
	for _, c := range []struct {
		rules                *store.KeyRules
		scheme, host, target string
		want                 store.Key
	}{
		{&plain, "http", "Shop.Test", "/a", "http://shop.test/a"},
		{&plain, "http", "shop.test.", "/", "http://shop.test/"},
		{&plain, "http", "shop.test:80", "", "http://shop.test/"},
		{&plain, "https", "shop.test:443", "/", "https://shop.test/"},
		{&plain, "https", "shop.test:80", "/", "https://shop.test:80/"},
		{&plain, "http", "shop.test:", "/", "http://shop.test/"},
		{&plain, "http", "[::1]:80", "/", "http://[::1]/"},
		{&plain, "http", "[::1]", "/", "http://[::1]/"},
		{&plain, "http", "h", "a", "http://h/a"},
		{&plain, "http", "h", "//a/./../b", "http://h//a/./../b"},
		{&plain, "http", "h", "/%7euser/%c3%a9", "http://h/~user/%C3%A9"},
		{&plain, "http", "h", "/%2f%2F", "http://h/%2F%2F"},
		{&plain, "http", "h", "/%", "http://h/%"},
		{&plain, "http", "h", "/%zz%4", "http://h/%zz%4"},
		{&plain, "http", "h", "/%%34%31", "http://h/%%341"},
		{&plain, "http", "h", "/a?", "http://h/a?"},
		{&plain, "http", "h", "/a?b&a=%61", "http://h/a?b&a=a"},
		{&plain, "http", "h", "/a?b?c/d", "http://h/a?b?c/d"},
		{&sorted, "http", "h", "/a?b=2&a=1&b=1", "http://h/a?a=1&b=2&b=1"},
		{&none, "http", "h", "/a?b", "http://h/a"},
		{&drop, "http", "h", "/a?utm_source=x&z&fbclid=1&b", "http://h/a?b&z"},
		{&drop, "http", "h", "/a?utm_source=x", "http://h/a"},
		{&drop, "http", "h", "/a?%75tm_source=x", "http://h/a"},
		{&keep, "http", "h", "/a?page=2&x=1&id", "http://h/a?page=2&id"},
		{&keep, "http", "h", "/a?x=1", "http://h/a"},
	} {
		if got := c.rules.Key(c.scheme, c.host, c.target); got != c.want {
			t.Errorf("%+v: key of %s, %s, %s is %s, want %s", *c.rules, c.scheme, c.host, c.target, got, c.want)
		}
	}
}

func TestKeyParts(t *testing.T) {
	for k, want := range map[store.Key][5]string{
		"http://h/a?b":            {"http", "h", "/a?b", "h/a?b", "http://h"},
		"https://h:8443/":         {"https", "h:8443", "/", "h:8443/", "https://h:8443"},
		"http://h/a?u=http://x/y": {"http", "h", "/a?u=http://x/y", "h/a?u=http://x/y", "http://h"},
	} {
		if got := [5]string{k.Scheme(), k.Host(), k.Target(), k.URL(), k.Origin()}; got != want {
			t.Errorf("the parts of %s are %q, want %q", k, got, want)
		}
	}
}

func TestSplitURL(t *testing.T) {
	for _, c := range []struct{ s, base, scheme, host, target string }{
		{"https://h/a?b#c", "", "https", "h", "/a?b"},
		{"HTTP://h", "", "http", "h", "/"},
		{"h/a", "", "", "h", "/a"},
		{"h:8080?q", "", "", "h:8080", "/?q"},
		{"/a", "base", "", "base", "/a"},
		{"//a", "base", "", "base", "//a"},
		{"/go?to=http://x/", "base", "", "base", "/go?to=http://x/"},
		{"[::1]:80/a", "", "", "[::1]:80", "/a"},
	} {
		scheme, host, target, err := store.SplitURL(c.s, c.base)
		if err != nil || scheme != c.scheme || host != c.host || target != c.target {
			t.Errorf("%q splits into %q, %q, %q, %v", c.s, scheme, host, target, err)
		}
	}
	for _, s := range []string{"", "/a", "ftp://h/a", "http:///a", "http://u:p@h/", "h/a b", "h/\x7f", "h h/a", "http://h:port/", ":80/a", "::80/a", "http://:/"} {
		if _, _, _, err := store.SplitURL(s, ""); !errors.Is(err, store.ErrBadURL) {
			t.Errorf("%q splits: %v", s, err)
		}
	}
}

// Keying a key's own parts gives the same key, under whatever rules.
func FuzzKey(f *testing.F) {
	for _, s := range []string{"/", "/a?b=1&a=2", "/%%34%31", "/%2%35", "/?&&=", "/a?utm_x", "/%61%7E?%26=%3d&utm%5fy", "?", "/a??", "/%e2%82%ac?q=%"} {
		f.Add(s, "Host.:80", uint8(0xff))
		f.Add(s, "h:8080", uint8(0))
	}
	f.Fuzz(func(t *testing.T, target, host string, bits uint8) {
		if _, h, _, err := store.SplitURL(host, ""); err != nil || h != host {
			return // no such host could be asked
		}
		r := store.KeyRules{SortQuery: bits&1 != 0, IgnoreQuery: bits&2 != 0}
		if bits&4 != 0 {
			r.Drop = []string{"utm_*", "a", ""}
		}
		if bits&8 != 0 {
			r.Keep = []string{"b*"}
		}
		scheme := "http"
		if bits&16 != 0 {
			scheme = "https"
		}
		k := r.Key(scheme, host, target)
		if a := r.AppendKey([]byte("x"), scheme, host, target); string(a) != "x"+string(k) {
			t.Errorf("%q is keyed as %q, and appended as %q", target, k, a)
		}
		if again := r.Key(k.Scheme(), k.Host(), k.Target()); again != k {
			t.Errorf("%q is keyed again as %q", k, again)
		}
		if k.Scheme() != scheme || k.Scheme()+"://"+k.Host()+k.Target() != string(k) || k.URL() != k.Host()+k.Target() {
			t.Errorf("%q falls into %q, %q, %q", k, k.Scheme(), k.Host(), k.Target())
		}
		// What a purge makes of a URL is what a request for it was keyed as.
		if scheme2, host2, target2, err := store.SplitURL(scheme+"://"+host+target, ""); err == nil && strings.HasPrefix(target, "/") && !strings.Contains(target, "#") {
			if p := r.Key(scheme2, host2, target2); p != k {
				t.Errorf("a purge of %q%q means %q, the request is %q", host, target, p, k)
			}
		}
	})
}

// Most URLs need no normalising, and then a key costs its bytes.
func TestAppendKeyAllocatesNothing(t *testing.T) {
	r := store.KeyRules{SortQuery: true, Drop: []string{"utm_*", "gclid"}}
	b := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() {
		b = r.AppendKey(b[:0], "http", "shop.example:8080", "/list?colour=red&page=2")
	}); n != 0 || string(b) != "http://shop.example:8080/list?colour=red&page=2" {
		t.Errorf("%s costs %v allocations", b, n)
	}
}

func BenchmarkAppendKey(b *testing.B) {
	r := store.KeyRules{SortQuery: true, Drop: []string{"utm_*", "gclid"}}
	for _, target := range []string{"/products/123", "/list?colour=red&page=2", "/list?page=2&colour=red&utm_source=x"} {
		b.Run(target, func(b *testing.B) {
			k := make([]byte, 0, 256)
			b.ReportAllocs()
			for b.Loop() {
				k = r.AppendKey(k[:0], "http", "shop.example:8080", target)
			}
		})
	}
}
