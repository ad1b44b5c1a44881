package memstore

import (
	"context"
	"errors"
	"time"
	"unsafe"

	"surrogate/store"
	"surrogate/store/fences"
)

// Put implements store.Store.
func (s *Store) Put(_ context.Context, e *store.Entry) error {
	blob, big := encode(e)
	n := record{blob: pack(blob), big: big, ticket: e.Ticket, pick: s.pickHash(e.Pick)}
	if n.size()*2 > s.opt.MaxBytes {
		return store.ErrTooLarge
	}
	view, _, _ := decode(blob)
	n.keyAt, n.keyLen = offset(blob, string(view.Key)), uint32(len(view.Key))

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Load() {
		return store.ErrClosed
	}
	now := time.Now()
	n.ends = now.Add(s.opt.MaxLife).UnixNano()
	if end := e.Life.Ends(); end.Before(now.Add(s.opt.MaxLife)) {
		n.ends = end.UnixNano()
	}
	if err := s.graph.add(e, n.ends, now.UnixNano()); err != nil {
		return err
	}
	n.seen.Store(uint64(e.Ticket)) // whatever is newer, look looks at
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
	s.insert(&n, &view, now.UnixNano())
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
		r := s.recs.at(id)
		next := r.next
		if known := r.entry(); known.Vary != e.Vary || known.Pick == e.Pick {
			s.remove(id, r)
		}
		id = next
	}
}

// outdated reports whether something that e would take the place of is newer,
// and not dead. The caller holds Store.mu.
func (s *Store) outdated(e *store.Entry) bool {
	for id := s.first(string(e.Key)); id != 0; id = s.recs.at(id).next {
		r := s.recs.at(id)
		known := r.entry()
		if (known.Vary != e.Vary || known.Pick == e.Pick) && known.Newer(e) && !s.deadAlready(r) {
			return true
		}
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

// insert makes n visible. e is its entry as the blob has it.
func (s *Store) insert(n *record, e *store.Entry, now int64) {
	sh, number, hash := s.shardOf(string(e.Key))
	n.shard, n.hash = uint8(number), hash
	id := sh.find(s, hash, string(e.Key))
	if id != 0 {
		if known := s.recs.at(id).entry(); known.Vary != e.Vary {
			for ; id != 0; id = sh.find(s, hash, string(e.Key)) {
				s.remove(id, s.recs.at(id))
			}
		}
	}
	picks, last := 0, id
	for ; id != 0; id = s.recs.at(id).next {
		if r := s.recs.at(id); r.pick == n.pick && r.entry().Pick == e.Pick {
			s.replace(id, r, n, e, now)
			return
		}
		picks, last = picks+1, id
	}
	if picks >= s.opt.MaxPicks {
		s.remove(last, s.recs.at(last))
		s.evictions++
	}
	id = s.recs.take()
	r := s.recs.at(id)
	s.publish(id, r, n)
	s.enter(id, r, e)
	s.enqueue(id, r)
	s.account(r, +1)
}

// replace puts n in the place of a record with the same key and pick, which
// keeps its number, its turn in the queue and its uses: it is the same thing,
// fetched again.
func (s *Store) replace(id uint32, r, n *record, e *store.Entry, now int64) {
	s.leaves(r, e, now)
	q := s.queue(r.where)
	q.bytes -= r.size()
	s.account(r, -1)
	s.index.leave(&s.recs, r)
	s.publish(id, r, n)
	s.enter(id, r, e)
	s.account(r, +1)
	q.bytes += r.size()
}

// publish lets Get see n as record id, the newest of its key. A Get sees the
// record before or the record after, never neither.
func (s *Store) publish(id uint32, r, n *record) {
	sh := &s.shards[n.shard]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if r.live() {
		sh.unchain(s, id, r)
	}
	r.blob, r.big, r.ticket, r.ends = n.blob, n.big, n.ticket, n.ends
	r.keyAt, r.keyLen, r.hash, r.shard, r.pick = n.keyAt, n.keyLen, n.hash, n.shard, n.pick
	r.fell.Store(0)
	r.seen.Store(n.seen.Load())
	r.next = sh.find(s, r.hash, r.key())
	if r.next != 0 {
		sh.keys.replace(r.hash, r.next, id)
	} else {
		sh.keys.insert(r.hash, id)
	}
}

// account counts a record in, or out.
func (s *Store) account(r *record, sign int) {
	s.count += sign
	s.bytes += int64(sign) * r.size()
	s.held += int64(sign) * r.held()
}

// remove takes a record out of the store. The caller holds Store.mu.
func (s *Store) remove(id uint32, r *record) {
	s.leaves(r, nil, s.now())
	s.unlink(id, r)
	s.account(r, -1)
	s.index.leave(&s.recs, r)
	sh := &s.shards[r.shard]
	sh.mu.Lock()
	sh.unchain(s, id, r)
	s.clear(r)
	sh.mu.Unlock()
	s.recs.free(id)
}

// clear lets go of everything a record held.
func (s *Store) clear(r *record) {
	r.blob, r.refs, r.big = packed[byte]{}, packed[ref]{}, nil
	r.next, r.pick = 0, 0
	r.uses.Store(0)
}

// offset is where in blob its view s begins.
func offset(blob []byte, s string) uint32 {
	return uint32(uintptr(unsafe.Pointer(unsafe.StringData(s))) - uintptr(unsafe.Pointer(&blob[0])))
}
