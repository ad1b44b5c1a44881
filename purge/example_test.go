package purge_test

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"surrogate/purge"
	"surrogate/store"
	"surrogate/store/memstore"
)

// shop is a store with a product, the category that lists it and a homepage
// made from the category.
func shop() store.Store {
	s := memstore.New(memstore.Options{})
	for _, page := range []struct {
		key        store.Key
		tags, deps string
	}{
		{"https://shop/product/1", "product:1", ""},
		{"https://shop/category/7", "category:7", "product:1"},
		{"https://shop/", "", "/category/7"},
		{"https://shop/about", "", ""},
	} {
		names := store.TagRules{}.Names(page.key, &store.KeyRules{}, []string{page.tags}, nil, []string{page.deps})
		err := s.Put(context.Background(), &store.Entry{
			Key: page.key, Status: 200, Body: []byte("…"), Tags: names.Tags, Deps: names.Deps,
			Life: store.Life{Born: time.Now(), TTL: time.Hour},
		})
		if err != nil {
			panic(err)
		}
	}
	return s
}

func show(s store.Store) {
	for _, key := range []store.Key{"https://shop/product/1", "https://shop/category/7", "https://shop/", "https://shop/about"} {
		found, err := s.Get(context.Background(), key, http.Header{})
		fmt.Println(key, found.Hit, err)
	}
}

// Invalidate by tag.
func ExamplePurger_PurgeTags() {
	s := shop()
	p := purge.New(purge.Options{Store: s})
	receipt, err := p.PurgeTags(context.Background(), "category:7")
	fmt.Println(receipt.Complete, err)
	show(s)
	// Output:
	// true <nil>
	// https://shop/product/1 true <nil>
	// https://shop/category/7 false <nil>
	// https://shop/ false <nil>
	// https://shop/about true <nil>
}

// Invalidate by key with all dependents.
func ExamplePurger_PurgeKey() {
	s := shop()
	p := purge.New(purge.Options{Store: s})
	receipt, err := p.PurgeKey(context.Background(), "https://shop/category/7")
	fmt.Println(receipt.Complete, err)
	show(s)
	// Output:
	// true <nil>
	// https://shop/product/1 true <nil>
	// https://shop/category/7 false <nil>
	// https://shop/ false <nil>
	// https://shop/about true <nil>
}

// Handle a data change: entity, id, tags.
func ExamplePurger_Change() {
	s := shop()
	p := purge.New(purge.Options{Store: s})
	receipt, err := p.Change(context.Background(), purge.Change{Entity: "product", ID: "1", Tags: []string{"sale"}})
	fmt.Println(receipt.Asked, receipt.Expanded, err)
	show(s)
	// Output:
	// [sale product:1] [url shop/category/7] <nil>
	// https://shop/product/1 false <nil>
	// https://shop/category/7 false <nil>
	// https://shop/ false <nil>
	// https://shop/about true <nil>
}
