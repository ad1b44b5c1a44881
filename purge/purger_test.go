package purge_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"surrogate/purge"
	"surrogate/store"
)

func TestACategoryOf500ProductsIsPurgedByOneCall(t *testing.T) {
	s := newStore(t)
	put(t, s, "http://shop/category/7", "category:7", "")
	for i := range 500 {
		put(t, s, fmt.Sprintf("http://shop/product/%d", i), fmt.Sprintf("product:%d category:7", i), "")
	}
	put(t, s, "http://shop/about", "page:about", "")
	p := purge.New(purge.Options{Store: s})
	r, err := p.PurgeTags(t.Context(), "category:7")
	if err != nil {
		t.Fatal(err)
	}
	if r.Entries != 501 || r.State != purge.Fenced || !r.Complete || r.Seq == 0 || r.Nodes["local"] != r.Seq {
		t.Errorf("receipt = %+v", r)
	}
	for i := range 500 {
		if served(t, s, fmt.Sprintf("http://shop/product/%d", i)) {
			t.Fatalf("product %d is still served", i)
		}
	}
	if !served(t, s, "http://shop/about") {
		t.Error("what was not named fell too")
	}
	r = swept(t, p, r.ID)
	if r.Entries != 501 {
		t.Errorf("entries = %d after the sweep, want 501", r.Entries)
	}
}

func TestAProductTakesItsPageItsCategoryAndTheHomepageWithIt(t *testing.T) {
	s := newStore(t)
	put(t, s, "https://shop/product/1", "product:1", "")
	put(t, s, "https://shop/category/7", "category:7", "product:1 product:2")
	put(t, s, "https://shop/", "home", "/category/7")
	put(t, s, "https://shop/product/2", "product:2", "")
	p := purge.New(purge.Options{Store: s})
	began := time.Now()
	r, err := p.Change(t.Context(), purge.Change{Type: "updated", Entity: "product", ID: "1"})
	took := time.Since(began)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"https://shop/product/1", "https://shop/category/7", "https://shop/"} {
		if served(t, s, key) {
			t.Errorf("%s is still served", key)
		}
	}
	if !served(t, s, "https://shop/product/2") {
		t.Error("the other product fell too")
	}
	if want := []string{"url shop/category/7"}; !slices.Equal(r.Expanded, want) {
		t.Errorf("expanded = %q, want %q", r.Expanded, want)
	}
	t.Logf("product, category and homepage fell in %v", took)
}

func TestACascadeIsAsSoftAsItsPurge(t *testing.T) {
	s := newStore(t)
	put(t, s, "http://shop/a", "a", "")
	put(t, s, "http://shop/b", "", "/a")
	put(t, s, "http://shop/c", "", "/b")
	p := purge.New(purge.Options{Store: s})
	r, err := p.Purge(t.Context(), purge.Request{Tags: []string{"a"}, Soft: true})
	if err != nil || r.Mode != "soft" {
		t.Fatalf("receipt = %+v, %v", r, err)
	}
	for _, key := range []string{"http://shop/a", "http://shop/b", "http://shop/c"} {
		f := get(t, s, key)
		if !f.Hit || f.Fell.IsZero() {
			t.Errorf("%s: hit %v, fell %v; want a stale hit", key, f.Hit, f.Fell)
		}
	}
}

func TestACycleFallsWholeAndOnce(t *testing.T) {
	s := newStore(t)
	put(t, s, "http://shop/a", "a", "/c")
	put(t, s, "http://shop/b", "", "/a")
	put(t, s, "http://shop/c", "", "/b")
	p := purge.New(purge.Options{Store: s})
	r, err := p.PurgeKey(t.Context(), "http://shop/b")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"http://shop/a", "http://shop/b", "http://shop/c"} {
		if served(t, s, key) {
			t.Errorf("%s is still served", key)
		}
	}
	if len(r.Expanded) != 2 {
		t.Errorf("expanded = %q", r.Expanded)
	}
}

