package memstore

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"surrogate/store"
)

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

// kindOf takes a name apart.
func kindOf(n store.Name) (kind, string) {
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

// fences are the sequence and the fences standing.
//
// The order of things that everything rests on: raise writes all fences of a
// purge and then, still under mu, the new sequence number. Whoever loads seq
// and looks at the fences afterwards, under mu, sees all fences up to that
// number. So a record that was looked over after seq had been loaded may be
// marked as verified at that seq, never at a later one.
type fences struct {
	seq   atomic.Uint64 // the last purge
	floor atomic.Uint64 // the newest fence that was folded: older tickets are in doubt

	mu       sync.RWMutex // guards what follows; held for map accesses only
	by       [kinds]map[string]*fence
	prefixes []*fence // those of prefixKind, in order of last
	oldest   *fence
	newest   *fence
	n        int
	aged     store.Seq // the newest fence dropped for its age

	maxFences, maxPrefixes int
	maxLife                time.Duration
}

// raise lets names, and CatchAllName, fall at one new sequence number and
// calls log with it before anyone can learn of it.
func (f *fences) raise(names []store.Name, soft bool, now time.Time, log func(store.Seq)) {
	at := now.UnixNano()
	f.mu.Lock()
	defer f.mu.Unlock()
	seq := store.Seq(f.seq.Load() + 1)
	for _, n := range names {
		f.fall(n, seq, at, soft)
	}
	f.fall(store.CatchAllName, seq, at, soft)
	f.trim(at)
	log(seq)
	f.seq.Store(uint64(seq))
}

func (f *fences) fall(n store.Name, seq store.Seq, at int64, soft bool) {
	k, text := kindOf(n)
	if f.by[k] == nil {
		f.by[k] = make(map[string]*fence)
	}
	fc := f.by[k][text]
	switch {
	case fc == nil:
		text = strings.Clone(text)
		fc = &fence{kind: k, text: text}
		f.by[k][text] = fc
		f.n++
	case fc.last == seq:
		return // named twice
	default:
		f.unlink(fc)
	}
	fc.raise(seq, at, soft)
	fc.prev, fc.next = f.newest, nil
	if f.newest != nil {
		f.newest.next = fc
	} else {
		f.oldest = fc
	}
	f.newest = fc
	if k == prefixKind {
		f.prefixes = append(f.prefixes, fc)
	}
}

func (f *fences) unlink(fc *fence) {
	if fc.prev != nil {
		fc.prev.next = fc.next
	} else {
		f.oldest = fc.next
	}
	if fc.next != nil {
		fc.next.prev = fc.prev
	} else {
		f.newest = fc.prev
	}
	if fc.kind == prefixKind {
		for i, p := range f.prefixes {
			if p == fc {
				f.prefixes = append(f.prefixes[:i], f.prefixes[i+1:]...)
				break
			}
		}
	}
}

func (f *fences) drop(fc *fence) {
	f.unlink(fc)
	delete(f.by[fc.kind], fc.text)
	f.n--
}

// trim drops the fences that nothing can depend on any more, and folds the
// oldest where there are too many.
//
// A fence older than maxLife covers nothing: what it covers was stored before
// it was raised, for Put refuses such tickets since, and has ended by now, for
// Put caps every life. Only a Put that comes now with a ticket from before the
// fence could bring it back: aged refuses that.
func (f *fences) trim(now int64) {
	for fc := f.oldest; fc != nil && fc.at < now-int64(f.maxLife); fc = f.oldest {
		f.aged = max(f.aged, fc.last)
		f.drop(fc)
	}
	for f.n > f.maxFences {
		f.fold(f.oldest)
	}
	for len(f.prefixes) > f.maxPrefixes {
		f.fold(f.prefixes[0])
	}
}

// fold forgets a fence that may still cover something: everything as old as
// that is in doubt from now on. Get loads the floor after it looked at the
// fences, so it sees the fence or the floor.
func (f *fences) fold(fc *fence) {
	f.floor.Store(max(f.floor.Load(), uint64(fc.last)))
	f.drop(fc)
}

// A verdict gathers what has become of one ticket.
type verdict struct {
	ticket store.Seq
	from   store.Seq // fences that are not newer were looked at before
	newest *fence    // the newest of those that fell; only its name may be read without mu
	last   store.Seq // when that was
	hard   store.Seq // the newest hard fall
	dead   bool      // something fell hard
	fell   int64     // the earliest soft fall, 0 for none
}

func (v *verdict) see(f *fence) {
	if f == nil || f.last <= v.from || f.last <= v.ticket {
		return
	}
	if f.last > v.last {
		v.newest, v.last = f, f.last
	}
	if f.hard > v.ticket {
		v.dead = true
		v.hard = max(v.hard, f.hard)
	} else if at := f.fell(v.ticket); at != 0 && (v.fell == 0 || at < v.fell) {
		v.fell = at
	}
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

// unheard reports whether what was made from a URL may stand although the URL
// fell as v says. A purge that knew puts a fence on the URL itself, at the same
// number; one of everything needs none. The caller holds mu.
func (f *fences) unheard(url string, v *verdict) bool {
	u, all := f.by[urlKind][url], f.by[tagKind][string(store.AllName)]
	var last, hard store.Seq
	for _, fc := range [...]*fence{u, all} {
		if fc != nil {
			last, hard = max(last, fc.last), max(hard, fc.hard)
		}
	}
	return v.last > last || v.hard > hard
}

// judge looks at every fence that stands on e. The caller holds mu.
func (f *fences) judge(e *store.Entry, v *verdict) {
	f.judgeURL(e.Key.URL(), e.Key.Host(), v)
	if e.Life.Flags.Has(store.CatchAll) {
		v.see(f.by[tagKind][string(store.CatchAllName)])
	}
	for n := range e.Tags.All() {
		f.judgeName(n, v)
	}
	for n := range e.Deps.All() {
		f.judgeName(n, v)
	}
}

func (f *fences) judgeName(n store.Name, v *verdict) {
	k, text := kindOf(n)
	v.see(f.by[k][text])
}

// judgeURL looks at the fences that stand on a URL itself.
func (f *fences) judgeURL(url, host string, v *verdict) {
	v.see(f.by[tagKind][string(store.AllName)])
	v.see(f.by[hostKind][host])
	v.see(f.by[urlKind][url])
	for i := len(f.prefixes) - 1; i >= 0 && f.prefixes[i].last > v.from; i-- {
		if p := f.prefixes[i]; strings.HasPrefix(url, p.text) {
			v.see(p)
		}
	}
}

// tooOld reports whether fences that could have stood on this ticket are
// gone. The caller holds mu.
func (f *fences) tooOld(ticket store.Seq) bool {
	return ticket < max(f.aged, store.Seq(f.floor.Load()))
}
