package tierstore

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync/atomic"
	"time"

	"surrogate/store"
	"surrogate/store/fences"
	"surrogate/store/memstore"
)

// A Below is the store below the memory.
type Below interface {
	store.Store
	// Book is what it judges tickets by.
	Book() *fences.Book
}

// Options of a Store. Below is needed.
type Options struct {
	Below Below
	// Memory is how the memory tier is to be; its Book is Below's.
	Memory memstore.Options
	// ServeDeaf lets a node that is deaf show what it has as if it heard. It may
	// have fallen for all the node knows.
	ServeDeaf bool
	// Fell is handed the keys that each hard purge took from memory, in batches, and
	// no keys when that was all. The slice is used again, and for its keys see
	// store.Swept. It may be nil, and must not wait.
	Fell func(ev store.Event, keys []store.Swept)
	// MaxPuts bounds the puts below under way at once; 256 if 0.
	MaxPuts int
}

// A Store is a memstore in front of another store.
type Store struct {
	mem   *memstore.Store
	below Below
	book  *fences.Book
	puts  chan struct{} // holds a token for each put below under way
	count counts

	lookups lookups

	failing   atomic.Bool // the latest lookup below failed
	hears     func() bool
	serveDeaf bool
	fell      func(ev store.Event, keys []store.Swept)
}

// counts are what Tally tells.
type counts struct {
	hits, below, missed   atomic.Uint64
	failed, alone, unkept atomic.Uint64
}

// A Tally is what a Store has done so far.
type Tally struct {
	Hits   uint64 // lookups that memory answered
	Below  uint64 // lookups that the store below answered
	Missed uint64 // lookups that nobody answered
	Failed uint64 // lookups that the store below failed
	Alone  uint64 // entries kept in memory alone: below there was no room, or no store to be had
	Unkept uint64 // entries not kept at all for that reason
}

// New returns a Store in front of o.Below, and a *Fleet if that is one. Nothing
// runs until Run is called.
func New(o Options) store.Store {
	if o.MaxPuts <= 0 {
		o.MaxPuts = 256
	}
	o.Memory.Book = o.Below.Book()
	s := &Store{
		mem: memstore.New(o.Memory), below: o.Below, book: o.Memory.Book,
		lookups: lookups{m: make(map[lookupID]*queue)},
		puts:    make(chan struct{}, o.MaxPuts), hears: func() bool { return true }, serveDeaf: o.ServeDeaf, fell: o.Fell,
	}
	if f, ok := o.Below.(store.Fleet); ok {
		s.hears = f.Hears
		return &Fleet{s, f}
	}
	return s
}

// Tally returns what the Store has done so far.
func (s *Store) Tally() Tally {
	c := &s.count
	return Tally{c.hits.Load(), c.below.Load(), c.missed.Load(), c.failed.Load(), c.alone.Load(), c.unkept.Load()}
}

// Memory returns what the memory tier holds.
func (s *Store) Memory(ctx context.Context) (store.Stats, error) { return s.mem.Stats(ctx) }

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key store.Key, ask store.Fields) (store.Found, error) {
	hears := s.hears() // first: see the package comment
	f, err := s.mem.Get(ctx, key, ask)
	if err != nil {
		return f, err
	}
	if f.Hit && (!hears || isFresh(&f, time.Now())) {
		s.count.hits.Add(1)
		f.Doubt = s.doubt(&f, hears)
		return f, nil
	}
	b, own, err := s.lookBelow(ctx, key, ask)
	if err == nil && s.failing.Load() {
		s.failing.Store(false)
	}
	switch {
	case errors.Is(err, store.ErrClosed) || err != nil && ctx.Err() != nil:
		return store.Found{}, err
	case err != nil:
		s.count.failed.Add(1)
		s.failing.Store(true)
	case b.Hit && !(f.Hit && !b.Entry.Newer(&f.Entry)):
		s.count.below.Add(1)
		b.Ticket = min(b.Ticket, f.Ticket)
		b.Doubt = s.doubt(&b, hears)
		if own && !b.Bodyless && b.Fell.IsZero() {
			_ = s.mem.Put(ctx, &b.Entry) // where it is refused, it is found below the next time too
		}
		return b, nil
	}
	switch {
	case f.Hit:
		s.count.hits.Add(1)
		f.Doubt = s.doubt(&f, hears)
	default:
		s.count.missed.Add(1)
		if f.Vary == "" {
			f.Vary = b.Vary
		}
	}
	return f, nil
}

