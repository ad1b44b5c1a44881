package warm

import (
	"hash/maphash"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"surrogate/store"
)

// HeatOptions bound a Heat. Zero values mean the default.
type HeatOptions struct {
	Keys  int           // the most keys that are known: 65,536
	Bytes int64         // the most memory for them: 16 MiB
	Half  time.Duration // after so long a request counts half: 10 min
}

// A Heat knows how often keys were asked for lately, and with which picks. Its
// unit is requests a minute, each counting half as much after Half.
//
// It is told of every hit, so being told must cost next to nothing. A key that
// is known is found without a lock. What is cold is counted exactly; the hotter
// a pick is the rarer it is written to, with a weight that makes up for it, so
// that the hottest pages are not what all cores write to at once.
//
// A key that is not known takes the place of one of those it could stand among
// that was asked for once too, or else of the coldest, by chance, the less likely
// the hotter that is. So a scan of however many keys that are asked for once goes
// through the places of such keys, and leaves the rest as they are.
type Heat struct {
	seed   maphash.Seed
	epoch  time.Time
	half   float64 // in ticks
	scale  float32 // from counts to requests a minute
	shards [heatShards]heatShard
}

const (
	heatShards = 64
	heatWays   = 8
	maxPicks   = 16 // picks of one key

	// tick is the resolution of the times of requests.
	tick = 100 * time.Millisecond
	// A pick is counted exactly up to so many requests in a half-life; above, with
	// a standard error of about a tenth.
	exactly = 64
)

type heatShard struct {
	buckets []bucket
	mu      sync.Mutex // held by who puts or removes a page; guards the fields below
	keys    int
	bytes   int64
	max     int64
	hand    int // where room is made next
	_       [64]byte
}

// A bucket is the places that a key can have. A tag is part of the hash of the
// page at its place, so that pages of others need not be looked at.
type bucket struct {
	tags  [heatWays]atomic.Uint32
	pages [heatWays]atomic.Pointer[page]
}

// A page is what is known of one key. Its first pick is part of it; the list is
// replaced, never written to.
type page struct {
	key   store.Key
	picks atomic.Pointer[[]*pick]
	first pick
	one   [1]*pick
	list  []*pick
}

// A pick is how hot one pick of a key is: a count and when it was right, packed
// into one word.
type pick struct {
	vary  string
	pick  store.Pick
	level atomic.Uint64
}

// NewHeat returns a Heat that knows nothing.
func NewHeat(o HeatOptions) *Heat {
	if o.Keys <= 0 {
		o.Keys = 1 << 16
	}
	if o.Bytes <= 0 {
		o.Bytes = 16 << 20
	}
	if o.Half <= 0 {
		o.Half = 10 * time.Minute
	}
	h := &Heat{
		seed: maphash.MakeSeed(), epoch: time.Now(), half: float64(o.Half) / float64(tick),
		scale: float32(math.Ln2 / o.Half.Minutes()),
	}
	for i := range h.shards {
		s := &h.shards[i]
		s.buckets = make([]bucket, max(1, o.Keys/heatShards/heatWays))
		s.max = o.Bytes / heatShards
	}
	return h
}

// Asked counts one request for a pick of a key. What it is given may change
// afterwards: it keeps copies. It neither allocates nor locks for a pick that is
// known.
func (h *Heat) Asked(key store.Key, vary string, p store.Pick, at time.Time) {
	now := h.tickOf(at)
	s, b, tag := h.place(key)
	if pg := b.find(key, tag); pg != nil {
		for _, x := range *pg.picks.Load() {
			if x.pick == p && x.vary == vary {
				h.bump(x, now)
				return
			}
		}
		h.addPick(s, pg, vary, p, now)
		return
	}
	h.addPage(s, b, tag, key, vary, p, now)
}

func (h *Heat) tickOf(at time.Time) uint32 { return uint32(max(0, at.Sub(h.epoch)/tick)) }

func (h *Heat) place(key store.Key) (*heatShard, *bucket, uint32) {
	sum := maphash.String(h.seed, string(key))
	s := &h.shards[sum%heatShards]
	return s, &s.buckets[(sum/heatShards)%uint64(len(s.buckets))], uint32(sum>>32) | 1
}

func (b *bucket) find(key store.Key, tag uint32) *page {
	for i := range b.tags {
		if b.tags[i].Load() == tag {
			if pg := b.pages[i].Load(); pg != nil && pg.key == key {
				return pg
			}
		}
	}
	return nil
}

func pack(count float32, at uint32) uint64 { return uint64(math.Float32bits(count))<<32 | uint64(at) }

func unpack(level uint64) (count float32, at uint32) {
	return math.Float32frombits(uint32(level >> 32)), uint32(level)
}

// bump counts one request. Whichever way is taken, a request adds one on the
// average.
func (h *Heat) bump(x *pick, now uint32) {
	for {
		old := x.level.Load()
		count, at := unpack(old)
		weight := float32(1)
		if count > exactly && now-at < uint32(time.Second/tick) {
			if weight = count / exactly; rand.Float32()*weight >= 1 {
				return
			}
		}
		if x.level.CompareAndSwap(old, pack(h.decayed(count, at, now)+weight, max(now, at))) {
			return
		}
	}
}

func (h *Heat) decayed(count float32, at, now uint32) float32 {
	if now <= at {
		return count
	}
	return count * float32(math.Exp2(-float64(now-at)/h.half))
}

