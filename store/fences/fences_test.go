package fences_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"surrogate/store"
	"surrogate/store/fences"
)

func book() *fences.Book {
	return fences.New(fences.Options{MaxFences: 1000, MaxPrefixes: 10, MaxLife: time.Hour})
}

func judge(b *fences.Book, ticket store.Seq, tags ...store.Name) fences.Verdict {
	v := fences.Verdict{Ticket: ticket, From: ticket}
	b.Judge(&store.Entry{Key: "http://a.test/x/y", Tags: store.NamesOf(tags...), Ticket: ticket}, &v)
	return v
}

// A Book that is replaced by what another one was, or by what it is when the log
// has gone on, and then follows the log, says the same as the other.
func TestABookThatIsLoadedSaysTheSame(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		names := []store.Name{"a", "b", "c", store.PrefixName("a.test/x"), store.PrefixName("a.test/"), store.HostName("a.test")}
		first, second := book(), book()
		var log []store.Event
		var snap fences.Snapshot
		var standing []fences.Standing
		began := 5 + r.IntN(20)
		loaded := began + r.IntN(10)
		for i := range 40 {
			ev := store.Event{Seq: store.Seq(i + 1), At: time.Now().Add(time.Duration(i) * time.Second)}
			ev.Soft = r.IntN(2) == 0
			for range 1 + r.IntN(2) {
				ev.Names = append(ev.Names, names[r.IntN(len(names))])
			}
			log = append(log, ev)
			first.Apply(&ev)
			if i+1 == began {
				snap, _ = first.Snapshot()
			}
			if i+1 == loaded {
				_, standing = first.Snapshot() // newer than what it claims to be
			}
		}
		second.Replace(snap, slices.Values(standing))
		for i := range log {
			second.Apply(&log[i]) // those before began change nothing
		}
		for ticket := range store.Seq(41) {
			for _, n := range []store.Name{"a", "b", "c", "d"} {
				x, y := judge(first, ticket, n), judge(second, ticket, n)
				if x.Dead != y.Dead || x.Fell != y.Fell || x.Last != y.Last {
					t.Fatalf("seed %d, ticket %d, %s: %+v and %+v", seed, ticket, n, x, y)
				}
			}
		}
	}
}

func TestTicketsFromBeforeTheSequenceBeganAreDead(t *testing.T) {
	b := book()
	b.Apply(&store.Event{Seq: 7, At: time.Now()})
	b.Replace(fences.Snapshot{Seq: 100, Born: 100}, slices.Values([]fences.Standing(nil)))
	for ticket, dead := range map[store.Seq]bool{7: true, 99: true, 100: false} {
		if v := judge(b, ticket); v.Dead != dead {
			t.Errorf("ticket %d: %+v", ticket, v)
		}
	}
	e := &store.Entry{Key: "http://a.test/", Ticket: 99}
	v := fences.Verdict{Ticket: 99, From: 99}
	r := b.Read()
	r.Entry(e, &v)
	err := r.Refusal(e, &v, func() bool { return false })
	r.Done()
	if err == nil {
		t.Error("a Put was accepted")
	}
}

// What another node has purged is not for this one to refuse, only to survive.
func TestPrefixesFoldAtOnce(t *testing.T) {
	b := book()
	ev := store.Event{Seq: 1, At: time.Now()}
	for i := range 200_000 {
		ev.Names = append(ev.Names, store.PrefixName(fmt.Sprint("a.test/", i)))
	}
	began := time.Now()
	b.Apply(&ev)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if b.Len() != 11 || b.Floor() != 1 {
		t.Errorf("%d fences, floor %d", b.Len(), b.Floor())
	}
	if v := judge(b, 0); v.Dead {
		t.Errorf("%+v", v)
	}
	b.Apply(&store.Event{Seq: 2, At: time.Now(), Purge: store.Purge{Names: []store.Name{store.PrefixName("a.test/199995"), store.PrefixName("a.test/x")}}})
	if v := judge(b, 1); !v.Dead || b.Len() != 11 {
		t.Errorf("%+v, %d fences", v, b.Len())
	}
}

func TestLongNamesAreNotKept(t *testing.T) {
	b := fences.New(fences.Options{MaxFences: 10_000, MaxPrefixes: 10, MaxLife: time.Hour})
	long := func(i int) store.Key {
		return store.Key(fmt.Sprintf("http://a.test/?%s%d", strings.Repeat("x", 200_000), i))
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for i := range 500 {
		tag := store.Name(strings.Repeat("t", 200_000) + fmt.Sprint(i))
		b.Apply(&store.Event{Seq: store.Seq(i + 1), At: time.Now(), Purge: store.Purge{Names: []store.Name{store.URLName(long(i)), tag}}})
	}
	if grown := int64(heap() - before); grown > 10<<20 {
		t.Errorf("%d bytes are kept", grown)
	}
	for i, dead := range map[int]bool{0: true, 499: true, 500: false} {
		v := fences.Verdict{}
		b.Judge(&store.Entry{Key: long(i)}, &v)
		if v.Dead != dead {
			t.Errorf("%d: %+v", i, v)
		}
	}
	if v := judge(b, 0, store.Name(strings.Repeat("t", 200_000)+"7")); !v.Dead {
		t.Errorf("the tag: %+v", v)
	}
	snap, standing := b.Snapshot()
	second := fences.New(fences.Options{MaxFences: 10_000, MaxPrefixes: 10, MaxLife: time.Hour})
	second.Replace(snap, slices.Values(standing))
	v := fences.Verdict{}
	if second.Judge(&store.Entry{Key: long(3)}, &v); !v.Dead {
		t.Errorf("loaded: %+v", v)
	}
}

func TestOldFencesGo(t *testing.T) {
	b := fences.New(fences.Options{MaxFences: 3, MaxPrefixes: 10, MaxLife: time.Minute})
	old := time.Now().Add(-2 * time.Minute)
	b.Apply(&store.Event{Seq: 1, At: old, Purge: store.Purge{Names: []store.Name{"old"}}})
	b.Trim(time.Now())
	if b.Len() != 0 || b.Floor() != 0 {
		t.Errorf("%d fences, floor %d", b.Len(), b.Floor())
	}
	for i := range 5 {
		b.Apply(&store.Event{Seq: store.Seq(i + 2), At: time.Now(), Purge: store.Purge{Names: []store.Name{store.Name(fmt.Sprint(i))}}})
	}
	if b.Len() != 3 || b.Floor() != 4 {
		t.Errorf("%d fences, floor %d", b.Len(), b.Floor())
	}
}
