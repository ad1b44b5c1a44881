package memstore

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"surrogate/store"
	"surrogate/store/fences"
)

// Options of a Store. The zero value is usable.
type Options struct {
	MaxBytes    int64         // memory for entries, records and index, not for what the other bounds are for; 256 MiB
	MaxLife     time.Duration // the longest life of an entry, windows included; 7 days
	MaxFences   int           // fences standing; 1,000,000
	MaxPrefixes int           // fences standing on prefixes; 1,024
	MaxPicks    int           // entries under one key; 100
	MaxEdges    int           // dependency edges; 4,000,000
	MaxEdgeText int64         // bytes of the URLs and names that edges are between; 64 an edge
	Log         int           // purges in the log; 10,000

	// Book are the fences to judge by, when somebody else raises them: then the
	// store is the memory tier of another, and Purge is not for it. nil: its own.
	Book *fences.Book
}

func (o Options) withDefaults() Options {
	def := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 256 << 20
	}
	if o.MaxLife <= 0 {
		o.MaxLife = 7 * 24 * time.Hour
	}
	def(&o.MaxFences, 1_000_000)
	def(&o.MaxPrefixes, 1024)
	def(&o.MaxPicks, 100)
	def(&o.MaxEdges, 4_000_000)
	if o.MaxEdgeText <= 0 {
		o.MaxEdgeText = 64 * int64(o.MaxEdges)
	}
	def(&o.Log, 10_000)
	return o
}

const shards = 64

// A Store is a store.Store in this process's memory.
type Store struct {
	opt     Options
	seed    maphash.Seed
	closed  atomic.Bool
	book    *fences.Book
	recs    slab[record] // its numbers are under mu
	shards  [shards]shard
	commons commons

	log     purgeLog
	graph   graph
	refused atomic.Uint64

	mu        sync.Mutex // guards what follows, and all changes of shards, recs and graph
	index     index
	queues    [main + 1]queue
	ghosts    ghosts
	fallen    fallen
	count     int   // records
	bytes     int64 // what they cost
	held      int64 // what their entries hold
	hand      uint32
	evictions uint64
	expired   uint64
	swept     uint64
}

// New returns an empty store. Nothing runs until Run is called, and everything
// but freeing what has died of age works without.
func New(opt Options) *Store {
	opt = opt.withDefaults()
	s := &Store{opt: opt, seed: maphash.MakeSeed(), log: newPurgeLog(opt.Log)}
	s.index.seed, s.index.recs = s.seed, &s.recs
	s.commons.seed = s.seed
	if s.book = opt.Book; s.book == nil {
		s.book = fences.New(fences.Options{MaxFences: opt.MaxFences, MaxPrefixes: opt.MaxPrefixes, MaxLife: opt.MaxLife})
	}
	s.graph = graph{
		nodes:   make(map[string]*node),
		names:   make(map[store.Name]*source),
		max:     opt.MaxEdges,
		maxText: opt.MaxEdgeText,
		maxLife: int64(opt.MaxLife),
		carried: s.carried,
		fell:    s.fallen.last,
	}
	s.fallen.seed = s.seed
	return s
}

// Book is what the store judges tickets by.
func (s *Store) Book() *fences.Book { return s.book }

func (s *Store) now() int64 { return time.Now().UnixNano() }

func (s *Store) shardOf(key string) (sh *shard, number, hash uint32) {
	h := maphash.String(s.seed, key)
	number = uint32(h >> 58)
	return &s.shards[number], number, uint32(h)
}

func (s *Store) pickHash(p store.Pick) uint32 {
	if p == "" {
		return 0
	}
	return uint32(maphash.String(s.seed, string(p)))
}

// Get implements store.Store.
func (s *Store) Get(_ context.Context, key store.Key, ask store.Fields) (f store.Found, err error) {
	if s.closed.Load() {
		return store.Found{}, store.ErrClosed
	}
	// The ticket is loaded before anything is looked at: a purge that comes
	// later is newer than it.
	f.Ticket = s.book.Seq()
	sh, _, hash := s.shardOf(string(key))
	var w want
	var x sight
	for {
		s.seek(sh, hash, string(key), &w, &x, &f.Entry)
		if x.block == nil || f.Entry.Vary == w.vary {
			break
		}
		// By the time the request's fields are read the key may be known by
		// another Vary.
		w.vary, w.alt = f.Entry.Vary, ""
		if p, ok := ask.(store.Picker); ok {
			if w.pick, ok = p.PickFor(w.vary); ok {
				w.hash = s.pickHash(w.pick)
				continue
			}
		}
		w.pick = store.PickOf(w.vary, ask)
		w.hash = s.pickHash(w.pick)
		w.alt = store.AltPick(w.vary, ask)
	}
	f.Vary = w.vary
	if x.block == nil {
		return f, nil
	}
	if !s.look(x.block, &f.Entry, &f) {
		f.Entry = store.Entry{}
		return f, nil
	}
	f.Hit, f.Entry.Body = true, x.content()
	return f, nil
}

