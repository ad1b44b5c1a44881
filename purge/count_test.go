package purge_test

import (
	"fmt"
	"testing"

	"surrogate/purge"
	"surrogate/store"
)

func TestADryRunTellsAndChangesNothing(t *testing.T) {
	s := newStore(t)
	put(t, s, "http://shop/product/1", "product:1", "")
	put(t, s, "http://shop/category/7", "", "product:1")
	put(t, s, "http://shop/", "", "/category/7")
	put(t, s, "http://shop/news/1", "", "")
	put(t, s, "http://shop/news/2", "", "")
	p := purge.New(purge.Options{Store: s})
	r, err := p.Purge(t.Context(), purge.Request{Tags: []string{"product:1"}, Prefixes: []string{"shop/news/"}, DryRun: true, ID: "x"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"product:1": 2, "prefix shop/news/": 2, "url shop/category/7": 2}
	for _, f := range r.WouldFall {
		if want[f.Name] != f.Entries {
			t.Errorf("%s would take %d entries, want %d", f.Name, f.Entries, want[f.Name])
		}
		delete(want, f.Name)
	}
	if len(want) > 0 || len(r.Sample) != 5 || r.State != purge.DryRun || r.Seq != 0 {
		t.Errorf("receipt = %+v; missing %v", r, want)
	}
	for _, key := range r.Sample {
		if !served(t, s, string(key)) {
			t.Errorf("%s fell", key)
		}
	}
	if _, ok := p.Receipt("x"); ok {
		t.Error("a dry run used its id up")
	}
}

func TestEntriesAreCountedOnce(t *testing.T) {
	s := newStore(t)
	fill := func(n int) {
		t.Helper()
		for i := range n {
			put(t, s, fmt.Sprintf("http://shop/p/%d", i), fmt.Sprintf("product:%d category:7 all", i), "")
		}
	}
	crowd := entry("http://shop/crowd", "", "")
	crowd.Life.Flags |= store.CatchAll // falls with every purge
	many := make([]string, 100)
	for i := range many {
		many[i] = fmt.Sprintf("product:%d", 1000+i)
	}
	three := purge.Request{Tags: []string{"category:7", "all"}, Prefixes: []string{"shop/p/"}}
	for _, c := range []struct {
		name    string
		pages   int
		catch   bool
		r       purge.Request
		dry     bool
		entries int
		exact   bool
	}{
		{"three names", 10, false, three, false, 10, true},
		{"a dry run of three names", 10, false, three, true, 10, true},
		{"with what falls with every purge", 10, true, three, false, 11, true},
		{"a dry run of that", 10, true, three, true, 11, true},
		{"after a soft purge", 10, false, purge.Request{Tags: []string{"all"}, Soft: true}, false, 10, true},
		{"one name, however many", 1000, false, purge.Request{Tags: []string{"all"}}, false, 1000, true},
		{"a prefix of a small host", 200, false, purge.Request{Prefixes: []string{"shop/p/19"}}, false, 11, true},
		{"more, by two names", 201, false, purge.Request{Tags: []string{"all", "category:7"}}, false, 201, false},
		{"a prefix of a larger host", 201, false, purge.Request{Prefixes: []string{"shop/p/19"}}, false, 201, false},
		{"many names of nothing", 10, false, purge.Request{Tags: many}, false, 0, true},
		{"many names", 10, false, purge.Request{Tags: append(many, "product:1")}, false, 1, false},
		{"a dry run looks further", 201, false, purge.Request{Prefixes: []string{"shop/p/19"}, Tags: []string{"all", "category:7"}}, true, 201, true},
	} {
		p := purge.New(purge.Options{Store: s})
		fill(c.pages)
		if c.catch {
			crowd.Ticket = get(t, s, "http://shop/crowd").Ticket
			if err := s.Put(t.Context(), crowd); err != nil {
				t.Fatal(err)
			}
		}
		c.r.DryRun = c.dry
		r, err := p.Purge(t.Context(), c.r)
		if err != nil {
			t.Fatal(err)
		}
		if r.Entries != c.entries || r.Exact != c.exact || r.Bytes < int64(5*c.entries) {
			t.Errorf("%s: %d entries, exact %t, %d bytes; want %d, %t", c.name, r.Entries, r.Exact, r.Bytes, c.entries, c.exact)
		}
		everything, err := p.Purge(t.Context(), purge.Request{Everything: true})
		if err != nil {
			t.Fatal(err)
		}
		got := swept(t, p, everything.ID)
		if !got.Exact || c.dry && got.Entries < c.pages {
			t.Errorf("%s: everything, swept: %d entries, exact %t", c.name, got.Entries, got.Exact)
		}
	}
}

// Two purges of the same, before any sweep: the second takes nothing.
func TestWhatFellIsNotCountedAgain(t *testing.T) {
	s := newStore(t)
	put(t, s, "http://shop/a", "a", "")
	put(t, s, "http://shop/b", "a", "")
	p := purge.New(purge.Options{Store: s})
	for _, want := range []int{2, 0} {
		if r, err := p.PurgeTags(t.Context(), "a"); err != nil || r.Entries != want || !r.Exact {
			t.Errorf("%+v, %v; want %d entries", r, err, want)
		}
	}
}
