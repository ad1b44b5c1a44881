package memstore

// Eviction is S3-FIFO (Yang and others, SOSP 2023): what is new waits in a
// small queue, a tenth of the bytes; what was used there more than once moves
// on to the main queue, the rest goes, and is remembered for a while as a
// ghost; what comes back as a ghost goes to the main queue at once. The main
// queue gives another turn to what was used since its last. So a scan passes
// through the small queue and disturbs nothing. A hit counts in the record, up
// to maxUses, so that what is hot is not even written to. All but that count
// under Store.mu.

const (
	maxUses = 3
	// maxTurns bounds how many records one eviction passes over, and so how
	// long Store.mu is held when everything is hot.
	maxTurns = 256
)

type queueName uint8

const (
	noQueue queueName = iota
	small
	main
)

// A queue is a list of records through their prev and after.
type queue struct {
	head, tail uint32 // newest, oldest
	bytes      int64
}

func (s *Store) queue(w queueName) *queue { return &s.queues[w] }

func (s *Store) push(id uint32, r *record, w queueName) {
	q := s.queue(w)
	r.where, r.prev, r.after = w, 0, q.head
	if q.head != 0 {
		s.recs.at(q.head).prev = id
	} else {
		q.tail = id
	}
	q.head = id
	q.bytes += r.size()
}

func (s *Store) unlink(id uint32, r *record) {
	q := s.queue(r.where)
	if r.prev != 0 {
		s.recs.at(r.prev).after = r.after
	} else {
		q.head = r.after
	}
	if r.after != 0 {
		s.recs.at(r.after).prev = r.prev
	} else {
		q.tail = r.prev
	}
	q.bytes -= r.size()
	r.where, r.prev, r.after = noQueue, 0, 0
}

// evict makes room, a few records at a time, until there is enough or the few
// are used up. It reports whether there is enough.
func (s *Store) evict(few int) bool {
	for ; s.used() > s.opt.MaxBytes; few-- {
		if few == 0 {
			return false
		}
		id := s.victim()
		if id == 0 {
			return true
		}
		b := s.block(id)
		s.ghosts.add(uint32(b.shard), b.hash, s.count)
		s.remove(id)
		s.evictions++
	}
	return true
}

// victim is the record to go next.
func (s *Store) victim() uint32 {
	turns := maxTurns
	for q := s.queue(small); q.tail != 0 && (q.bytes > s.opt.MaxBytes/10 || s.queue(main).tail == 0); turns-- {
		id := q.tail
		r := s.recs.at(id)
		if r.uses.Load() <= 1 || turns == 0 {
			return id
		}
		s.unlink(id, r)
		r.uses.Store(0)
		s.push(id, r, main)
	}
	for q := s.queue(main); q.tail != 0; turns-- {
		id := q.tail
		r := s.recs.at(id)
		u := r.uses.Load()
		if u == 0 || turns <= 0 {
			return id
		}
		s.unlink(id, r)
		r.uses.Store(u - 1)
		s.push(id, r, main)
	}
	return s.queue(small).tail
}

// enqueue puts a new record where it belongs.
func (s *Store) enqueue(id uint32, r *record) {
	b := r.block.Load()
	if s.ghosts.has(uint32(b.shard), b.hash) {
		s.push(id, r, main)
	} else {
		s.push(id, r, small)
	}
}

// Ghosts are the hashes of keys that left lately, about as many as there are
// records. A set of four places each; the oldest of a set makes room. A false
// one does no harm: something new goes to the main queue.
type ghosts struct {
	places []ghost
	clock  uint32
	life   uint32 // how many later ghosts one outlives
}

type ghost struct{ hash, at uint32 }

func (g *ghosts) set(shard, hash uint32) []ghost {
	i := (hash*shards + shard) & uint32(len(g.places)-1) &^ 3
	return g.places[i : i+4]
}

// add remembers a key; records is how many are stored.
func (g *ghosts) add(shard, hash uint32, records int) {
	if n := len(g.places); n < min(records, 1<<24) {
		// Forgetting the ghosts when the store outgrew them costs some keys a
		// turn through the small queue.
		for n = max(n, 64); n < min(records, 1<<24); {
			n *= 2
		}
		g.places = make([]ghost, n)
	}
	g.life = uint32(min(records, len(g.places)))
	g.clock++
	set := g.set(shard, hash)
	oldest := 0
	for i := range set {
		if set[i].at == 0 || set[i].hash == hash {
			oldest = i
			break
		}
		if g.clock-set[i].at > g.clock-set[oldest].at {
			oldest = i
		}
	}
	set[oldest] = ghost{hash, g.clock}
}

func (g *ghosts) has(shard, hash uint32) bool {
	if len(g.places) == 0 {
		return false
	}
	for _, p := range g.set(shard, hash) {
		if p.at != 0 && p.hash == hash && g.clock-p.at <= g.life {
			return true
		}
	}
	return false
}

// first is the newest record under a key, 0 when there is none. The caller
// holds Store.mu or the shard's lock.
func (s *Store) first(key string) uint32 {
	sh, _, h := s.shardOf(key)
	return sh.find(s, h, key)
}
