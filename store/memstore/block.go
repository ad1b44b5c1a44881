package memstore

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
	"unsafe"

	"surrogate/store"
)

// A block is an entry as the store holds it, and the head of one allocation
// that has no pointers in it: behind the block come what Entry.AppendMeta made
// (and, if part of the head is a common, how long that is),
// then the body, and at the end of the allocation, where there would be slack
// anyway, the entry's refs. Nothing of it changes once it can be found, but for
// what is said here.
type block struct {
	// seen is the sequence number up to which no hard fall covers the entry,
	// fell the earliest soft one up to there. Get sets fell first, so that whoever
	// sees the new seen sees its fell. Two Gets at once write what each found
	// to be true; the lower seen may stay, which costs another look.
	seen atomic.Uint64
	fell atomic.Int64

	ticket store.Seq
	ends   int64 // unix nanoseconds

	next atomic.Uint32 // the next pick of the same key, in order of storing, newest first; see shard
	hash uint32        // of the key
	pick uint32        // hash of the pick
	room uint32        // what the allocation holds, its head included; 0 for a bigBlock

	keyAt, keyLen uint32 // where in the meta the key is
	refs          uint32 // how many refs there are; under Store.mu alone
	common        uint16 // what of its head it has with others, by number; 0 for nothing
	shard         uint8
}

// A bigBlock is the block of an entry whose body is kept as the slice it came
// in. Its meta has the body's length, but not the body behind it.
type bigBlock struct {
	block
	meta []byte
	body []byte
	refs []ref
}

// bigBody is the length from which a body is kept in a bigBlock. Shorter ones
// are copied: one allocation holds everything, and the caller's slack is not kept.
const bigBody = 16 << 10

const (
	blockSize  = int(unsafe.Sizeof(block{}))
	refSize    = int(unsafe.Sizeof(ref{}))
	memberSize = 4
	recordSize = int(unsafe.Sizeof(record{}))
	// keySlot is what a slot of a table costs at its average load.
	keySlot = 14
)

func (b *block) big() *bigBlock {
	if b.room != 0 {
		return nil
	}
	return (*bigBlock)(unsafe.Pointer(b))
}

// bytes is what lies behind the block, or a big one's meta.
func (b *block) bytes() []byte {
	if big := b.big(); big != nil {
		return big.meta
	}
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(b), blockSize)), int(b.room)-blockSize)
}

// key shares the block's memory.
func (b *block) key() string {
	return unsafe.String(&b.bytes()[b.keyAt], int(b.keyLen))
}

// decode makes e the entry without its body and without what is common of its head,
// and returns how long these are and, unless it is big, the body and what follows
// it. They share the block's memory.
func (b *block) decode(e *store.Entry) (body, common int, rest []byte) {
	body, rest, err := e.ReadMeta(b.bytes())
	if err != nil {
		panic("memstore: the store's own encoding does not decode: " + err.Error())
	}
	if b.common != 0 {
		n, width := binary.Uvarint(rest)
		common, rest = int(n), rest[width:]
	}
	return body, common, rest
}

// entry is the entry without its body and without what is common of its head.
func (b *block) entry() (e store.Entry) {
	b.decode(&e)
	return e
}

// whole is entry, and what Entry.Bytes says of all of it.
func (b *block) whole() (e store.Entry, held int64) {
	body, common, _ := b.decode(&e)
	return e, e.Bytes() + int64(body+common)
}

// held is what Entry.Bytes says of the entry.
func (b *block) held() int64 {
	_, held := b.whole()
	return held
}

// offset is where in the block's bytes its own text begins.
func (b *block) offset(text string) uint32 {
	return uint32(uintptr(unsafe.Pointer(unsafe.StringData(text))) - uintptr(unsafe.Pointer(unsafe.SliceData(b.bytes()))))
}

// places are the entry's refs. The caller holds Store.mu.
func (b *block) places() []ref {
	if big := b.big(); big != nil {
		return big.refs[len(big.refs)-int(b.refs):]
	}
	if b.refs == 0 {
		return nil
	}
	at := int(b.room) - refSize*int(b.refs)
	return unsafe.Slice((*ref)(unsafe.Add(unsafe.Pointer(b), at)), b.refs)
}

// size is what the entry costs: memory taken, not bytes used.
func (b *block) size() int64 {
	n := recordSize + keySlot
	if big := b.big(); big != nil {
		n += int(unsafe.Sizeof(*big)) + cap(big.meta) + cap(big.body) + refSize*cap(big.refs)
	} else {
		n += int(b.room)
	}
	return int64(n)
}

var drafts = sync.Pool{New: func() any { return new(draft) }}

// A draft is where a block is prepared before it is known how long it is.
type draft struct{ meta, own, common []byte }

// write makes d.meta what comes before the body in the block of e, and returns the
// number of the common in its head.
func (d *draft) write(e *store.Entry, c *commons) uint16 {
	d.own, d.common = divide(e.Head, d.own[:0], d.common[:0])
	number := c.join(d.common)
	if number == 0 {
		d.meta = e.AppendMeta(d.meta[:0])
		return 0
	}
	x := *e
	x.Head = store.HeadText(unsafe.String(unsafe.SliceData(d.own), len(d.own)))
	d.meta = binary.AppendUvarint(x.AppendMeta(d.meta[:0]), uint64(len(d.common)))
	return number
}

// newBlock makes the block of e, with room for as many refs. The entry it
// returns is what the block's is. It has its part in a common already: if the block
// comes to nothing, it has to leave that.
func newBlock(e *store.Entry, refs int, c *commons) (*block, store.Entry) {
	d := drafts.Get().(*draft)
	defer drafts.Put(d)
	common := d.write(e, c)
	var b *block
	if len(e.Body) >= bigBody {
		b = &(&bigBlock{meta: append([]byte(nil), d.meta...), body: e.Body, refs: make([]ref, refs)}).block
	} else {
		// The size class that this lies in, so that the capacity is what it costs.
		mem := append([]byte(nil), make([]byte, blockSize+len(d.meta)+len(e.Body)+refSize*refs)...)
		mem = mem[:cap(mem)]
		b = (*block)(unsafe.Pointer(&mem[0]))
		b.room = uint32(len(mem))
		copy(mem[blockSize+copy(mem[blockSize:], d.meta):], e.Body)
	}
	b.common = common
	b.refs = uint32(refs)
	b.ticket = e.Ticket
	b.seen.Store(uint64(e.Ticket)) // whatever is newer, look looks at
	view := b.entry()
	b.keyAt = b.offset(string(view.Key))
	b.keyLen = uint32(len(view.Key))
	return b, view
}
