package store_test

import (
	"net/http"
	"strings"
	"testing"

	"surrogate/store"
)

func TestParseVary(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "",
		"Accept-Encoding":                 "accept-encoding",
		"b, A ,b,,\ta":                    "a,b",
		"Accept-Encoding,accept-language": "accept-encoding,accept-language",
	} {
		if got, star := store.ParseVary([]string{in}); got != want || star {
			t.Errorf("%q is %q, %v", in, got, star)
		}
	}
	for _, in := range [][]string{{"*"}, {"a, *"}, {"a", " * "}} {
		if got, star := store.ParseVary(in); !star || got != "" {
			t.Errorf("%q is %q, %v", in, got, star)
		}
	}
	if got, _ := store.ParseVary([]string{"b", "a"}); got != "a,b" {
		t.Errorf("two lines are %q", got)
	}
}

func TestPickOf(t *testing.T) {
	pick := func(vs ...string) store.Pick { return store.PickOf("x", http.Header{"X": vs}) }
	language := func(v string) store.Pick {
		return store.PickOf("accept-language", http.Header{"Accept-Language": {v}})
	}
	for _, c := range []struct {
		what string
		a, b store.Pick
		same bool
	}{
		{"white space around members", pick("a,b"), pick(" a ,\tb "), true},
		{"several lines", pick("a", "b"), pick("a, b"), true},
		{"order", pick("a,b"), pick("b,a"), false},
		{"case", pick("a"), pick("A"), false},
		{"white space within", pick("a b"), pick("ab"), false},
		{"white space within quotes", pick(`"a, b"`), pick(`"a,b"`), false},
		{"an escaped quote", pick(`"a\" , b"`), pick(`"a\",b"`), false},
		{"absent and empty", store.PickOf("x", http.Header{}), pick(""), false},
		{"languages in another order", language("en;q=0.5, de"), language("DE,en; q=0.50"), true},
		{"other weights", language("de,en;q=0.5"), language("de,en;q=0.6"), false},
		{"no languages", language("de;x"), language("de"), false},
		{"no Vary", store.PickOf("", http.Header{"X": {"a"}}), "", true},
	} {
		if (c.a == c.b) != c.same {
			t.Errorf("%s: %q and %q", c.what, c.a, c.b)
		}
	}
}

func TestAltPick(t *testing.T) {
	alt := func(accept string) store.Pick {
		return store.AltPick("accept-language", http.Header{"Accept-Language": {accept}})
	}
	german := store.AltPickFor("accept-language", http.Header{}, []string{"DE"})
	if german == "" || alt("de, en;q=0.5") != german || alt("en;q=0.5,DE") != german {
		t.Errorf("%q, %q", german, alt("de, en;q=0.5"))
	}
	for _, none := range []string{"de, en", "*", "de;q=0", "de;;", ""} {
		if p := alt(none); p != "" {
			t.Errorf("%q has the second pick %q", none, p)
		}
	}
	for _, content := range [][]string{nil, {"de, en"}, {"de", "en"}, {""}} {
		if p := store.AltPickFor("accept-language", http.Header{}, content); p != "" {
			t.Errorf("content in %q has the second pick %q", content, p)
		}
	}
	if p := store.AltPick("x", http.Header{"Accept-Language": {"de"}}); p != "" {
		t.Errorf("without Vary on it there is the second pick %q", p)
	}
}

// The fields that a pick stands for have that pick.
func FuzzPick(f *testing.F) {
	f.Add("gzip, br", "de, en;q=0.5", "")
	f.Add(` a ,"b , c\"`, "de;q=2 , x y", ",")
	f.Fuzz(func(t *testing.T, a, lang, b string) {
		if strings.ContainsAny(a+lang+b, "\r\n") {
			return // no field value has them
		}
		h := http.Header{"A": {a, b}, "Accept-Language": {lang, b}}
		const vary = "a,accept-language,z"
		p := store.PickOf(vary, h)
		if again := store.PickOf(vary, p.Header()); again != p {
			t.Errorf("%q has the pick %q, whose fields have %q", h, p, again)
		}
	})
}
