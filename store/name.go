package store

import (
	"fmt"
	"iter"
	"strings"
	"unicode/utf8"
)

// MaxTag is the longest tag, in bytes.
const MaxTag = 1024

// A Name is something that can fall: a tag or dep, verbatim, or one of the
// implicit names that a store knows every entry by. Implicit names begin with
// a space, so no tag is ever mistaken for one.
type Name string

const (
	// AllName is carried by every entry.
	AllName Name = " all"
	// CatchAllName is carried by entries whose names could not all be kept
	// (CatchAll). Every purge raises a fence on it, so that whatever they should
	// have fallen with, they fall.
	CatchAllName Name = " catch-all"
)

const (
	urlMark    = " url "
	hostMark   = " host "
	prefixMark = " prefix "
	groupMark  = " group "
	searchMark = " search "
)

// URLName is the implicit name of everything stored for a key's URL: host,
// path and query, whichever the scheme.
func URLName(k Key) Name { return Name(urlMark + k.URL()) }

// HostName is the implicit name of everything stored for a host, which is in
// the form it has in a key.
func HostName(host string) Name { return Name(hostMark + host) }

// PrefixName names everything whose URL, in the form URLName has it, begins
// with prefix. It is only ever purged, never carried.
func PrefixName(prefix string) Name { return Name(prefixMark + prefix) }

// GroupName is a cache group (RFC 9875), which is scoped to the origin, scheme
// and authority, of the response that names it.
func GroupName(origin, group string) Name { return Name(groupMark + origin + " " + group) }

// SearchName is carried by entries that stand for several queries of their path
// (No-Vary-Search). Whoever purges one URL of the path raises a fence on it too,
// because he cannot know which of them stands for it.
func SearchName(k Key) Name {
	path, _, _ := strings.Cut(k.URL(), "?")
	return Name(searchMark + path)
}

// URLNames are the names to purge for a URL.
func URLNames(k Key) []Name { return []Name{URLName(k), SearchName(k)} }

// URL returns the URL of a URL name, in the form Key.URL has it.
func (n Name) URL() (string, bool) { return strings.CutPrefix(string(n), urlMark) }

// Host returns the host of a host name.
func (n Name) Host() (string, bool) { return strings.CutPrefix(string(n), hostMark) }

// Prefix returns the prefix of a prefix name.
func (n Name) Prefix() (string, bool) { return strings.CutPrefix(string(n), prefixMark) }

// String returns the name as people write it: a tag verbatim, the others after
// the word that says what they are.
func (n Name) String() string { return strings.TrimPrefix(string(n), " ") }

// CheckTag reports whether s can be a tag: 1 to MaxTag bytes of valid UTF-8
// without white space or control characters. The error wraps ErrBadTag.
func CheckTag(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("%w: it is empty", ErrBadTag)
	case len(s) > MaxTag:
		return fmt.Errorf("%w: %.40q… is %d bytes long, at most %d are allowed", ErrBadTag, s, len(s), MaxTag)
	case !utf8.ValidString(s):
		return fmt.Errorf("%w: %q is not UTF-8", ErrBadTag, s)
	}
	for _, r := range s {
		if r <= ' ' || r == 0x7f || r == 0x85 || r == 0xa0 || r == 0x2028 || r == 0x2029 {
			return fmt.Errorf("%w: %q has white space or a control character", ErrBadTag, s)
		}
	}
	return nil
}

// A NameList is a set of names in one string, separated by newlines, which no
// name can contain: what an entry carries, at the cost of its bytes.
type NameList string

// NamesOf joins names, dropping repetitions and keeping the order.
func NamesOf(names ...Name) NameList {
	switch len(names) {
	case 0:
		return ""
	case 1:
		return NameList(names[0])
	}
	var b strings.Builder
	seen := make(map[Name]struct{}, len(names))
	for _, n := range names {
		if _, ok := seen[n]; ok || n == "" {
			continue
		}
		seen[n] = struct{}{}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(string(n))
	}
	return NameList(b.String())
}

// All yields the names.
func (l NameList) All() iter.Seq[Name] {
	return func(yield func(Name) bool) {
		for s := string(l); s != ""; {
			var n string
			n, s, _ = strings.Cut(s, "\n")
			if !yield(Name(n)) {
				return
			}
		}
	}
}

// Len is the number of names.
func (l NameList) Len() int {
	if l == "" {
		return 0
	}
	return strings.Count(string(l), "\n") + 1
}

// Names yields every name that e falls by, implicit and explicit; one that is
// both tag and dep comes twice. Prefixes are not among them: compare URLName.
func (e *Entry) Names() iter.Seq[Name] {
	return func(yield func(Name) bool) {
		if !yield(AllName) || !yield(HostName(e.Key.Host())) || !yield(URLName(e.Key)) {
			return
		}
		if e.Life.Flags.Has(CatchAll) && !yield(CatchAllName) {
			return
		}
		for n := range e.Tags.All() {
			if !yield(n) {
				return
			}
		}
		for n := range e.Deps.All() {
			if !yield(n) {
				return
			}
		}
	}
}
