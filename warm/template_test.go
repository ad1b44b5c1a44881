package warm

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"surrogate/store"
)

func TestTemplates(t *testing.T) {
	var data map[string]any
	dec := json.NewDecoder(strings.NewReader(`{"category":"shoes & boots","path":"/a/b?c=d&e","list":["x","y/z"],"n":42,"deep":{"er":true},"empty":"","dots":"..","bad":"a#b","null":null}`))
	dec.UseNumber()
	if err := dec.Decode(&data); err != nil {
		t.Fatal(err)
	}
	c := Change{Type: "updated", Entity: "product", ID: "1/2 ä?", Data: data}
	for _, tc := range []struct{ template, want, err string }{
		{"/products/{id}", "/products/1%2F2%20%C3%A4%3F", ""},
		{"/{entity}/{type}", "/product/updated", ""},
		{"/categories/{data.category}", "/categories/shoes%20%26%20boots", ""},
		{"/s?q={data.category}&x=1", "/s?q=shoes%20%26%20boots&x=1", ""},
		{"{+data.path}", "/a/b?c=d&e", ""},
		{"/x{+data.path}&p={data.n}", "/x/a/b?c=d&e&p=42", ""},
		{"/l/{data.list}", "/l/x /l/y%2Fz", ""},
		{"/l/{data.list}/{data.list}", "/l/x/x /l/x/y%2Fz /l/y%2Fz/x /l/y%2Fz/y%2Fz", ""},
		{"/{data.deep.er}", "/true", ""},
		{"https://shop.example/{data.n}", "https://shop.example/42", ""},
		{"/plain", "/plain", ""},
		{"/{data.missing}", "", "no data.missing"},
		{"/{data.empty}", "", "no data.empty"},
		{"/{data.null}", "", "no data.null"},
		{"/{data.deep}", "", "no data.deep"},
		{"/{data.n.er}", "", "no data.n.er"},
		{"/{data.dots}", "", "segment"},
		{"/x?y={data.dots}", "/x?y=..", ""},
		{"/{+data.bad}", "", "no piece of a URL"},
		{"products/{id}", "", "want a path"},
		{"/{id", "", "without its }"},
		{"/id}", "", "without its {"},
		{"/{nope}", "", "is none of"},
		{"/{data.}", "", "is none of"},
		{"/{data..a}", "", "is none of"},
		{"/{}", "", "is none of"},
		{"/a b", "", "space"},
		{"ftp://x/{id}", "", "want a path"},
	} {
		tm, err := ParseTemplate(tc.template)
		var got []string
		if err == nil {
			got, err = tm.Fill(&c)
		}
		if s := strings.Join(got, " "); s != tc.want {
			t.Errorf("%s: %q, want %q", tc.template, s, tc.want)
		}
		if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("%s: %v, want %q", tc.template, err, tc.err)
		}
	}
	many := make([]any, maxFilled+1)
	for i := range many {
		many[i] = i
	}
	c.Data["list"] = many
	if tm, _ := ParseTemplate("/{data.list}"); true {
		if _, err := tm.Fill(&c); err == nil {
			t.Error("a list without end was filled in")
		}
	}
}

func TestChanged(t *testing.T) {
	w := newTown(t)
	w.plans[0].Entities = map[string][]string{"product": {"/products/{id}", "/categories/{data.category}", "/x/{data.none}"}}
	w.plans[1].Entities = map[string][]string{"post": {"/{id}"}}
	if err := w.in.o.Entities.Set(t.Context(), "product", &Registration{"shop", []string{"/api/{id}", "https://other.example/{id}"}}); err != nil {
		t.Fatal(err)
	}
	c := []Change{{Entity: "product", ID: "7", Data: map[string]any{"category": []any{"a", "b"}}}}
	notes, err := w.in.Changed(t.Context(), c, "once", "test")
	if err != nil {
		t.Fatal(err)
	}
	if s := strings.Join(notes, "; "); !strings.Contains(s, `"/x/{data.none}": the change has no data.none`) || !strings.Contains(s, "no site serves") || len(notes) != 2 {
		t.Errorf("%q", notes)
	}
	if _, err := w.in.Changed(t.Context(), c, "once", "test"); err != nil {
		t.Fatal(err)
	}
	want := []string{"https://shop.example/api/7", "https://shop.example/categories/a", "https://shop.example/categories/b", "https://shop.example/products/7"}
	if got := urls(w.work()); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if runs, _ := w.queue.Runs(t.Context(), 10); len(runs) != 1 || runs[0].Kind != "event" || runs[0].What != "product:7" {
		t.Errorf("%+v", runs)
	}
	if notes, err := w.in.Changed(t.Context(), []Change{{Entity: "unknown", ID: "1"}, {}}, "", "test"); err != nil || notes != nil {
		t.Errorf("%v %v", notes, err)
	}
}

// TestChangesTogether: what one purge names is one run for each site.
func TestChangesTogether(t *testing.T) {
	w := newTown(t)
	w.plans[0].Entities = map[string][]string{"product": {"/products/{id}", "/{data.no}"}}
	w.plans[1].Entities = map[string][]string{"product": {"/about/{id}"}}
	var all []Change
	for i := range 3000 {
		all = append(all, Change{Entity: "product", ID: fmt.Sprint(i)})
	}
	notes, err := w.in.Changed(t.Context(), all, "p", "test")
	if err != nil || len(notes) != maxNotes {
		t.Errorf("%d notes, %v", len(notes), err)
	}
	runs, _ := w.queue.Runs(t.Context(), 10)
	if len(runs) != 2 || runs[0].Total != 3000 || runs[1].Total != 3000 || len(runs[0].What) > 300 {
		t.Errorf("%+v", runs)
	}
}

func TestChangeOf(t *testing.T) {
	for name, want := range map[store.Name]string{
		"product:123": "product 123", "product:a:b": "product a:b", "plain": "", ":1": "", "a:": "",
		store.URLName("http://shop.example:8080/x"): "", store.HostName("h:1"): "", store.AllName: "",
	} {
		c, ok := ChangeOf(name)
		if got := strings.TrimSpace(c.Entity + " " + c.ID); got != want || ok != (want != "") {
			t.Errorf("%q: %q", name, got)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add("/products/{id}?x={data.a}", "1", "..")
	f.Add("{+data.a}", "", "/a?b=%zz")
	f.Fuzz(func(t *testing.T, text, id, value string) {
		tm, err := ParseTemplate(text)
		if err != nil {
			return
		}
		urls, err := tm.Fill(&Change{Entity: "e", Type: "t", ID: id, Data: map[string]any{"a": value, "b": []any{value, id}}})
		if err != nil {
			return
		}
		for _, u := range urls {
			if plainText(u) != nil && len(u) <= maxURL {
				t.Fatalf("%q of %q, %q, %q", u, text, id, value)
			}
			// A value adds no segment, parameter or fragment unless it was to.
			if !strings.Contains(text, "+") && (strings.Count(u, "/") != strings.Count(strip(text), "/") || strings.Count(u, "&") != strings.Count(strip(text), "&") || strings.Count(u, "#") != strings.Count(strip(text), "#")) {
				t.Fatalf("%q of %q, %q, %q", u, text, id, value)
			}
		}
	})
}

// strip is a template without its places.
func strip(template string) string {
	var b strings.Builder
	for {
		text, rest, found := strings.Cut(template, "{")
		b.WriteString(text)
		if !found {
			return b.String()
		}
		_, template, _ = strings.Cut(rest, "}")
	}
}
