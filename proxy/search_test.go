package proxy

import (
	"net/http"
	"testing"

	"surrogate/store"
)

func TestNoVarySearchSaysWhichQueriesAreOne(t *testing.T) {
	const k = "http://shop.example/list?b=2&utm=x&a=1"
	for _, c := range []struct{ field, key, want string }{
		{``, k, k},
		{`key-order`, k, "http://shop.example/list?a=1&b=2&utm=x"},
		{`key-order=?0`, k, k},
		{`params=("utm")`, k, "http://shop.example/list?b=2&a=1"},
		{`params=("utm"), key-order`, k, "http://shop.example/list?a=1&b=2"},
		{`params`, k, "http://shop.example/list"},
		{`params=?0`, k, k},
		{`params, except=("a")`, k, "http://shop.example/list?a=1"},
		{`except=("a")`, k, "http://shop.example/list?a=1"},
		{`params=("u m")`, "http://h/?u+m=1&u%20m=2&x=3", "http://h/?x=3"},
		{`params=("utm"), unknown=3`, k, "http://shop.example/list?b=2&a=1"},
		// Any mistake, and everything matters.
		{`params=("utm"), except=("a")`, k, k},
		{`params=(utm)`, k, k},
		{`params=3`, k, k},
		{`key-order=3`, k, k},
		{`except="a"`, k, k},
		{`params=("utm"`, k, k},
	} {
		var s searches
		got, named := s.learn(store.Key(c.key), http.Header{"No-Vary-Search": {c.field}})
		if string(got) != c.want {
			t.Errorf("No-Vary-Search: %s\n  %s is stored under %s, want %s", c.field, c.key, got, c.want)
		}
		if named != (c.want != c.key) {
			t.Errorf("No-Vary-Search: %s: stands for other URLs: %v", c.field, named)
		}
		if next := s.key(store.Key(c.key)); string(next) != c.want {
			t.Errorf("No-Vary-Search: %s: the next request looks up %s, want %s", c.field, next, c.want)
		}
		if again := s.key(got); again != got {
			t.Errorf("No-Vary-Search: %s: the key of %s is %s", c.field, got, again)
		}
	}
}

func TestNoVarySearchIsForgottenWithTheFirstResponseWithoutIt(t *testing.T) {
	var s searches
	const k = "http://h/a?utm=1"
	s.learn(k, http.Header{"No-Vary-Search": {"params"}})
	if got := s.key(k); got != "http://h/a" {
		t.Fatalf("learnt: %s", got)
	}
	s.learn(k, http.Header{})
	if got := s.key(k); got != k {
		t.Errorf("forgotten: %s", got)
	}
}
