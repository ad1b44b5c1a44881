package main

import (
	"sync"

	"surrogate/store"
)

// maxFallen is how many keys each half of fallen holds.
const maxFallen = 10_000

// fallen remembers which purge took a key last, for explain: an entry that is
// gone cannot be asked what it was tagged with. It holds the latest ten to
// twenty thousand.
type fallen struct {
	mu       sync.Mutex // guards the fields below
	new, old map[store.Key]store.Seq
}

func newFallen() *fallen { return &fallen{new: make(map[store.Key]store.Seq)} }

// note is what the purger calls when it has swept.
func (f *fallen) note(ev store.Event, keys []store.Swept) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range keys {
		if len(f.new) == maxFallen {
			f.old, f.new = f.new, make(map[store.Key]store.Seq)
		}
		f.new[k.Key] = max(f.new[k.Key], ev.Seq)
	}
}

// by returns the last purge that took key; 0 if none is remembered.
func (f *fallen) by(key store.Key) store.Seq {
	f.mu.Lock()
	defer f.mu.Unlock()
	return max(f.new[key], f.old[key])
}
