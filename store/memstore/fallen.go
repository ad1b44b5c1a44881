package memstore

import (
	"hash/maphash"

	"surrogate/store"
	"surrogate/store/fences"
)

// A fallen table remembers the URLs whose entries left after they had fallen:
// swept, replaced by what was fetched since, evicted, or refused because they
// came too late. Y is fetched, K falls by a tag while nobody is known to depend
// on it, K is swept, Y arrives and declares that it is made of K. K's names are
// gone by then, but not that it fell.
//
// It is of fixed size. What it drops raises lost: an entry with a dep on a URL
// and a ticket older than that may be refused for nothing. That takes a fetch
// that outlasts a purge of very much, and its sweep. Under Store.mu.
type fallen struct {
	seed maphash.Seed
	sets [][4]fell
	lost store.Seq
}

type fell struct {
	url uint64
	seq store.Seq
}

const fallenSets = 1 << 12

func (f *fallen) add(url string, seq store.Seq) {
	if f.sets == nil {
		f.sets = make([][4]fell, fallenSets)
	}
	h := maphash.String(f.seed, url)
	set := &f.sets[h%fallenSets]
	oldest := &set[0]
	for i := range set {
		if set[i].url == h {
			set[i].seq = max(set[i].seq, seq)
			return
		}
		if set[i].seq < oldest.seq {
			oldest = &set[i]
		}
	}
	f.lost = max(f.lost, oldest.seq)
	*oldest = fell{h, seq}
}

// last is when what was stored for a URL last fell, as far as it could matter.
func (f *fallen) last(url string) store.Seq {
	if f.sets == nil {
		return 0
	}
	h := maphash.String(f.seed, url)
	for _, x := range f.sets[h%fallenSets] {
		if x.url == h {
			return max(x.seq, f.lost)
		}
	}
	return f.lost
}

// leaves tells the graph and the fallen what is lost with an entry that leaves, or
// is replaced by one that has by's names. The caller holds Store.mu.
func (s *Store) leaves(b *block, e, by *store.Entry, now int64) {
	s.graph.remember(e, by, b.ends, now)
	if b.ticket == s.book.Seq() {
		return
	}
	v := fences.Verdict{Ticket: b.ticket, From: b.ticket}
	r := s.book.Read()
	defer r.Done()
	// A fence on the URL itself is on the dependents' deps as well.
	if r.Entry(e, &v); v.Last != 0 && r.Unheard(e.Key.URL(), &v) {
		s.fallen.add(e.Key.URL(), v.Last)
	}
}