// isFresh reports whether there is no point in looking for a newer entry.
func isFresh(f *store.Found, now time.Time) bool {
	return !f.Doubt && f.Fell.IsZero() && now.Before(f.Entry.Life.Expires())
}

// doubt reports whether what was found has to be revalidated before use.
func (s *Store) doubt(f *store.Found, hears bool) bool {
	if s.serveDeaf {
		// The store below doubts what it finds while it is deaf.
		return f.Entry.Ticket < s.book.Floor()
	}
	return f.Doubt || !hears
}

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, e *store.Entry) error {
	err := s.putBelow(ctx, e)
	switch {
	case err == nil:
		// Where memory refuses it, because a purge has come in between or it
		// remembers something longer, Get finds it below, or finds it fallen. What is
		// newer than e stays.
		if err := s.mem.Put(ctx, e); err != nil && !errors.Is(err, store.ErrNewer) {
			s.mem.Drop(e)
		}
		return nil
	case errors.Is(err, store.ErrPurged), errors.Is(err, store.ErrNewer), errors.Is(err, store.ErrTooLarge), errors.Is(err, store.ErrEdges), errors.Is(err, store.ErrClosed):
		return err
	case dependsOnURL(e):
		s.count.unkept.Add(1)
		return nil
	}
	s.count.alone.Add(1)
	return s.mem.Put(ctx, e)
}

var (
	errDeaf    = errors.New("tierstore: this node is deaf")
	errFull    = errors.New("tierstore: too many puts are under way")
	errFailing = errors.New("tierstore: the store below does not answer")
)

func (s *Store) putBelow(ctx context.Context, e *store.Entry) error {
	if !s.hears() {
		return errDeaf
	}
	select {
	case s.puts <- struct{}{}:
	default:
		return errFull
	}
	defer func() { <-s.puts }()
	return s.below.Put(ctx, e)
}

// dependsOnURL reports whether an entry takes part in cascades.
func dependsOnURL(e *store.Entry) bool {
	if !strings.Contains(string(e.Deps), string(store.URLName(""))) {
		return false
	}
	for d := range e.Deps.All() {
		if _, ok := d.URL(); ok {
			return true
		}
	}
	return false
}

// Check implements store.Store.
func (s *Store) Check(e *store.Entry) error { return s.mem.Check(e) }

// Purge implements store.Store. The fences it raises stand in memory too.
func (s *Store) Purge(ctx context.Context, p store.Purge) (store.Event, error) {
	return s.below.Purge(ctx, p)
}

// Dependents implements store.Store.
func (s *Store) Dependents(ctx context.Context, names []store.Name) ([]store.Name, error) {
	return s.below.Dependents(ctx, names)
}

// Sweep implements store.Store. Each node's Run sweeps its memory.
func (s *Store) Sweep(ctx context.Context, ev store.Event) iter.Seq2[store.Swept, error] {
	return s.below.Sweep(ctx, ev)
}

// Events implements store.Store.
func (s *Store) Events(ctx context.Context, after store.Seq) iter.Seq2[store.Event, error] {
	return s.below.Events(ctx, after)
}

// Count implements store.Store.
func (s *Store) Count(ctx context.Context, name store.Name) (store.Count, error) {
	return s.below.Count(ctx, name)
}

// List implements store.Store.
func (s *Store) List(ctx context.Context, name store.Name, cursor string, limit int) ([]store.Entry, string, error) {
	return s.below.List(ctx, name, cursor, limit)
}

// Stats implements store.Store: it describes the store below or, while that
// fails, the memory.
func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	st, err := s.below.Stats(ctx)
	if err != nil && !errors.Is(err, store.ErrClosed) && ctx.Err() == nil {
		return s.mem.Stats(ctx)
	}
	return st, err
}

// Close implements store.Store.
func (s *Store) Close() error { return errors.Join(s.below.Close(), s.mem.Close()) }
