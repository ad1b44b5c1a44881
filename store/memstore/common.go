package memstore

import (
	"hash/maphash"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"surrogate/store"
)

// Commons are what the heads of many entries have alike, kept once: what a site
// says of itself on every page (its policies, its cache-control, its server) is often
// more than what it says of the page. A block knows its common by number, and a
// hit reads it as it reads records, without a lock.
//
// A common is there as long as a block has it. What it costs counts as entries do,
// so that whoever can make heads that differ gains nothing by it; and what was
// asked for once only, as with a field that has a value of its own on each page,
// stays where it is, in its block.
type commons struct {
	seed   maphash.Seed
	slots  slab[common] // its numbers are under mu
	bytes  atomic.Int64 // what they cost
	mu     sync.Mutex   // guards what follows, and all changes; innermost
	ids    table
	lately [1 << 10]uint32 // hashes of what was asked for and is not there
	gone   bool
}

// A common is one of them.
type common struct {
	text atomic.Pointer[string] // nil while it is free; whoever got it may keep it
	uses uint32                 // blocks that have it; under mu
	room uint32                 // what its text takes
}

const (
	commonCost = int(unsafe.Sizeof(common{})) + int(unsafe.Sizeof("")) + keySlot
	// minCommon is how long a common is at least: a shorter one saves little.
	minCommon = 48
	// maxCommons is what a block's number of it can say.
	maxCommons = math.MaxUint16
)

// join returns the number of a common for one block more, 0 where there is none
// to be had.
func (c *commons) join(text []byte) uint16 {
	if len(text) < minCommon {
		return 0
	}
	hash := uint32(maphash.Bytes(c.seed, text))
	c.mu.Lock()
	defer c.mu.Unlock()
	id := c.ids.find(hash, func(id uint32) bool { return *c.slots.at(id).text.Load() == string(text) })
	if id == 0 {
		if seen := &c.lately[hash%uint32(len(c.lately))]; *seen != hash || c.ids.n == maxCommons || c.gone {
			*seen = hash
			return 0
		}
		id = c.slots.take()
		own := append([]byte(nil), text...)
		x := c.slots.at(id)
		x.text.Store(new(unsafe.String(unsafe.SliceData(own), len(own))))
		x.room = uint32(cap(own))
		c.ids.insert(hash, id)
		c.bytes.Add(int64(commonCost) + int64(x.room))
	}
	c.slots.at(id).uses++
	return uint16(id)
}

// leave ends a block's part in a common. No Get can find the block any more.
func (c *commons) leave(number uint16) {
	if number == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return
	}
	id := uint32(number)
	x := c.slots.at(id)
	if x.uses--; x.uses > 0 {
		return
	}
	c.ids.remove(uint32(maphash.String(c.seed, *x.text.Load())), id)
	c.bytes.Add(-int64(commonCost) - int64(x.room))
	x.text.Store(nil)
	c.slots.free(id)
}

// text is a block's common, nil for none. Where neither Store.mu nor the shard's
// lock is held, it may be another's unless the shard's version says otherwise: a
// block leaves its common after it has left its shard.
func (c *commons) text(number uint16) *string {
	if number == 0 {
		return nil
	}
	x := c.slots.peek(uint32(number))
	if x == nil {
		return nil
	}
	return x.text.Load()
}

func (c *commons) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	c.slots.drop()
	c.ids.drop()
	c.bytes.Store(0)
}

// alike are the fields that are in commons, in the order in which they are there.
// A site mostly has few values of each.
var alike = rank(
	"Accept-Ch", "Accept-Ranges", "Access-Control-Allow-Credentials", "Access-Control-Allow-Headers", "Access-Control-Allow-Methods",
	"Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Access-Control-Max-Age", "Alt-Svc", "Cache-Control",
	"Cdn-Cache-Control", "Content-Encoding", "Content-Language", "Content-Security-Policy", "Content-Security-Policy-Report-Only",
	"Content-Type", "Cross-Origin-Embedder-Policy", "Cross-Origin-Opener-Policy", "Cross-Origin-Resource-Policy", "Expect-Ct",
	"Feature-Policy", "Nel", "No-Vary-Search", "Origin-Agent-Cluster", "P3p", "Permissions-Policy", "Pragma", "Referrer-Policy",
	"Report-To", "Reporting-Endpoints", "Server", "Strict-Transport-Security", "Timing-Allow-Origin", "Vary", "Via",
	"X-Aspnet-Version", "X-Content-Type-Options", "X-Dns-Prefetch-Control", "X-Download-Options", "X-Frame-Options", "X-Generator",
	"X-Permitted-Cross-Domain-Policies", "X-Powered-By", "X-Robots-Tag", "X-Ua-Compatible", "X-Xss-Protection",
)

func rank(names ...string) map[string]uint8 {
	m := make(map[string]uint8, len(names))
	for i, n := range names {
		m[n] = uint8(i)
	}
	return m
}

// divide appends to common the lines of h that are alike on many pages, by name
// and not as they came, and to own the others. Lines of one name stay together, in
// their order. What has too many lines is all its own.
func divide(h store.Head, own, common []byte) (_, _ []byte) {
	const most = 32
	var lines [most]struct {
		text string
		rank uint8
	}
	n := 0
	for line := range h.Lines() {
		name, _, _ := strings.Cut(line, ":")
		r, ok := alike[name]
		if !ok {
			own = append(own, line...)
			continue
		}
		if n == most {
			return h.AppendTo(own[:0]), common
		}
		at := n
		for ; at > 0 && lines[at-1].rank > r; at-- {
			lines[at] = lines[at-1]
		}
		lines[at].text, lines[at].rank = line, r
		n++
	}
	for _, l := range lines[:n] {
		common = append(common, l.text...)
	}
	return own, common
}
