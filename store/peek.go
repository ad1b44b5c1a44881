package store

// A Peeker is a Store that can look in this process's memory, and nowhere else,
// at next to no cost.
type Peeker interface {
	// Peek looks up the entry that Get would find, a Hit about which there is no
	// Doubt, if it is to be had at once. It fills in f and returns true then; after
	// false f says nothing, and Get knows more. It waits for nobody and allocates
	// nothing. It does not keep key, which may be a view of bytes that change
	// after Peek has returned, and calls ask without holding a lock.
	Peek(key Key, ask Picker, f *Found) bool
}

// A Picker is a request that can tell its picks at next to no cost. The Fields
// that Get is given may be one.
type Picker interface {
	// PickFor returns the PickOf the request for a Vary that is not empty. It
	// returns false where that takes longer, or where the request has an AltPick.
	PickFor(vary string) (Pick, bool)
}