// look decides whether an entry may be shown, and fills in what f says about it.
//
// Put looked at the fences before the entry could be seen, and a purge may
// have come between, and Put lets soft fences pass. Therefore seen begins as the
// entry's ticket: whatever is newer is looked at here.
func (s *Store) look(b *block, e *store.Entry, f *store.Found) bool {
	if time.Now().UnixNano() >= b.ends {
		return false
	}
	fell := int64(0)
	if b.seen.Load() >= uint64(f.Ticket) {
		fell = b.fell.Load()
	} else {
		v := fences.Verdict{Ticket: b.ticket, From: store.Seq(b.seen.Load()), Fell: b.fell.Load()}
		s.book.Judge(e, &v)
		if v.Dead {
			return false
		}
		// Never 0 over what another Get found: it may have looked lateb.
		if fell = v.Fell; fell != 0 {
			b.fell.Store(fell)
		}
		b.seen.Store(uint64(f.Ticket))
	}
	if fell != 0 {
		f.Fell = time.Unix(0, fell)
	}
	f.Doubt = b.ticket < s.book.Floor()
	return true
}

// Purge implements store.Store.
func (s *Store) Purge(ctx context.Context, p store.Purge) (store.Event, error) {
	if err := s.usable(ctx); err != nil {
		return store.Event{}, err
	}
	if err := s.book.Takes(p.Names); err != nil {
		return store.Event{}, err
	}
	ev := store.Event{Purge: p, At: time.Now()}
	s.book.Raise(p.Names, p.Soft, ev.At, func(seq store.Seq) {
		ev.Seq = seq
		s.log.append(ev)
	})
	return ev, nil
}

// usable says why a call need not begin.
func (s *Store) usable(ctx context.Context) error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	return ctx.Err()
}

// Dependents implements store.Store.
func (s *Store) Dependents(ctx context.Context, names []store.Name) ([]store.Name, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	return s.graph.dependents(names, s.now()), nil
}

// Count implements store.Store.
func (s *Store) Count(ctx context.Context, n store.Name) (store.Count, error) {
	if err := s.usable(ctx); err != nil {
		return store.Count{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n == store.AllName {
		return store.Count{Entries: s.count, Bytes: s.held}, nil
	}
	var c store.Count
	if url, ok := n.URL(); ok {
		s.each(url, func(b *block) {
			c.Entries++
			c.Bytes += b.held()
		})
	}
	if nm := s.index.get(string(n)); nm != nil {
		c.Entries += len(s.index.members(nm))
		c.Bytes += s.index.held(nm)
	}
	return c, nil
}

// each visits the entries of a URL, both schemes and all picks. The caller
// holds Store.mu.
func (s *Store) each(url string, visit func(b *block)) {
	for _, scheme := range [...]string{"http://", "https://"} {
		for id := s.first(scheme + url); id != 0; {
			b := s.block(id)
			visit(b)
			id = b.next.Load()
		}
	}
}

// carried is what the graph asks the store.
func (s *Store) carried(url string, yield func(e *store.Entry, ends int64)) {
	s.each(url, func(b *block) {
		e := b.entry()
		yield(&e, b.ends)
	})
}

// Stats implements store.Store.
func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	if err := s.usable(ctx); err != nil {
		return store.Stats{}, err
	}
	st := store.Stats{
		Capacity:   s.opt.MaxBytes,
		FenceBytes: s.book.Bytes(),
		LogBytes:   s.log.cost(),
		Refused:    s.refused.Load(),
	}
	st.Edges, st.EdgeBytes = s.graph.count()
	st.Fences, st.Seq, st.Floor = s.book.Len(), s.book.Seq(), s.book.Floor()
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Entries, st.Bytes, st.Names = s.count, s.used(), s.index.n
	st.Evictions, st.Expired, st.Swept = s.evictions, s.expired, s.swept
	return st, nil
}

// used is what counts against MaxBytes.
func (s *Store) used() int64 { return s.bytes + s.index.bytes + s.commons.bytes.Load() }

// Close implements store.Store.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.log.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	// No Get finds a record once the shards are empty. What it found before
	// stays alive with it; the rest is the garbage collector's.
	for i := range s.shards {
		sh := &s.shards[i]
		sh.change()
		sh.keys.drop()
		sh.done()
	}
	s.recs.drop()
	s.index.drop()
	s.commons.drop()
	s.queues = [main + 1]queue{}
	s.ghosts = ghosts{}
	s.fallen.sets = nil
	s.count, s.bytes, s.held = 0, 0, 0
	return nil
}
