package store_test

import (
	"net/http"
	"reflect"
	"slices"
	"testing"

	"surrogate/store"
)

// A Head in two pieces is what the same one is in one.
func TestHeadInTwoPieces(t *testing.T) {
	const own, common = "Etag: x\r\nX-Empty: \r\n", "Server: s\r\nVary: a\r\nVary: b\r\n"
	text := common
	for _, c := range []struct {
		name string
		head store.Head
		want string
	}{
		{"none", store.Head{}, ""},
		{"one", store.HeadText(own + common), own + common},
		{"two", store.HeadText(own).With(&text), own + common},
		{"the second alone", store.HeadText("").With(&text), common},
		{"the first alone", store.HeadText(own).With(nil), own},
		{"joined", store.HeadText(own).And(store.Head{}, store.HeadText("").With(&text)), own + common},
	} {
		h, want := c.head, c.want
		one := store.HeadText(want)
		if h.String() != want || h.Len() != len(want) || string(h.AppendTo([]byte("a"))) != "a"+want || h.Count() != one.Count() {
			t.Errorf("%s: %q, want %q", c.name, h, want)
		}
		if !slices.Equal(slices.Collect(h.Lines()), slices.Collect(one.Lines())) || !reflect.DeepEqual(h.Header(), one.Header()) {
			t.Errorf("%s: lines are %q", c.name, slices.Collect(h.Lines()))
		}
		for _, name := range []string{"Etag", "X-Empty", "Server", "Vary", "Missing"} {
			if h.Get(name) != one.Get(name) || h.Has(name) != one.Has(name) || !slices.Equal(h.Values(name), one.Values(name)) {
				t.Errorf("%s: %s is %q", c.name, name, h.Values(name))
			}
		}
		for range h.All() { // who has had enough is not asked again
			break
		}
		for range h.Lines() {
			break
		}
		e := store.Entry{Head: h}
		if back, _, _, err := store.DecodeMeta(e.AppendMeta(nil)); err != nil || back.Head != one || e.Bytes() != int64(len(want)) {
			t.Errorf("%s: decoded as %q, %v", c.name, back.Head, err)
		}
	}
	if got := store.HeadOf(http.Header{"Vary": {"a", "b"}}); got.String() != "Vary: a\r\nVary: b\r\n" {
		t.Errorf("rendered as %q", got)
	}
}
