package redisstore

import (
	"maps"
	"testing"

	"surrogate/store/redisstore/redistest"
)

// TestEntities: what one node registers the others know, until it is ended.
func TestEntities(t *testing.T) {
	opt := fresh(redistest.Start(t).URL)
	a, b := start(t, opt), start(t, opt)
	if says, err := b.Entity(t.Context(), "product"); says != nil || err != nil {
		t.Errorf("%q %v", says, err)
	}
	for entity, says := range map[string]string{"product": "1", "post": "2", "product ": "3"} {
		if err := a.SetEntity(t.Context(), entity, []byte(says)); err != nil {
			t.Fatal(err)
		}
	}
	if says, err := b.Entity(t.Context(), "product"); string(says) != "1" || err != nil {
		t.Errorf("%q %v", says, err)
	}
	if err := b.SetEntity(t.Context(), "product", nil); err != nil {
		t.Fatal(err)
	}
	if all, err := a.Entities(t.Context()); err != nil || !maps.Equal(all, map[string]string{"post": "2", "product ": "3"}) {
		t.Errorf("%q %v", all, err)
	}
}
