package memstore

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"surrogate/store"
)

// bigBody is the length from which a body is kept as the slice it came in.
// Shorter ones are copied behind the encoded rest of their entry: one
// allocation holds everything, and the caller's slack is not kept.
const bigBody = 16 << 10

// A record is an entry as the store holds it. Where no other rule is given,
// its fields are written with both Store.mu and the shard's lock held and read
// under either.
type record struct {
	blob packed[byte] // Entry.AppendMeta, then the body unless it is big
	refs packed[ref]  // its places in the index; under Store.mu alone
	big  *[]byte      // a big body

	ticket store.Seq
	ends   int64 // unix nanoseconds

	// seen is the sequence number up to which no hard fall covers the record,
	// fell the earliest soft one up to there. Get sets them under the shard's
	// read lock: fell first, so that whoever sees the new seen sees its fell.
	// Two Gets at once write what each found to be true; the lower seen may
	// stay, which costs another look.
	seen atomic.Uint64
	fell atomic.Int64

	keyAt, keyLen uint32 // where in blob the key is
	hash          uint32 // of the key
	pick          uint32 // hash of the pick
	next          uint32 // the next pick of the same key, in order of storing, newest first

	// The queue it waits in for its eviction; under Store.mu alone, but for
	// uses, which Get counts up to maxUses.
	prev, after uint32
	uses        atomic.Uint32
	where       queueName
	shard       uint8
}

// A packed slice is one of less than 4 Gi elements, a third smaller than Go's.
type packed[T any] struct {
	p    *T
	n, c uint32
}

func pack[T any](s []T) packed[T] {
	return packed[T]{unsafe.SliceData(s), uint32(len(s)), uint32(cap(s))}
}

func (p packed[T]) slice() []T { return unsafe.Slice(p.p, p.c)[:p.n] }

// key is a view of the blob. It must not outlive the record in anything that
// outlives the blob.
func (r *record) key() string {
	return unsafe.String(&r.blob.slice()[r.keyAt], int(r.keyLen))
}

// live reports whether the record is in use.
func (r *record) live() bool { return r.blob.p != nil }

// decode returns the record's entry without its body, the length of that body
// and, unless it is big, the body.
func decode(blob []byte) (e store.Entry, body int, rest []byte) {
	e, body, rest, err := store.DecodeMeta(blob)
	if err != nil {
		panic("memstore: the store's own encoding does not decode: " + err.Error())
	}
	return e, body, rest
}

// entry is the record's entry without its body.
func (r *record) entry() store.Entry {
	e, _, _ := decode(r.blob.slice())
	return e
}

// held is what Entry.Bytes says of the entry.
func (r *record) held() int64 {
	e, body, _ := decode(r.blob.slice())
	return e.Bytes() + int64(body)
}

// size is what the record costs: memory taken, not bytes used.
func (r *record) size() int64 {
	n := int64(unsafe.Sizeof(*r)) + keySlot + int64(r.blob.c) + int64(r.refs.c)*int64(unsafe.Sizeof(ref{})+unsafe.Sizeof(member{}))
	if r.big != nil {
		n += int64(cap(*r.big)) + int64(unsafe.Sizeof(*r.big))
	}
	return n
}

// keySlot is what a slot of a table costs at its average load.
const keySlot = 14

var scratch = sync.Pool{New: func() any { return new([]byte) }}

// encode makes the record's blob and body of e. Its allocation is as big as
// the size class it lies in, so that its capacity is what it costs.
func encode(e *store.Entry) (blob []byte, big *[]byte) {
	p := scratch.Get().(*[]byte)
	defer scratch.Put(p)
	*p = e.AppendMeta((*p)[:0])
	n := len(*p)
	if len(e.Body) >= bigBody {
		big = new(e.Body)
	} else {
		n += len(e.Body)
	}
	blob = append([]byte(nil), make([]byte, n)...)[:0]
	blob = append(blob, *p...)
	if big == nil {
		blob = append(blob, e.Body...)
	}
	return blob, big
}
