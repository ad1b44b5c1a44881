package fences

import (
	"strings"

	"surrogate/store"
)

// A Verdict gathers what has become of one ticket. Ticket and From are given,
// the rest is found; a Fell that is given is a fall found before.
type Verdict struct {
	Ticket store.Seq
	From   store.Seq // fences that are not newer were looked at before
	Last   store.Seq // the newest fall of those that were seen, 0 for none
	Dead   bool      // something fell hard
	Fell   int64     // the earliest soft fall in unix nanoseconds, 0 for none

	hard   store.Seq // the newest hard fall
	own    int64     // Fell as the entry's own names have it
	newest *fence    // the one of Last; only its name may be read without the lock
}

// Name is the newest name that fell, where Last is not 0. Of a long one it is
// what the fence goes by.
func (v *Verdict) Name() store.Name {
	if v.newest == nil {
		return store.AllName
	}
	return v.newest.name()
}

func (v *Verdict) see(f *fence) {
	if f == nil || f.last <= v.From || f.last <= v.Ticket {
		return
	}
	if f.last > v.Last {
		v.newest, v.Last = f, f.last
	}
	if f.hard > v.Ticket {
		v.Dead = true
		v.hard = max(v.hard, f.hard)
	} else if at := f.fell(v.Ticket); at != 0 && (v.Fell == 0 || at < v.Fell) {
		v.Fell = at
	}
}

// SeeURL adds a hard fall of a URL that somebody else remembers.
func (v *Verdict) SeeURL(url string, seq store.Seq) {
	v.see(&fence{kind: urlKind, text: url, hard: seq, last: seq})
}

// A Reader is a Book that stands still until Done, so that several looks agree.
// Whoever has it does nothing slow.
type Reader struct{ b *Book }

// Read returns the Book's Reader.
func (b *Book) Read() Reader {
	b.mu.RLock()
	return Reader{b}
}

// Done lets the Book go on.
func (r Reader) Done() { r.b.mu.RUnlock() }

// Judge looks at every fence that stands on e, and at where the sequence began.
func (b *Book) Judge(e *store.Entry, v *Verdict) {
	b.mu.RLock()
	Reader{b}.Entry(e, v)
	b.mu.RUnlock()
}

// Entry looks at every fence that stands on e, and at where the sequence began.
func (r Reader) Entry(e *store.Entry, v *Verdict) {
	b := r.b
	if v.Ticket < b.born {
		v.Dead, v.Last = true, max(v.Last, b.born)
	}
	r.URL(e.Key.URL(), e.Key.Host(), v)
	if e.Life.Flags.Has(store.CatchAll) {
		v.see(b.by[tagKind][string(store.CatchAllName)])
	}
	for n := range e.Tags.All() {
		r.Name(n, v)
	}
	for n := range e.Deps.All() {
		r.Name(n, v)
	}
	v.own = v.Fell
}

// Name looks at the fence that stands on a name.
func (r Reader) Name(n store.Name, v *Verdict) {
	k, text := kindOf(n)
	v.see(r.b.by[k][text])
}

// URL looks at the fences that stand on a URL itself.
func (r Reader) URL(url, host string, v *Verdict) {
	b := r.b
	v.see(b.by[tagKind][string(store.AllName)])
	v.see(b.by[hostKind][short(host)])
	v.see(b.by[urlKind][short(url)])
	for i := len(b.prefixes) - 1; i >= 0 && b.prefixes[i].last > v.From; i-- {
		if p := b.prefixes[i]; strings.HasPrefix(url, p.text) {
			v.see(p)
		}
	}
}

// Admit is what a Put has to answer after v was found, nil where it may go on:
// as Refusal has it, but for what only fell softly, which will be found stale
// whenever it is looked over by its own names, and need not be passed on.
func (r Reader) Admit(e *store.Entry, v *Verdict, cascade func() bool) error {
	err := r.Refusal(e, v, cascade)
	fell, ok := err.(*store.PurgedError)
	if ok && fell.Soft && !fell.Cascade && v.own != 0 && v.own == v.Fell && e.Ticket >= max(r.b.aged, r.b.Floor()) {
		return nil
	}
	return err
}

// Refusal says that a fence covers what v was found for, or may have; nil where
// none does. cascade reports whether somebody depends on the URL; it is asked
// only where the answer counts.
func (r Reader) Refusal(e *store.Entry, v *Verdict, cascade func() bool) error {
	b := r.b
	switch gone := max(b.aged, b.Floor()); {
	case v.Last != 0:
		return &store.PurgedError{
			Name:    v.Name(),
			Seq:     v.Last,
			Soft:    !v.Dead,
			Cascade: r.Unheard(e.Key.URL(), v) && cascade(),
		}
	case e.Ticket < gone: // fences that could have stood on this ticket are gone
		return &store.PurgedError{Name: store.AllName, Seq: gone, Cascade: cascade()}
	case e.Ticket > b.Seq():
		// Not a ticket of this sequence: no fence would ever be newer.
		return &store.PurgedError{Name: store.AllName, Seq: b.Seq()}
	}
	return nil
}

// Unheard reports whether what was made from a URL may stand although the URL
// fell as v says. A purge that knew puts a fence on the URL itself, at the same
// number; one of everything needs none.
func (r Reader) Unheard(url string, v *Verdict) bool {
	b := r.b
	u, all := b.by[urlKind][short(url)], b.by[tagKind][string(store.AllName)]
	var last, hard store.Seq
	for _, fc := range [...]*fence{u, all} {
		if fc != nil {
			last, hard = max(last, fc.last), max(hard, fc.hard)
		}
	}
	return v.Last > last || v.hard > hard
}
