package memstore

import (
	"context"
	"errors"
	"time"

	"surrogate/store"
	"surrogate/store/fences"
)

// Put implements store.Store.
func (s *Store) Put(_ context.Context, e *store.Entry) error {
	b, view := newBlock(e, names(e), &s.commons)
	err := s.put(e, b, &view)
	if err != nil {
		s.commons.leave(b.common)
	}
	return err
}

// put stores the block of e, whose entry it has as view.
func (s *Store) put(e *store.Entry, b *block, view *store.Entry) error {
	if b.size()*2 > s.opt.MaxBytes {
		return store.ErrTooLarge
	}
	b.pick = s.pickHash(e.Pick)

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return store.ErrClosed
	}
	now := time.Now()
	b.ends = now.Add(s.opt.MaxLife).UnixNano()
	if end := e.Life.Ends(); end.Before(now.Add(s.opt.MaxLife)) {
		b.ends = end.UnixNano()
	}
	if err := s.graph.add(e, b.ends, now.UnixNano()); err != nil {
		return err
	}
	if err := s.check(e, now.UnixNano(), fences.Reader.Admit); err != nil {
		s.refused.Add(1)
		if gone, ok := errors.AsType[*store.PurgedError](err); ok {
			s.fallen.add(e.Key.URL(), gone.Seq)
		}
		return err
	}
	if s.outdated(e) {
		return store.ErrNewer
	}
	s.insert(b, view, e.Bytes(), now.UnixNano())
	for !s.evict(64) {
		s.mu.Unlock()
		s.mu.Lock()
	}
	return nil
}

// Drop takes out what e would take the place of.
func (s *Store) Drop(e *store.Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := s.first(string(e.Key)); id != 0; {
		b := s.block(id)
		next := b.next.Load()
		if known := b.entry(); known.Vary != e.Vary || known.Pick == e.Pick {
			s.remove(id)
		}
		id = next
	}
}

// outdated reports whether something that e would take the place of is newer,
// and not dead. The caller holds Store.mu.
func (s *Store) outdated(e *store.Entry) bool {
	for id := s.first(string(e.Key)); id != 0; {
		b := s.block(id)
		known := b.entry()
		if (known.Vary != e.Vary || known.Pick == e.Pick) && known.Newer(e) && !s.deadAlready(b) {
			return true
		}
		id = b.next.Load()
	}
	return false
}

// Check implements store.Store.
func (s *Store) Check(e *store.Entry) error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	if e.Ticket == s.book.Seq() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.check(e, s.now(), fences.Reader.Refusal)
}

// A ruling is fences.Reader's Admit or Refusal.
type ruling func(fences.Reader, *store.Entry, *fences.Verdict, func() bool) error

// check compares e's ticket with the fences. Put calls it after e's edges are
// in the graph and before e can be seen. The caller holds Store.mu.
func (s *Store) check(e *store.Entry, now int64, says ruling) error {
	if e.Ticket == s.book.Seq() {
		return nil
	}
	v := fences.Verdict{Ticket: e.Ticket, From: e.Ticket}
	r := s.book.Read()
	defer r.Done()
	r.Entry(e, &v)
	s.graph.judge(e, r, now, &v)
	return says(r, e, &v, func() bool { return s.graph.depended(e.Key.URL(), now) })
}

// insert makes b visible. e is its entry as the block has it, held how much
// that holds.
func (s *Store) insert(b *block, e *store.Entry, held, now int64) {
	sh, number, hash := s.shardOf(string(e.Key))
	b.shard, b.hash = uint8(number), hash
	id := sh.find(s, hash, string(e.Key))
	if id != 0 {
		if known := s.block(id).entry(); known.Vary != e.Vary {
			for ; id != 0; id = sh.find(s, hash, string(e.Key)) {
				s.remove(id)
			}
		}
	}
	picks, last := 0, id
	for id != 0 {
		known := s.block(id)
		if known.pick == b.pick && known.entry().Pick == e.Pick {
			s.replace(id, b, e, held, now)
			return
		}
		picks, last = picks+1, id
		id = known.next.Load()
	}
	if picks >= s.opt.MaxPicks {
		s.remove(last)
		s.evictions++
	}
	id = s.recs.take()
	r := s.recs.at(id)
	s.publish(id, r, b)
	s.enter(id, b, e, held)
	s.enqueue(id, r)
	s.account(b, held, +1)
}

// replace puts b in the place of an entry with the same key and pick. The
// record keeps its number, its turn in the queue and its uses: it is the same
// thing, fetched again.
func (s *Store) replace(id uint32, b *block, e *store.Entry, held, now int64) {
	r := s.recs.at(id)
	old := r.block.Load()
	was, wasHeld := old.whole()
	s.leaves(old, &was, e, now)
	q := s.queue(r.where)
	q.bytes -= old.size()
	s.account(old, wasHeld, -1)
	s.index.leave(old, wasHeld)
	s.publish(id, r, b)
	s.commons.leave(old.common)
	s.enter(id, b, e, held)
	s.account(b, held, +1)
	q.bytes += b.size()
}

// publish lets Get see b as record id, the newest of its key. A Get sees what
// was before or what is after, never neither.
func (s *Store) publish(id uint32, r *record, b *block) {
	sh := &s.shards[b.shard]
	sh.keys.reserve() // while nobody waits
	sh.change()
	defer sh.done()
	if old := r.block.Load(); old != nil {
		sh.unchain(s, id, old)
	}
	head := sh.find(s, b.hash, b.key())
	b.next.Store(head)
	r.block.Store(b)
	if head != 0 {
		sh.keys.replace(b.hash, head, id)
	} else {
		sh.keys.insert(b.hash, id)
	}
}

// account counts an entry in, or out.
func (s *Store) account(b *block, held int64, sign int) {
	s.count += sign
	s.bytes += int64(sign) * b.size()
	s.held += int64(sign) * held
}

// remove takes an entry out of the store. The caller holds Store.mu.
func (s *Store) remove(id uint32) {
	r := s.recs.at(id)
	b := r.block.Load()
	e, held := b.whole()
	s.leaves(b, &e, nil, s.now())
	s.unlink(id, r)
	s.account(b, held, -1)
	s.index.leave(b, held)
	sh := &s.shards[b.shard]
	sh.change()
	sh.unchain(s, id, b)
	r.block.Store(nil)
	sh.done()
	s.commons.leave(b.common)
	r.uses.Store(0)
	s.recs.free(id)
}
