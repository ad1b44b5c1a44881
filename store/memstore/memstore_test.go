package memstore_test

import (
	"testing"
	"time"

	"surrogate/store"
	"surrogate/store/memstore"
	"surrogate/store/storetest"
)

func open(t *testing.T, opt memstore.Options) store.Store {
	s := memstore.New(opt)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestContract(t *testing.T) {
	storetest.Run(t, storetest.Config{
		New: func(t *testing.T) store.Store { return open(t, memstore.Options{}) },
		NewSmall: func(t *testing.T) store.Store {
			return open(t, memstore.Options{
				MaxFences: storetest.Fences,
				Log:       storetest.PurgeLog,
				MaxEdges:  storetest.Edges,
				MaxPicks:  storetest.Picks,
			})
		},
		Tick:   time.Hour,
		Bubble: true,
	})
}
