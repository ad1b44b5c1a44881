package fences

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"surrogate/store"
)

// Options of a Book. All have to be set.
type Options struct {
	MaxFences   int           // fences standing
	MaxPrefixes int           // fences standing on prefixes
	MaxLife     time.Duration // the longest life of an entry, windows included
}

// A Book is a sequence and the fences standing.
type Book struct {
	seq   atomic.Uint64 // the last purge
	floor atomic.Uint64 // the newest fence that was folded: older tickets are in doubt
	opt   Options
	_     [128]byte // every hit loads seq: the lock has cache lines of its own

	mu sync.RWMutex // guards what follows; held for map accesses only
	fenced
}

// fenced are the fences themselves, which Replace replaces as a whole.
type fenced struct {
	by       [kinds]map[string]*fence
	prefixes []*fence // those of prefixKind, in order of last
	oldest   *fence
	newest   *fence
	n        int
	bytes    int64     // about what the fences cost
	aged     store.Seq // the newest fence dropped for its age
	born     store.Seq // where the sequence began: older tickets are dead
}

// New returns a Book without fences, at sequence number 0.
func New(opt Options) *Book { return &Book{opt: opt} }

// Seq is the last purge whose fences stand.
func (b *Book) Seq() store.Seq { return store.Seq(b.seq.Load()) }

// Floor is the newest fence that was folded. Load it after looking at the
// fences: then either the fence is seen or the floor.
func (b *Book) Floor() store.Seq { return store.Seq(b.floor.Load()) }

// Len is how many fences stand.
func (b *Book) Len() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.n
}

// Bytes is about how much memory the fences take.
func (b *Book) Bytes() int64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.bytes
}

// Takes returns store.ErrTooManyPrefixes if names have more prefixes than may
// stand at once: the purge's own fences would fold, and leave everything in doubt.
func (b *Book) Takes(names []store.Name) error {
	n := 0
	for _, name := range names {
		if k, _ := kindOf(name); k == prefixKind {
			n++
		}
	}
	if n > b.opt.MaxPrefixes {
		return fmt.Errorf("%w: %d, and the limit is %d; purge their host, or a few at a time", store.ErrTooManyPrefixes, n, b.opt.MaxPrefixes)
	}
	return nil
}

// Raise lets names, and CatchAllName, fall at one new sequence number and
// calls log with it before anyone can learn of it.
func (b *Book) Raise(names []store.Name, soft bool, now time.Time, log func(store.Seq)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	seq := b.Seq() + 1
	b.fell(seq, names, soft, now.UnixNano())
	log(seq)
	b.seq.Store(uint64(seq))
}

// Apply lets the names of an event, and CatchAllName, fall at its sequence
// number. One that is not newer than the last changes nothing.
func (b *Book) Apply(ev *store.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ev.Seq <= b.Seq() {
		return
	}
	b.fell(ev.Seq, ev.Names, ev.Soft, ev.At.UnixNano())
	b.seq.Store(uint64(ev.Seq))
}

func (b *Book) fell(seq store.Seq, names []store.Name, soft bool, at int64) {
	for _, n := range names {
		b.fall(n, seq, at, soft)
	}
	b.fall(store.CatchAllName, seq, at, soft)
	b.trim(at)
}

func (b *Book) fall(n store.Name, seq store.Seq, at int64, soft bool) {
	k, text := kindOf(n)
	fc := b.by[k][text]
	if fc == nil {
		fc = b.add(k, text)
	} else {
		b.unlink(fc)
	}
	// A fence that is as new as that is complete already: the name came twice, or
	// the fence was loaded when the log had gone on. It is the newest again, so
	// that the order is right once the log has been applied as far.
	if fc.last < seq {
		b.bytes -= fc.cost()
		fc.raise(seq, at, soft)
		b.bytes += fc.cost()
	}
	b.link(fc)
}

// add makes a fence, which has yet to be linked.
func (b *Book) add(k kind, text string) *fence {
	if b.by[k] == nil {
		b.by[k] = make(map[string]*fence)
	}
	text = strings.Clone(text)
	fc := &fence{kind: k, text: text}
	b.by[k][text] = fc
	b.n++
	b.bytes += fc.cost()
	return fc
}

// link makes fc the newest.
func (b *Book) link(fc *fence) {
	fc.prev, fc.next = b.newest, nil
	if b.newest != nil {
		b.newest.next = fc
	} else {
		b.oldest = fc
	}
	b.newest = fc
	if fc.kind == prefixKind {
		b.prefixes = append(b.prefixes, fc)
	}
}

