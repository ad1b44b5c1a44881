package fences

import (
	"crypto/sha256"
	"encoding/hex"
	"unsafe"

	"surrogate/store"
)

// The marks of implicit names, as package store writes them.
var urlMark = string(store.URLName(""))

// maxFalls is how many soft falls of one name are told apart.
const maxFalls = 16

// A fence says when a name fell: hard at most once that matters, softly
// several times since.
type fence struct {
	kind       kind
	text       string
	hard       store.Seq // the last hard fall
	last       store.Seq // the last fall of either sort
	at         int64     // when that was
	soft       []fall    // soft falls since hard, in order
	prev, next *fence    // in order of last
}

// mapSlot is what a slot of a map costs at its average load.
const mapSlot = 40

// cost is about how much memory the fence takes.
func (f *fence) cost() int64 {
	return int64(unsafe.Sizeof(*f)) + mapSlot + int64(len(f.text)) + int64(cap(f.soft))*int64(unsafe.Sizeof(fall{}))
}

// A fall covers the entries whose ticket is older than seq and not older than
// the fall before.
type fall struct {
	seq store.Seq
	at  int64 // unix nanoseconds
}

// raise lets the name fall at seq.
func (f *fence) raise(seq store.Seq, at int64, soft bool) {
	f.last, f.at = seq, at
	if !soft {
		// Whatever the soft falls covered is dead now.
		f.hard, f.soft = seq, nil
		return
	}
	f.soft = append(f.soft, fall{seq, at})
	if len(f.soft) > maxFalls {
		f.merge(at)
	}
}

// merge makes one of two neighbouring falls: the later one's reach, the
// earlier one's time, so that what they cover is stale at least as early as
// before and never later. It takes the two that are closest together for
// their age, so that recent falls stay apart however fast they come.
func (f *fence) merge(now int64) {
	best, ratio := 0, -1.0
	for i := range len(f.soft) - 2 { // the newest stays what it is
		a, b := f.soft[i].at, f.soft[i+1].at
		if r := float64(b-a) / float64(now-a+1); ratio < 0 || r < ratio {
			best, ratio = i, r
		}
	}
	f.soft[best+1].at = f.soft[best].at
	f.soft = append(f.soft[:best], f.soft[best+1:]...)
}

// fell is the earliest soft fall after ticket, 0 when there is none.
func (f *fence) fell(ticket store.Seq) int64 {
	for i := range f.soft {
		if f.soft[i].seq > ticket {
			return f.soft[i].at
		}
	}
	return 0
}

// Kinds of names, each looked up without its mark so that asking after an
// entry's URL or host concatenates nothing.
type kind uint8

const (
	tagKind kind = iota // tags, deps and groups; AllName and CatchAllName too
	urlKind
	hostKind
	prefixKind
	kinds
)

// maxText is the longest text that a fence keeps. What is longer is known by a
// hash: whoever purges by URL decides how long it is, and fences stand for days.
// Were two hashes the same one name would fall with the other, which is harmless.
const maxText = 256

// short is what a fence on text, which is not a prefix, goes by. No name has a
// space in it where this has one.
func short(text string) string {
	if len(text) <= maxText {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return " sha256 " + hex.EncodeToString(sum[:16])
}

// kindOf takes a name apart. The text is as its fence has it.
func kindOf(n store.Name) (kind, string) {
	k, text := partsOf(n)
	if k != prefixKind {
		text = short(text)
	}
	return k, text
}

func partsOf(n store.Name) (kind, string) {
	if n == "" || n[0] != ' ' {
		return tagKind, string(n)
	}
	if s, ok := n.URL(); ok {
		return urlKind, s
	}
	if s, ok := n.Host(); ok {
		return hostKind, s
	}
	if s, ok := n.Prefix(); ok {
		return prefixKind, s
	}
	return tagKind, string(n)
}

// name is the name that fell.
func (f *fence) name() store.Name {
	switch f.kind {
	case urlKind:
		return store.Name(urlMark + f.text)
	case hostKind:
		return store.HostName(f.text)
	case prefixKind:
		return store.PrefixName(f.text)
	}
	return store.Name(f.text)
}