func TestACascadeOverTheBoundIsAnErrorAndPurgesNothing(t *testing.T) {
	s := newStore(t)
	for i := range 12 {
		put(t, s, fmt.Sprintf("http://shop/%d", i), "", fmt.Sprintf("all /%d", i+1))
	}
	p := purge.New(purge.Options{Store: s, MaxExpand: 10})
	_, err := p.PurgeTags(t.Context(), "all")
	if !errors.Is(err, purge.ErrTooMany) || errors.Is(err, purge.ErrPartial) {
		t.Fatalf("err = %v, want ErrTooMany", err)
	}
	for i := range 12 {
		if !served(t, s, fmt.Sprintf("http://shop/%d", i)) {
			t.Fatalf("/%d fell", i)
		}
	}
	if r, err := purge.New(purge.Options{Store: s, MaxExpand: 11}).PurgeTags(t.Context(), "all"); err != nil {
		t.Errorf("with a bound of what is needed: %v, %+v", err, r)
	}
}

// What an unsafe request has changed falls even if what is made from it is too
// much: the change has been made, and there is nobody to ask again.
func TestTrafficOverTheBoundPurgesWhatWasChanged(t *testing.T) {
	s := newStore(t)
	for i := range 12 {
		put(t, s, fmt.Sprintf("http://shop/%d", i), "", fmt.Sprintf("/%d", i+1))
	}
	put(t, s, "http://shop/12", "", "")
	p := purge.New(purge.Options{Store: s, MaxExpand: 10})
	err := p.Invalidate(t.Context(), store.URLNames("http://shop/12"), false, "POST http://shop/12")
	if !errors.Is(err, purge.ErrTooMany) || !errors.Is(err, purge.ErrPartial) {
		t.Fatalf("err = %v, want ErrPartial and ErrTooMany", err)
	}
	if served(t, s, "http://shop/12") {
		t.Error("what was posted to stands")
	}
	if served(t, s, "http://shop/11") || !served(t, s, "http://shop/10") {
		t.Error("not just what is made from it directly fell with it")
	}
}

// A racing store stores an entry between a purger's walk and its fence.
type racing struct {
	store.Store
	race func()
}

func (s *racing) Purge(ctx context.Context, p store.Purge) (store.Event, error) {
	if f := s.race; f != nil {
		s.race = nil
		f()
	}
	return s.Store.Purge(ctx, p)
}

func TestWhatDeclaresADepDuringAPurgeFallsWithIt(t *testing.T) {
	s := newStore(t)
	put(t, s, "http://shop/k", "t", "")
	r := &racing{Store: s, race: func() { put(t, s, "http://shop/j", "", "/k") }}
	p := purge.New(purge.Options{Store: r})
	receipt, err := p.PurgeTags(t.Context(), "t")
	if err != nil {
		t.Fatal(err)
	}
	if served(t, s, "http://shop/j") {
		t.Error("what was made of /k is still served")
	}
	if !slices.Equal(receipt.Expanded, []string{"url shop/k"}) {
		t.Errorf("expanded = %q", receipt.Expanded)
	}
}

func TestWhatIsFirstToDependOnAFallenPageIsNotStored(t *testing.T) {
	s := newStore(t)
	put(t, s, "http://shop/k", "t", "")
	ticket := get(t, s, "http://shop/j").Ticket
	if _, err := purge.New(purge.Options{Store: s}).PurgeTags(t.Context(), "t"); err != nil {
		t.Fatal(err)
	}
	e := entry("http://shop/j", "", "/k")
	e.Ticket = ticket
	if err := s.Put(t.Context(), e); !errors.Is(err, store.ErrPurged) {
		t.Errorf("Put = %v, want ErrPurged", err)
	}
}

// A broken store refuses to purge.
type broken struct{ store.Store }

var errDown = errors.New("store is down")

func (broken) Purge(context.Context, store.Purge) (store.Event, error) {
	return store.Event{}, errDown
}

func TestAFailedPurgeIsAnErrorAndLeavesNoReceipt(t *testing.T) {
	s := newStore(t)
	put(t, s, "http://shop/a", "a", "")
	p := purge.New(purge.Options{Store: broken{s}})
	if _, err := p.Purge(t.Context(), purge.Request{Tags: []string{"a"}, ID: "x"}); !errors.Is(err, errDown) {
		t.Fatalf("err = %v", err)
	}
	if _, ok := p.Receipt("x"); ok {
		t.Error("a failed purge has a receipt")
	}
	if err := p.Invalidate(t.Context(), []store.Name{"a"}, false, "POST /"); !errors.Is(err, errDown) {
		t.Errorf("Invalidate = %v", err)
	}
}