// count is how often a pick was asked for, decayed.
func (h *Heat) count(x *pick, now uint32) float32 {
	count, at := unpack(x.level.Load())
	return h.decayed(count, at, now)
}

func (h *Heat) countAll(pg *page, now uint32) (sum float32) {
	for _, x := range *pg.picks.Load() {
		sum += h.count(x, now)
	}
	return sum
}

// What a page costs besides its strings, and a further pick.
const (
	pageCost = 176
	pickCost = 64
)

// yields reports, by chance, whether what is as hot as count makes room for
// something that was asked for once.
func yields(count float32) bool { return rand.Float32()*(1+count) < 1 }

// empty returns a place where nothing is, -1 if there is none.
func (b *bucket) empty() int {
	for i := range b.tags {
		if b.tags[i].Load() == 0 {
			return i
		}
	}
	return -1
}

// coldest returns the place of the coldest page and its count: the first, from a
// place on, that is no hotter than what was asked for once just now. There is no
// colder newcomer, and each look at a page waits for memory.
func (h *Heat) coldest(b *bucket, first int, now uint32) (at int, count float32) {
	at, count = first, float32(math.Inf(1))
	for n := range b.pages {
		i := (first + n) % heatWays
		pg := b.pages[i].Load()
		if pg == nil {
			return i, -1
		}
		if c := h.countAll(pg, now); c < count {
			at, count = i, c
		}
		if count <= 1 {
			break
		}
	}
	return at, count
}

// addPage makes a key known, if there is a place for it.
func (h *Heat) addPage(s *heatShard, b *bucket, tag uint32, key store.Key, vary string, p store.Pick, now uint32) {
	at, coldest := b.empty(), float32(-1)
	if at < 0 {
		at, coldest = h.coldest(b, int(tag>>1)%heatWays, now)
	}
	if coldest >= 0 && !yields(coldest) {
		return
	}
	// One text, so that comparing with it waits for memory once.
	text := string(key) + vary + string(p)
	varyAt, pickAt := len(key), len(key)+len(vary)
	pg := &page{key: store.Key(text[:varyAt]), first: pick{vary: text[varyAt:pickAt], pick: store.Pick(text[pickAt:])}}
	pg.first.level.Store(pack(1, now))
	pg.one[0] = &pg.first
	pg.list = pg.one[:]
	pg.picks.Store(&pg.list)

	s.mu.Lock()
	defer s.mu.Unlock()
	if b.find(key, tag) != nil { // somebody was faster
		return
	}
	s.remove(b, at)
	if !h.room(s, pg.bytes(), now) {
		return
	}
	b.pages[at].Store(pg)
	b.tags[at].Store(tag)
	s.keys++
	s.bytes += pg.bytes()
}

func (pg *page) bytes() int64 {
	n := int64(pageCost - pickCost + len(pg.key))
	for _, x := range *pg.picks.Load() {
		n += x.bytes()
	}
	return n
}

func (x *pick) bytes() int64 { return int64(pickCost + len(x.vary) + len(x.pick)) }

// remove forgets what is at a place. s.mu is held.
func (s *heatShard) remove(b *bucket, at int) {
	pg := b.pages[at].Load()
	if pg == nil {
		return
	}
	b.tags[at].Store(0)
	b.pages[at].Store(nil)
	s.keys--
	s.bytes -= pg.bytes()
}

// room makes room for so many bytes, by the same rule as places are given. It
// returns false where there is none. s.mu is held.
func (h *Heat) room(s *heatShard, need int64, now uint32) bool {
	if need > s.max/4 {
		return false
	}
	for tries := 0; s.bytes+need > s.max; {
		b := &s.buckets[s.hand%len(s.buckets)]
		s.hand++
		at, coldest := -1, float32(math.Inf(1))
		for i := range b.pages {
			if pg := b.pages[i].Load(); pg != nil {
				if c := h.countAll(pg, now); c < coldest {
					at, coldest = i, c
				}
			}
		}
		switch {
		case at < 0:
		case yields(coldest):
			s.remove(b, at)
		default:
			if tries++; tries == heatWays {
				return false
			}
		}
	}
	return true
}

// addPick makes a pick of a known key known. Picks for another Vary than the
// key's present one are of no use any more and go.
func (h *Heat) addPick(s *heatShard, pg *page, vary string, p store.Pick, now uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	have := *pg.picks.Load()
	list := make([]*pick, 0, len(have)+1)
	coldest := -1
	for _, x := range have {
		if x.vary != vary {
			continue
		}
		if x.pick == p {
			h.bump(x, now) // somebody was faster
			return
		}
		vary = x.vary // one copy does
		if list = append(list, x); coldest < 0 || h.count(x, now) < h.count(list[coldest], now) {
			coldest = len(list) - 1
		}
	}
	if len(list) == maxPicks {
		if !yields(h.count(list[coldest], now)) {
			return
		}
		list = slices.Delete(list, coldest, coldest+1)
	}
	x := &pick{vary: vary, pick: store.Pick(strings.Clone(string(p)))}
	if len(list) == 0 {
		x.vary = strings.Clone(vary)
	}
	x.level.Store(pack(1, now))
	before := pg.bytes()
	list = append(list, x)
	s.bytes += x.bytes() // as room sees it
	ok := s.bytes <= s.max || h.room(s, 0, now)
	s.bytes -= x.bytes()
	if _, b, tag := h.place(pg.key); !ok || b.find(pg.key, tag) != pg {
		return // it made room itself
	}
	pg.picks.Store(&list)
	s.bytes += pg.bytes() - before
}
