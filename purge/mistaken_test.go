package purge_test

import (
	"strings"
	"testing"

	"surrogate/purge"
)

// What could never match anything is refused, or noted: it would miss without a
// word.
func TestWhatCanMatchNothingIsRefused(t *testing.T) {
	a := newAdmin(t, purge.New(purge.Options{Store: newStore(t)}))
	for _, c := range []struct{ route, body, says string }{
		{"/v1/purge", `{"tags":["a,b"]}`, "a comma"},
		{"/v1/events", `{"tags":["a,b"]}`, "a comma"},
		{"/v1/purge", `{"urls":["shop/news/*"]}`, "prefixes"},
		{"/v1/purge", `{"prefixes":["shop/news/*"]}`, "needs no"},
	} {
		w := a.do("POST", c.route, c.body, nil)
		if w.Code != 400 || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s %s: %d %s", c.route, c.body, w.Code, w.Body)
		}
	}
	for _, body := range []string{`{"tags":["*","a*","/books/1"]}`, `{"keys":["shop/news/*"]}`} {
		if w := a.do("POST", "/v1/purge", body, nil); w.Code != 200 {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
}

func TestAPurgeOfNothingSaysWhatThereIs(t *testing.T) {
	s := newStore(t)
	p := purge.New(purge.Options{Store: s})
	noted := func(r purge.Request) string {
		t.Helper()
		got, err := p.Purge(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(got.Notes, "; ")
	}
	const unknown = "nothing stored carries it; "
	if got := noted(purge.Request{URLs: []string{"shop/a"}}); got != unknown+"the cache is empty" {
		t.Errorf("empty: %q", got)
	}
	put(t, s, "http://shop.example:8080/a", "a", "")
	put(t, s, "https://127.0.0.1:8080/a", "a", "")
	const hosts = "hosts in the cache: 127.0.0.1:8080, shop.example:8080"
	for _, c := range []struct {
		r    purge.Request
		want string
	}{
		{purge.Request{Tags: []string{"b"}}, "nothing stored carries it"},
		{purge.Request{Tags: []string{"b", "c"}}, "nothing stored carries any of them"},
		{purge.Request{URLs: []string{"shop.example/a"}}, unknown + hosts},
		{purge.Request{Hosts: []string{"shop.example"}}, unknown + hosts},
		{purge.Request{Prefixes: []string{"shop.example/"}}, unknown + hosts},
		{purge.Request{Keys: []string{"http://item/"}}, unknown + hosts},
		{purge.Request{URLs: []string{"item"}, DryRun: true}, "dry run: nothing was purged; " + unknown + hosts},
		{purge.Request{URLs: []string{"shop.example:8080/b"}}, "nothing stored carries it"},
		{purge.Request{URLs: []string{"shop.example:8080/a"}}, ""},
	} {
		if got := noted(c.r); got != c.want {
			t.Errorf("%+v: noted %q, want %q", c.r, got, c.want)
		}
	}
}