// A halting store fails the second fence of a purge.
type halting struct {
	racing
	n int
}

func (s *halting) Purge(ctx context.Context, p store.Purge) (store.Event, error) {
	if s.n++; s.n > 1 {
		return store.Event{}, errDown
	}
	return s.racing.Purge(ctx, p)
}

func TestAPurgeThatStopsHalfWaySaysSo(t *testing.T) {
	s := newStore(t)
	put(t, s, "http://shop/k", "t", "")
	h := &halting{racing: racing{Store: s, race: func() { put(t, s, "http://shop/j", "", "/k") }}}
	p := purge.New(purge.Options{Store: h})
	_, err := p.Purge(t.Context(), purge.Request{Tags: []string{"t"}, ID: "x"})
	if !errors.Is(err, purge.ErrPartial) || !errors.Is(err, errDown) {
		t.Fatalf("err = %v", err)
	}
	if served(t, s, "http://shop/k") {
		t.Error("what was named is still served")
	}
	h.n = -10
	if r, err := p.Purge(t.Context(), purge.Request{Tags: []string{"t"}, ID: "x"}); err != nil || !r.Complete {
		t.Errorf("repeating it = %+v, %v", r, err)
	}
	if served(t, s, "http://shop/j") {
		t.Error("repeating it did not take the rest")
	}
}

func TestTheSameIDPurgesOnce(t *testing.T) {
	s := newStore(t)
	p := purge.New(purge.Options{Store: s})
	first, err := p.Purge(t.Context(), purge.Request{Tags: []string{"b", "a"}, ID: "deploy-1"})
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "http://shop/a", "a", "")
	again, err := p.Purge(t.Context(), purge.Request{Tags: []string{"a", "b"}, ID: "deploy-1", Why: "to be sure"})
	if err != nil || again.Seq != first.Seq {
		t.Errorf("again = %+v, %v; want the receipt of the first", again, err)
	}
	if !served(t, s, "http://shop/a") {
		t.Error("the repetition purged")
	}
	if _, err := p.Purge(t.Context(), purge.Request{Tags: []string{"a"}, ID: "deploy-1"}); !errors.Is(err, purge.ErrConflict) {
		t.Errorf("another purge with this id: %v, want ErrConflict", err)
	}
	if _, err := p.Purge(t.Context(), purge.Request{Tags: []string{"a", "b"}, Soft: true, ID: "deploy-1"}); !errors.Is(err, purge.ErrConflict) {
		t.Errorf("a soft purge with this id: %v, want ErrConflict", err)
	}
}

func TestTheSameIDAtOncePurgesOnce(t *testing.T) {
	s := newStore(t)
	p := purge.New(purge.Options{Store: s})
	var wg sync.WaitGroup
	seqs := make([]store.Seq, 20)
	for i := range seqs {
		wg.Go(func() {
			r, err := p.Purge(t.Context(), purge.Request{Tags: []string{"a"}, ID: "x"})
			if err != nil {
				t.Error(err)
			}
			seqs[i] = r.Seq
		})
	}
	wg.Wait()
	if slices.Max(seqs) != slices.Min(seqs) {
		t.Errorf("sequence numbers %v", seqs)
	}
}

