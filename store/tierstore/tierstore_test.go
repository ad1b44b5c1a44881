package tierstore_test

import (
	"testing"
	"time"

	"surrogate/store"
	"surrogate/store/memstore"
	"surrogate/store/storetest"
	"surrogate/store/tierstore"
)

func open(t *testing.T, memory, below memstore.Options) store.Store {
	s := tierstore.New(tierstore.Options{Below: memstore.New(below), Memory: memory})
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func contract(t *testing.T, memory memstore.Options) {
	small := memstore.Options{
		MaxFences: storetest.Fences,
		Log:       storetest.PurgeLog,
		MaxEdges:  storetest.Edges,
		MaxPicks:  storetest.Picks,
	}
	smallMemory := small
	smallMemory.MaxBytes = memory.MaxBytes
	storetest.Run(t, storetest.Config{
		New:      func(t *testing.T) store.Store { return open(t, memory, memstore.Options{}) },
		NewSmall: func(t *testing.T) store.Store { return open(t, smallMemory, small) },
		Tick:     time.Hour,
		Bubble:   true,
	})
}

func TestContract(t *testing.T) { contract(t, memstore.Options{}) }

// A memory with no room finds everything below.
func TestContractWithoutMemory(t *testing.T) { contract(t, memstore.Options{MaxBytes: 1}) }
