package purge

import (
	"net/http"
	"strings"
	"testing"

	"surrogate/store"
)

// FuzzTagFields: tags are taken whole or the purge is refused, however the
// field is written.
func FuzzTagFields(f *testing.F) {
	f.Add("PURGE", "Surrogate-Key", "a b,c", "d")
	f.Add("PURGEKEYS", "Xkey-Softpurge", "a\tb", "")
	f.Add("BAN", "Xkey", ",", ", ,")
	f.Add("PURGE", "Key", "é\xff", "x")
	f.Fuzz(func(t *testing.T, method, field, one, two string) {
		h := http.Header{http.CanonicalHeaderKey(field): {one, two}}
		requests, listed, err := tagRequests(method, h)
		if !listed && (len(requests) > 0 || err != nil) {
			t.Fatalf("%v, %v from what is no list", requests, err)
		}
		if err != nil && len(requests) > 0 {
			t.Fatal("an error, and something to purge")
		}
		want := len(store.SplitTags([]string{one, two}))
		got := 0
		for _, r := range requests {
			if r.Everything || len(r.Tags) == 0 {
				t.Fatalf("%+v", r)
			}
			for _, tag := range r.Tags {
				got++
				if store.CheckTag(tag) != nil || strings.ContainsAny(tag, ", ") {
					t.Fatalf("tag %q", tag)
				}
			}
		}
		if listed && err == nil && got != want {
			t.Fatalf("%d tags of %d", got, want)
		}
	})
}
