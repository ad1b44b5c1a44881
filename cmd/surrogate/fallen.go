package main

import (
	"hash/maphash"
	"sync"

	"surrogate/store"
)

// maxFallen is how many keys each half of fallen holds.
const maxFallen = 10_000

// fallen remembers which purge took a key last, for explain: an entry that is
// gone cannot be asked what it was tagged with. It holds the latest ten to
// twenty thousand, by a hash of each key: a purge may take a hundred times as many,
// and whatever is allocated for one is garbage a moment later.
type fallen struct {
	seed     maphash.Seed
	mu       sync.Mutex // guards the fields below
	new, old map[uint64]store.Seq
}

func newFallen() *fallen {
	return &fallen{seed: maphash.MakeSeed(), new: make(map[uint64]store.Seq), old: make(map[uint64]store.Seq)}
}

func (f *fallen) hash(key store.Key) uint64 { return maphash.String(f.seed, string(key)) }

// note is what the purger calls when it has swept.
func (f *fallen) note(ev store.Event, keys []store.Swept) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range keys {
		if len(f.new) == maxFallen {
			f.old, f.new = f.new, f.old
			clear(f.new)
		}
		h := f.hash(keys[i].Key)
		f.new[h] = max(f.new[h], ev.Seq)
	}
}

// by returns the last purge that took key; 0 if none is remembered.
func (f *fallen) by(key store.Key) store.Seq {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.hash(key)
	return max(f.new[h], f.old[h])
}
