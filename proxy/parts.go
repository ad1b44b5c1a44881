package proxy

import "surrogate/store"

// A byteRange is one range of a request, positions inclusive.
type byteRange struct {
	from, to int64
	open     bool // "5-": to the end
	suffix   bool // "-5": the last bytes
}

// parseContentRange parses the Content-Range of a 206 (RFC 9110 section 14.4).
// size is the complete length, -1 when the field leaves it open.
func parseContentRange(v string) (part store.Part, size int64, ok bool) { return part, -1, false }

// parseRange parses a Range for a representation of size bytes (RFC 9110
// section 14.2). ok is false when the field must be ignored; satisfiable is
// false when none of the ranges overlaps the representation (416).
func parseRange(v string, size int64) (ranges []byteRange, ok, satisfiable bool) {
	return nil, false, false
}

// combine puts the parts of old and new together, if they are of one
// representation (RFC 9111 section 3.4): both have the same strong validator.
// The result has new's fields over old's, and is complete when nothing is
// missing any more.
func combine(old, new *store.Entry) (store.Entry, bool) { return store.Entry{}, false }

// slicePart returns the content of a range, if the entry holds it.
func slicePart(e *store.Entry, r byteRange) ([]byte, bool) { return nil, false }

// missingRange returns the Range that would complete e, and the If-Range to go
// with it, "" when e has no strong validator: then a 206 cannot be combined
// with e, only a 200 is of use. ok is false when no single range does it.
func missingRange(e *store.Entry) (rng, ifRange string, ok bool) { return "", "", false }