func TestEveryFormOfAURLMeansTheSamePage(t *testing.T) {
	rules := &store.KeyRules{SortQuery: true, Drop: []string{"utm_*"}}
	for _, r := range []purge.Request{
		{URLs: []string{"https://shop.example/a%7eb?y=2&x=1&utm_source=mail"}},
		{URLs: []string{"http://SHOP.example:80/a~b?x=1&y=2#top"}},
		{URLs: []string{"shop.example/a~b?y=2&x=1"}},
		{URLs: []string{"shop.example:443/a~b?y=2&x=1"}},
		{Keys: []string{"https://shop.example/a~b?x=1&y=2"}},
		{Keys: []string{"shop.example/a~b?x=1&y=2"}},
		{Prefixes: []string{"shop.example/a"}},
		{Prefixes: []string{"https://shop.example/a%7E"}},
		{Prefixes: []string{"shop.example"}},
		{Hosts: []string{"Shop.Example"}},
		{Hosts: []string{"shop.example:80"}},
		{Everything: true},
	} {
		s := newStore(t)
		both := []string{"http://shop.example/a~b?x=1&y=2", "https://shop.example/a~b?x=1&y=2"}
		for _, key := range both {
			put(t, s, key, "", "")
		}
		put(t, s, "http://shop.example.org/a~b?x=1&y=2", "", "")
		p := purge.New(purge.Options{Store: s, Rules: func(host string) *store.KeyRules {
			if host == "shop.example" {
				return rules
			}
			return nil
		}})
		if _, err := p.Purge(t.Context(), r); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
		for _, key := range both {
			if served(t, s, key) {
				t.Errorf("%+v: %s is still served", r, key)
			}
		}
		if served(t, s, "http://shop.example.org/a~b?x=1&y=2") == r.Everything {
			t.Errorf("%+v: wrong about another host", r)
		}
	}
}

func TestAURLMayHoldAnother(t *testing.T) {
	s := newStore(t)
	put(t, s, "http://shop/go?to=http://x/", "", "")
	if _, err := purge.New(purge.Options{Store: s}).Purge(t.Context(), purge.Request{URLs: []string{"shop/go?to=http://x/"}}); err != nil {
		t.Fatal(err)
	}
	if served(t, s, "http://shop/go?to=http://x/") {
		t.Error("still served")
	}
}

func TestTrafficPushesOutNoOperatorsReceipt(t *testing.T) {
	p := purge.New(purge.Options{Store: newStore(t), Keep: 5})
	first, err := p.PurgeTags(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := p.Invalidate(t.Context(), []store.Name{store.URLName("http://shop/cart")}, false, "POST shop/cart"); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := p.Receipt(first.ID); !ok {
		t.Error("the receipt is gone")
	}
	for range 5 {
		if _, err := p.PurgeTags(t.Context(), "b"); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok := p.Receipt(first.ID); ok {
		t.Error("the receipt was kept longer than Keep says")
	}
}

func TestWhatFellIsHandedOnInOrder(t *testing.T) {
	s := newStore(t)
	for i := range 1200 {
		put(t, s, fmt.Sprintf("http://shop/%d", i), "a", "")
	}
	put(t, s, "http://shop/b", "b", "")
	var got []store.Swept
	var order []string
	done := make(chan struct{})
	p := purge.New(purge.Options{Store: s, Swept: func(ev store.Event, keys []store.Swept) {
		got = append(got, keys...)
		order = append(order, ev.ID)
		if ev.ID == "2" {
			close(done)
		}
	}})
	if _, err := p.Purge(t.Context(), purge.Request{Tags: []string{"a"}, ID: "1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Purge(t.Context(), purge.Request{Tags: []string{"b"}, ID: "2", Rewarm: 10}); err != nil {
		t.Fatal(err)
	}
	run(t, p)
	<-done
	if want := append(slices.Repeat([]string{"1"}, 12), "2"); len(got) != 1201 || !slices.Equal(order, want) {
		t.Errorf("%d keys in batches of %v", len(got), order)
	}
}

// A stuck store cannot sweep.
type stuck struct{ store.Store }

func (s stuck) Sweep(ctx context.Context, ev store.Event) iter.Seq2[store.Swept, error] {
	return func(yield func(store.Swept, error) bool) { yield(store.Swept{}, errDown) }
}

func TestAFailedSweepIsSaidAndHarmless(t *testing.T) {
	s := newStore(t)
	put(t, s, "http://shop/a", "a", "")
	p := purge.New(purge.Options{Store: stuck{s}})
	r, err := p.PurgeTags(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	run(t, p)
	r = eventually(t, p, r.ID, func(r purge.Receipt) bool { return len(r.Notes) > 0 })
	if r.State != purge.Fenced || !strings.Contains(r.Notes[0], "store is down") {
		t.Errorf("receipt = %+v", r)
	}
	if served(t, s, "http://shop/a") {
		t.Error("still served")
	}
}
