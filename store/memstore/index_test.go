package memstore

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"surrogate/store"
)

// sound fails the test if index and commons are not what the records say.
func sound(t *testing.T, s *Store) {
	t.Helper()
	count := make(map[string]int)
	heldBy := make(map[string]int64)
	bytes := int64(0)
	uses := make(map[uint16]uint32)
	for id := uint32(1); id <= s.recs.last(); id++ {
		b := s.block(id)
		if b == nil {
			continue
		}
		e := b.entry()
		bytes += b.size()
		if b.common != 0 {
			uses[b.common]++
		}
		carried := map[string]bool{string(store.HostName(e.Key.Host())): true}
		for n := range explicit(&e) {
			carried[string(n)] = true
		}
		if len(b.places()) != len(carried) {
			t.Fatalf("%s has %d places, and carries %d names", e.Key, len(b.places()), len(carried))
		}
		for text := range carried {
			rf := b.place(s.index.find(text))
			if rf == nil || s.index.members(s.index.names.at(rf.name))[rf.pos] != id {
				t.Fatalf("%s is not where %q has it", e.Key, text)
			}
			count[text]++
			heldBy[text] += b.held()
		}
	}
	if s.index.n != len(count) {
		t.Fatalf("%d names, want %d", s.index.n, len(count))
	}
	for text, n := range count {
		nm := s.index.get(text)
		if len(s.index.members(nm)) != n || s.index.held(nm) != heldBy[text] {
			t.Fatalf("%q has %d members, want %d", text, len(s.index.members(nm)), n)
		}
	}
	shared := int64(0)
	for number, n := range uses {
		c := s.commons.slots.at(uint32(number))
		if c.uses != n || c.text.Load() == nil {
			t.Fatalf("%d blocks have common %d, and it knows of %d", n, number, c.uses)
		}
		shared += int64(commonCost) + int64(c.room)
	}
	if s.commons.ids.n != len(uses) || s.commons.bytes.Load() != shared {
		t.Fatalf("%d commons of %d bytes, want %d of %d", s.commons.ids.n, s.commons.bytes.Load(), len(uses), shared)
	}
	if s.bytes != bytes {
		t.Fatalf("%d bytes, want %d", s.bytes, bytes)
	}
}

// The index stays what the records say over puts, replacements, evictions and
// drops of entries of all sizes, names that several carry, and names that an
// entry carries twice.
func TestIndexIsSound(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	s := New(Options{MaxBytes: 2 << 20})
	defer s.Close()
	for i := range 5000 {
		var tags, deps []store.Name
		for range r.IntN(20) {
			tags = append(tags, store.Name(fmt.Sprint("t", r.IntN(10+r.IntN(2000)))))
		}
		for range r.IntN(3) {
			deps = append(deps, store.Name(fmt.Sprint("t", r.IntN(20))))
		}
		e := &store.Entry{
			Key:  store.Key(fmt.Sprintf("http://h%d.test/%d", r.IntN(3), r.IntN(400))),
			Tags: store.NamesOf(tags...),
			Deps: store.NamesOf(deps...),
			Head: store.HeadText(fmt.Sprintf("Server: %060d\r\nEtag: %d\r\n", r.IntN(1+r.IntN(50)), i)),
			Body: []byte(strings.Repeat("x", r.IntN(1+r.IntN(3*bigBody)))),
			Life: store.Life{Born: time.Now(), TTL: time.Hour},
		}
		if r.IntN(9) == 0 {
			e.Life.Flags = store.CatchAll
		}
		if r.IntN(5) == 0 {
			s.Drop(e)
		} else if err := s.Put(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if i%100 == 0 {
			sound(t, s)
		}
	}
	if s.evictions == 0 {
		t.Error("nothing was evicted")
	}
	ev, _ := s.Purge(t.Context(), store.Purge{Names: []store.Name{store.AllName}})
	for range s.Sweep(t.Context(), ev) {
	}
	if sound(t, s); s.used() != 0 || s.recs.last() == 0 {
		t.Errorf("%d bytes when nothing is left", s.used())
	}
}

// Keys of the same hash are told apart.
func TestKeysOfOneHash(t *testing.T) {
	s := New(Options{})
	defer s.Close()
	const sameHash = 7
	var ids []uint32
	for _, key := range []string{"http://a.test/", "http://b.test/", "http://c.test/"} {
		e := store.Entry{Key: store.Key(key), Life: store.Life{Born: time.Now(), TTL: time.Hour}}
		b, _ := newBlock(&e, names(&e), &s.commons)
		b.hash, b.refs = sameHash, 0
		id := s.recs.take()
		s.publish(id, s.recs.at(id), b)
		ids = append(ids, id)
	}
	sh := &s.shards[0]
	if got := sh.find(s, sameHash, "http://b.test/"); got != ids[1] {
		t.Errorf("found %d, want %d", got, ids[1])
	}
	if got := sh.find(s, sameHash, "http://d.test/"); got != 0 {
		t.Errorf("found %d for what is not there", got)
	}
}

// A Get in the midst of a change waits for its end.
func TestGetInTheMidstOfAChange(t *testing.T) {
	s := New(Options{})
	defer s.Close()
	e := &store.Entry{Key: "http://a.test/", Life: store.Life{Born: time.Now(), TTL: time.Hour}}
	if err := s.Put(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	sh, _, hash := s.shardOf(string(e.Key))
	id := s.first(string(e.Key))
	sh.change()
	sh.keys.remove(hash, id)
	got := make(chan bool, 1)
	go func() {
		f, _ := s.Get(t.Context(), e.Key, nil)
		got <- f.Hit
	}()
	for range 1000 { // one that does not wait has its chance
		runtime.Gosched()
	}
	sh.keys.insert(hash, id)
	sh.done()
	if !<-got {
		t.Error("a miss")
	}
}
