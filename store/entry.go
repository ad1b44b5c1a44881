package store

import (
	"math"
	"time"
)

// An Entry is one stored response, or as much of one as was received. Nobody
// writes to an Entry, nor to what it points to, once it was given to a store.
type Entry struct {
	Key     Key
	Vary    string // the fields that select it: lower case, sorted, comma-joined; see ParseVary
	Pick    Pick   // the values of those fields
	Alt     Pick   // a second pick that selects it, see AltPick; "" for none
	Status  int
	Head    Head     // the response's fields as they are sent on, without Age and hop-by-hop fields
	Hidden  Head     // fields that belong to the response but are not sent on, such as Surrogate-Control
	Body    []byte   // the content; with Parts, the parts one after the other
	Trailer Head     // trailer fields, empty for most
	Parts   []Part   // what of the representation Body holds; nil means all of it
	Size    int64    // the complete length when Parts is set; -1 while unknown
	Tags    NameList // what the origin tagged it with
	Deps    NameList // what it declared it was made from
	Life    Life
	Ticket  Seq           // the ticket its fetch began with
	Cost    time.Duration // how long the origin took, for refreshing early
}

// Bytes is what the entry holds of the response: head, hidden fields, content and trailer.
// Counts and what was swept are told in it, whatever a store needs on top.
func (e *Entry) Bytes() int64 {
	return int64(e.Head.Len() + e.Hidden.Len() + len(e.Body) + e.Trailer.Len())
}

// Newer reports whether e is more recent than x: its fetch began after a later
// purge or, where that says nothing, it was born later (RFC 9111, section 4).
func (e *Entry) Newer(x *Entry) bool {
	return e.Ticket > x.Ticket || e.Ticket == x.Ticket && e.Life.Born.After(x.Life.Born)
}

// A Part is a contiguous piece of a representation: Len bytes from From.
type Part struct{ From, Len int64 }

// Complete reports whether the entry holds the whole representation.
func (e *Entry) Complete() bool { return e.Parts == nil }

// A Life says until when and how an entry may be shown. Its windows follow
// each other from Born: fresh for TTL; after that stale, to be shown while one
// fetch revalidates for WhileRevalidate, instead of an error for IfError, and
// kept only to be revalidated for Keep. RFC 9111 section 4.2, RFC 5861.
type Life struct {
	Born            time.Time     // when its age was zero: response time less corrected initial age (RFC 9111, 4.2.3)
	TTL             time.Duration // freshness lifetime; may be 0
	WhileRevalidate time.Duration
	IfError         time.Duration
	Keep            time.Duration
	Flags           Flags
}

// Flags of a Life, each a directive that outlives admission.
type Flags uint8

// The flags.
const (
	NoCache   Flags = 1 << iota // never without successful validation: no-cache (RFC 9111, 5.2.2.4)
	NoStale                     // never stale: must-revalidate, proxy-revalidate, s-maxage (RFC 9111, 4.2.4)
	Heuristic                   // TTL is a guess (RFC 9111, 4.2.2)
	CatchAll                    // its names were too many or too long: every purge takes it with it
	Plain                       // Head can be sent byte for byte: it has all that a response must have, and nothing else
	Sized                       // with Plain: Head has the Content-Length of Body
)

// Has reports whether all of g are set.
func (f Flags) Has(g Flags) bool { return f&g == g }

// Expires is when the entry stops being fresh, were it never purged.
func (l *Life) Expires() time.Time { return l.Born.Add(l.TTL) }

// Ends is when nothing may be done with the entry any more.
func (l *Life) Ends() time.Time {
	return l.Born.Add(addDurations(l.TTL, max(l.WhileRevalidate, l.IfError, l.Keep)))
}

func addDurations(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