func (b *Book) unlink(fc *fence) {
	if fc.prev != nil {
		fc.prev.next = fc.next
	} else {
		b.oldest = fc.next
	}
	if fc.next != nil {
		fc.next.prev = fc.prev
	} else {
		b.newest = fc.prev
	}
	if fc.kind == prefixKind {
		// It is the oldest nearly always: of many that go at once, each costs the same.
		if b.prefixes[0] == fc {
			b.prefixes[0] = nil
			b.prefixes = b.prefixes[1:]
		} else if i := slices.Index(b.prefixes, fc); i > 0 {
			b.prefixes = slices.Delete(b.prefixes, i, i+1)
		}
	}
}

func (b *Book) drop(fc *fence) {
	b.unlink(fc)
	delete(b.by[fc.kind], fc.text)
	b.n--
	b.bytes -= fc.cost()
}

// Trim drops the fences that nothing can depend on any more.
func (b *Book) Trim(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trim(now.UnixNano())
}

// trim drops the fences that have aged, and folds the oldest where there are
// too many.
func (b *Book) trim(now int64) {
	for fc := b.oldest; fc != nil && fc.at < now-int64(b.opt.MaxLife); fc = b.oldest {
		b.aged = max(b.aged, fc.last)
		b.drop(fc)
	}
	for b.n > b.opt.MaxFences {
		b.fold(b.oldest)
	}
	for len(b.prefixes) > b.opt.MaxPrefixes {
		b.fold(b.prefixes[0])
	}
}

// fold forgets a fence that may still cover something: everything as old as
// that is in doubt from now on. Whoever loads the floor after he looked at the
// fences sees the fence or the floor.
func (b *Book) fold(fc *fence) {
	b.floor.Store(max(b.floor.Load(), uint64(fc.last)))
	b.drop(fc)
}

// A Standing is one fence, as another Book had it or somebody kept it.
type Standing struct {
	Name store.Name
	Hard store.Seq // the last hard fall, 0 for none
	Last store.Seq // the last fall of either sort
	At   time.Time // when that was
	Soft []Fall    // the soft falls since Hard, in order
}

// A Fall is a soft fall.
type Fall struct {
	Seq store.Seq
	At  time.Time
}

// A Snapshot is what a Book is made of.
type Snapshot struct {
	Seq   store.Seq
	Floor store.Seq
	Aged  store.Seq // how far the fences reached that were dropped for their age
	Born  store.Seq // where the sequence began
}

// Replace makes the Book what s says, with the fences standing, which come in
// order of Last; a name that comes twice is taken as it comes last. Nobody ever
// sees half of it.
func (b *Book) Replace(s Snapshot, standing iter.Seq[Standing]) {
	n := Book{opt: b.opt}
	n.floor.Store(uint64(s.Floor))
	n.aged, n.born = s.Aged, s.Born
	for st := range standing {
		k, text := kindOf(st.Name)
		fc := n.by[k][text]
		if fc == nil {
			fc = n.add(k, text)
		} else {
			n.unlink(fc)
		}
		n.bytes -= fc.cost()
		fc.hard, fc.last, fc.at, fc.soft = st.Hard, st.Last, st.At.UnixNano(), nil
		for _, f := range st.Soft {
			fc.soft = append(fc.soft, fall{f.Seq, f.At.UnixNano()})
		}
		n.bytes += fc.cost()
		n.link(fc)
	}
	n.trim(time.Now().UnixNano())

	b.mu.Lock()
	defer b.mu.Unlock()
	b.fenced = n.fenced
	b.floor.Store(n.floor.Load())
	b.seq.Store(uint64(s.Seq))
}

// Snapshot returns what the Book is made of, fences in order of Last. The caller
// owns the result.
func (b *Book) Snapshot() (Snapshot, []Standing) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	standing := make([]Standing, 0, b.n)
	for fc := b.oldest; fc != nil; fc = fc.next {
		st := Standing{Name: fc.name(), Hard: fc.hard, Last: fc.last, At: time.Unix(0, fc.at)}
		for _, f := range fc.soft {
			st.Soft = append(st.Soft, Fall{f.seq, time.Unix(0, f.at)})
		}
		standing = append(standing, st)
	}
	return Snapshot{Seq: b.Seq(), Floor: b.Floor(), Aged: b.aged, Born: b.born}, standing
}
