package warm

import (
	"hash/maphash"
	"sync/atomic"
	"time"

	"surrogate/store"
)

// Marks remember which entries were stored by warming and not asked for yet, to
// tell what warming was good for. They are statistics: what they hold is bounded
// and a hash of what it stands for, so they forget some, and may rarely take one
// entry for another.
//
// Every hit looks here. While there are no marks that is one comparison, else a
// hash and one cache line that is written to only when a mark is used.
type Marks struct {
	seed   maphash.Seed
	epoch  time.Time
	held   atomic.Int64
	used   atomic.Uint64
	unused atomic.Uint64
	places []markPlaces
}

// A place holds, from its high bits, 20 of the key's hash, 20 of what tells the
// key's entries apart, and when the entry ends, in minutes since epoch. 0 is
// empty.
type markPlaces [8]atomic.Uint64

const (
	markPlacesLen = 1 << 13 // half a MiB, 65,536 marks
	endBits       = 24
	tellBits      = 20
)

// NewMarks returns Marks that hold nothing.
func NewMarks() *Marks {
	return &Marks{seed: maphash.MakeSeed(), epoch: time.Now(), places: make([]markPlaces, markPlacesLen)}
}

// place returns where the marks of a key are, and the high bits of all of them.
func (m *Marks) place(key store.Key) (*markPlaces, uint64) {
	sum := maphash.String(m.seed, string(key))
	return &m.places[sum%markPlacesLen], sum >> (64 - 20) << (64 - 20)
}

func (m *Marks) tell(pick store.Pick, born time.Time) uint64 {
	sum := maphash.String(m.seed, string(pick)) ^ uint64(born.UnixNano())*0x9e3779b97f4a7c15
	return sum >> (64 - tellBits) << endBits
}

const tellMask = (1<<tellBits - 1) << endBits

func (m *Marks) minutes(t time.Time) uint64 {
	return uint64(min(max(0, t.Sub(m.epoch)/time.Minute)+1, 1<<endBits-1))
}

// Add marks an entry that warming has stored.
func (m *Marks) Add(e *store.Entry) {
	now := m.minutes(time.Now())
	places, key := m.place(e.Key)
	mark := key | m.tell(e.Pick, e.Life.Born) | max(m.minutes(e.Life.Expires()), now)
	at, least := 0, ^uint64(0)
	for i := range places {
		old := places[i].Load()
		end := old & (1<<endBits - 1)
		if old == 0 {
			at, least = i, 0
			break
		}
		if end < least {
			at, least = i, end
		}
	}
	// Where all are taken, the one that ends first is forgotten.
	if places[at].Swap(mark) == 0 {
		m.held.Add(1)
	}
}

// Used takes the mark off an entry that a visitor was given, if it has one.
func (m *Marks) Used(key store.Key, pick store.Pick, born time.Time) {
	if m.held.Load() == 0 {
		return
	}
	places, mark := m.place(key)
	mark |= m.tell(pick, born)
	for i := range places {
		if old := places[i].Load(); old != 0 && old>>endBits == mark>>endBits && places[i].CompareAndSwap(old, 0) {
			m.held.Add(-1)
			m.used.Add(1)
			return
		}
	}
}

// Fell takes the marks off what fell before anyone asked for it.
func (m *Marks) Fell(key store.Key) {
	if m.held.Load() == 0 {
		return
	}
	places, mark := m.place(key)
	for i := range places {
		if old := places[i].Load(); old != 0 && (old&^tellMask)>>endBits == mark>>endBits {
			m.drop(&places[i], old)
		}
	}
}

// Expire takes the marks off what is not fresh any more.
func (m *Marks) Expire(now time.Time) {
	if m.held.Load() == 0 {
		return
	}
	for i := range m.places {
		for j := range m.places[i] {
			if old := m.places[i][j].Load(); old != 0 && old&(1<<endBits-1) < m.minutes(now) {
				m.drop(&m.places[i][j], old)
			}
		}
	}
}

func (m *Marks) drop(place *atomic.Uint64, old uint64) {
	if place.CompareAndSwap(old, 0) {
		m.held.Add(-1)
		m.unused.Add(1)
	}
}

// A MarksTally is what became of what was warmed.
type MarksTally struct {
	Used    uint64 // was asked for: a visitor who did not wait for the origin
	Unused  uint64 // fell or expired, and nobody had asked for it
	Waiting int64  // neither yet
}

// Tally returns what became of what was warmed.
func (m *Marks) Tally() MarksTally {
	return MarksTally{m.used.Load(), m.unused.Load(), m.held.Load()}
}
