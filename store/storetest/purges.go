package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"surrogate/store"
)

var purgeCases = []testCase{
	{"PurgeTakesWhatCarriesTheName", false, func(l *lab) {
		l.put("/a", tags("x", "y"))
		l.put("/b", deps("x"))
		l.put("/c", tags("y"))
		ev := l.purge("x")
		if ev.Seq != 1 || ev.At.IsZero() || ev.ID != "an id" || ev.By != "the suite" || ev.Why != "a test" || ev.Rewarm != 7 || ev.Soft {
			l.Errorf("the event is %+v", ev)
		}
		l.miss("/a", "/b")
		l.hit("/c")
		if t := l.ticket("/a"); t != ev.Seq {
			l.Errorf("the ticket after the purge is %d", t)
		}
	}},
	{"PurgeOvertakesPut", false, func(l *lab) {
		l.put("/a", tags("x"), body("before"), func(e *store.Entry) { e.Tags = "" })
		early := l.entry("/a", tags("x"), body("late"))
		l.purge("x")
		l.refused(early, store.ErrPurged)
		if f := l.get("/a", nil); string(f.Entry.Body) != "before" {
			l.Errorf("a refused Put changed what is stored: %q", f.Entry.Body)
		}
		var pe *store.PurgedError
		if err := l.s.Check(early); !errors.As(err, &pe) || pe.Name != "x" || pe.Seq != 1 || pe.Soft || pe.Cascade {
			l.Errorf("Check: %#v", err)
		}
		if st := l.stats(); st.Refused != 1 {
			l.Errorf("%d Puts refused", st.Refused)
		}
	}},
	{"SoftPurgeOvertakesPut", false, func(l *lab) {
		// It is stored, stale: else what is soft-purged more often than a fetch
		// takes would never be refreshed.
		l.put("/a", deps("x"), body("before"), func(e *store.Entry) { e.Life.Born = e.Life.Born.Add(-1) })
		early := l.entry("/a", deps("x"), body("late"))
		l.pass(1)
		ev := l.soft("x")
		l.pass(1)
		l.soft("x")
		if err := l.s.Put(l.Context(), early); err != nil {
			l.Errorf("Put: %v", err)
		}
		l.stale("/a", ev.At)
		if f := l.get("/a", nil); string(f.Entry.Body) != "late" {
			l.Errorf("found %q", f.Entry.Body)
		}
		var pe *store.PurgedError
		if err := l.s.Check(early); !errors.As(err, &pe) || !pe.Soft {
			l.Errorf("Check: %#v", err)
		}
		l.purge("x")
		if err := l.s.Check(early); !errors.As(err, &pe) || pe.Soft {
			l.Errorf("Check: %#v", err)
		}
		l.refused(early, store.ErrPurged)
		l.soft("x")
		l.refused(early, store.ErrPurged)
		l.miss("/a")
	}},
	{"ImplicitNamesOvertakePut", false, func(l *lab) {
		for _, n := range []store.Name{
			store.AllName, url("/a/b"), store.HostName("shop.test"), store.PrefixName("shop.test/a"), store.PrefixName("sh"),
		} {
			early := l.entry("/a/b")
			l.purge(n)
			l.refused(early, store.ErrPurged)
			l.put("/a/b")
		}
	}},
	{"PurgeSparesOtherTags", false, func(l *lab) {
		l.put("/a", tags("x"))
		early := l.entry("/b", tags("xx"))
		l.purge("y", "X", "x:1", "", url("/ab"), store.HostName("shop.tes"), store.PrefixName("shop.test/b"))
		l.hit("/a")
		if err := l.s.Check(early); err == nil {
			l.Error("the prefix does not cover /b")
		}
	}},
	{"FreshTicketIsKept", false, func(l *lab) {
		l.put("/a", tags("x"))
		l.purge("x")
		e := l.put("/a", tags("x"), body("again"))
		f := l.get("/a", nil)
		if !f.Hit || string(f.Entry.Body) != "again" || f.Entry.Ticket != e.Ticket || !f.Fell.IsZero() {
			l.Errorf("found %+v", f)
		}
	}},
	{"TicketsFromTheFutureAreRefused", false, func(l *lab) {
		e := l.entry("/a")
		e.Ticket++
		l.refused(e, store.ErrPurged)
	}},
	{"SoftPurgeMakesStale", false, func(l *lab) {
		l.put("/a", tags("x"))
		l.put("/b", tags("y"))
		l.pass(1)
		ev := l.soft("x")
		l.pass(1)
		l.stale("/a", ev.At)
		l.hit("/b")
		l.put("/a", tags("x"))
		l.hit("/a")
	}},
	{"SoftPurgeNeverExtends", false, func(l *lab) {
		l.put("/a", tags("x"), life(l.ticks(4)))
		l.pass(2)
		l.soft("x")
		l.pass(1)
		l.soft("x")
		l.pass(2)
		l.miss("/a")
	}},
	{"SeveralSoftPurgesCountFromTheFirst", false, func(l *lab) {
		l.put("/a", tags("x", "y"))
		l.pass(1)
		first := l.soft("y")
		l.stale("/a", first.At)
		for range 5 {
			l.pass(1)
			l.soft("x")
			l.stale("/a", first.At)
		}
		l.put("/b", tags("x", "y"))
		l.hit("/b")
		second := l.soft("x", "y")
		l.stale("/a", first.At)
		l.stale("/b", second.At)
	}},
	{"ManySoftPurgesNeverExtend", false, func(l *lab) {
		// A store need not tell apart any number of falls; what it forgets
		// makes entries stale earlier, not later.
		fell := make(map[string]time.Time)
		n := 60
		if !l.c.Bubble {
			n = 20
		}
		for i := range n {
			p := fmt.Sprintf("/%d", i)
			l.put(p, tags("x"))
			l.pass(0.1)
			fell[p] = l.soft("x").At
		}
		for p, at := range fell {
			if f := l.get(p, nil); !f.Hit || f.Fell.IsZero() || f.Fell.After(at) {
				l.Errorf("%s fell at %v, and the store says %v", p, at, f.Fell)
			}
		}
		p := fmt.Sprintf("/%d", n-1)
		l.stale(p, fell[p])
	}},
	{"HardBeatsSoft", false, func(l *lab) {
		for i, seq := range [][2]func(...store.Name) store.Event{{l.soft, l.purge}, {l.purge, l.soft}} {
			l.put("/a", tags("x", "y"))
			seq[0]("x")
			seq[1]("x")
			l.miss("/a")
			l.put("/a", tags("x", "y"))
			seq[0]("x")
			seq[1]("y")
			if l.miss("/a"); l.Failed() {
				l.Fatalf("in order %d", i)
			}
		}
	}},
	{"PurgeAll", false, func(l *lab) {
		l.put("/a", tags("x"))
		l.put("https://other.test/b")
		ev := l.purge(store.AllName)
		l.miss("/a", "https://other.test/b")
		l.put("/a")
		l.hit("/a")
		l.swept(ev, "https://other.test/b")
		l.hit("/a")
		l.counts(store.AllName, 1)
		soft := l.soft(store.AllName)
		l.stale("/a", soft.At)
	}},
	{"URLPurgeTakesAllPicksAndSchemes", false, func(l *lab) {
		l.put("http://h.test/a", picked("x", ask("X", "1")))
		l.put("http://h.test/a", picked("x", ask("X", "2")))
		l.put("https://h.test/a")
		l.put("http://h.test/a?q")
		l.put("http://h.test/b", deps(url("http://h.test/a")))
		l.counts(url("http://h.test/a"), 4)
		ev := l.purge(url("http://h.test/a"))
		for _, v := range []string{"1", "2"} {
			if l.get("http://h.test/a", ask("X", v)).Hit {
				l.Errorf("pick %s stands", v)
			}
		}
		l.miss("https://h.test/a", "http://h.test/b")
		l.hit("http://h.test/a?q")
		got := l.sweep(ev)
		if len(got) != 3 || got["http://h.test/a"].Entries != 2 || got["https://h.test/a"].Entries != 1 || got["http://h.test/b"].Entries != 1 {
			l.Errorf("swept %v", got)
		}
		l.counts(store.AllName, 1)
	}},
	{"HostPurge", false, func(l *lab) {
		l.put("http://h.test/a")
		l.put("https://h.test/b")
		l.put("http://h.test:8080/c")
		l.put("http://hh.test/d")
		ev := l.purge(store.HostName("h.test"))
		l.miss("http://h.test/a", "https://h.test/b")
		l.hit("http://h.test:8080/c", "http://hh.test/d")
		l.swept(ev, "http://h.test/a", "https://h.test/b")
		l.counts(store.HostName("h.test"), 0)
		l.counts(store.HostName("hh.test"), 1)
	}},
	{"PrefixPurge", false, func(l *lab) {
		l.put("/shop/a")
		l.put("/shop/b?c=d")
		l.put("/shopping")
		l.put("https://shop.test/shop/a")
		l.put("http://shop.test.other/shop/a")
		ev := l.purge(store.PrefixName("shop.test/shop/"))
		l.miss("/shop/a", "/shop/b?c=d", "https://shop.test/shop/a")
		l.hit("/shopping", "http://shop.test.other/shop/a")
		l.put("/shop/a")
		l.hit("/shop/a")
		l.swept(ev, "/shop/b?c=d", "https://shop.test/shop/a")
		soft := l.soft(store.PrefixName("shop.test/shop/"))
		l.stale("/shop/a", soft.At)
		ev = l.purge(store.PrefixName("shop.test"))
		l.miss("/shop/a", "/shopping", "http://shop.test.other/shop/a")
		l.swept(ev, "/shop/a", "/shopping", "http://shop.test.other/shop/a")
	}},
	{"CatchAllFallsWithEveryPurge", false, func(l *lab) {
		l.put("/a", catchAll)
		l.put("/b")
		early := l.entry("/c", catchAll)
		l.counts(store.CatchAllName, 1)
		ev := l.soft("anything")
		l.stale("/a", ev.At)
		l.hit("/b")
		if err := l.s.Put(l.Context(), early); err != nil {
			l.Errorf("Put: %v", err)
		}
		l.stale("/c", ev.At)
		ev = l.purge("anything")
		l.refused(early, store.ErrPurged)
		l.miss("/a", "/c")
		l.hit("/b")
		l.swept(ev, "/a", "/c")
	}},
	{"PurgeOfManyNamesIsOne", false, func(l *lab) {
		var ns []store.Name
		for i := range 500 {
			ns = append(ns, store.Name(fmt.Sprint("t", i)))
			l.put(fmt.Sprint("/", i), tags(ns[i]))
		}
		ev := l.purge(append(ns, ns...)...)
		if ev.Seq != 1 || l.ticket("/0") != 1 {
			l.Errorf("sequence %d, ticket %d", ev.Seq, l.ticket("/0"))
		}
		for i := range 500 {
			l.miss(fmt.Sprint("/", i))
		}
		if got := l.sweep(ev); len(got) != 500 {
			l.Errorf("%d keys swept", len(got))
		}
	}},
	{"TooManyPrefixesPurgeNothing", false, func(l *lab) {
		l.put("/a", tags("x"))
		ns := names("x", store.PrefixName("shop.test/a"))
		for i := range 20_000 {
			ns = append(ns, store.PrefixName(fmt.Sprint("shop.test/", i)))
		}
		if _, err := l.s.Purge(l.Context(), store.Purge{Names: ns}); !errors.Is(err, store.ErrTooManyPrefixes) {
			l.Errorf("Purge: %v", err)
		}
		l.hit("/a")
		if st := l.stats(); st.Seq != 0 || st.Floor != 0 {
			l.Errorf("sequence %d, floor %d", st.Seq, st.Floor)
		}
	}},
	{"EmptyPurgeFellsNothing", false, func(l *lab) {
		l.put("/a")
		if ev := l.purge(); ev.Seq != 1 {
			l.Errorf("sequence %d", ev.Seq)
		}
		l.hit("/a")
	}},
	{"FloorRaisesDoubt", true, func(l *lab) {
		l.put("/a", tags("x"))
		early := l.entry("/early")
		l.purge("x")
		for i := range Fences + 2 {
			l.purge(store.Name(fmt.Sprint("t", i)))
		}
		st := l.stats()
		if st.Fences > Fences || st.Floor == 0 {
			l.Errorf("%d fences stand, the floor is %d", st.Fences, st.Floor)
		}
		if f := l.get("/a", nil); f.Hit && !f.Doubt {
			l.Error("what is older than the floor is shown without doubt")
		}
		l.refused(early, store.ErrPurged)
		l.put("/b")
		if f := l.get("/b", nil); !f.Hit || f.Doubt {
			l.Errorf("what is younger than the floor: hit %v, doubt %v", f.Hit, f.Doubt)
		}
	}},
	{"PurgeAtTheMomentOfPut", false, func(l *lab) {
		// Whatever a Put and a purge of its tag do at the same time, nothing that
		// began before the purge is shown after it.
		rounds := 5000
		if !l.c.Bubble {
			rounds = 100
		}
		for i := range rounds {
			e := l.entry("/a", tags("x"))
			var wg sync.WaitGroup
			start := make(chan struct{})
			wg.Go(func() {
				<-start
				_ = l.s.Put(l.Context(), e)
			})
			close(start)
			l.purge("x")
			wg.Wait()
			if f := l.get("/a", nil); f.Hit {
				l.Fatalf("in round %d, ticket %d is shown after the purge at %d", i, f.Entry.Ticket, f.Ticket)
			}
		}
	}},
	{"ConcurrentPutPurge", false, func(l *lab) {
		// An origin that answers its version, an editor who raises the version
		// and purges. Whoever asks after a purge sees no older version.
		var version, promised atomic.Int64
		var wg sync.WaitGroup
		rounds := 150
		if !l.c.Bubble {
			rounds = 60
		}
		stop := make(chan struct{})
		for range 3 {
			wg.Go(func() {
				for {
					select {
					case <-stop:
						return
					default:
					}
					want := promised.Load()
					f, err := l.s.Get(l.Context(), key("/a"), nil)
					if err != nil {
						l.Errorf("Get: %v", err)
						return
					}
					if f.Hit {
						if got := int64(f.Entry.Status); got < want {
							l.Errorf("version %d after the purge of %d had returned", got, want)
							return
						}
						continue
					}
					e := &store.Entry{
						Key: key("/a"), Status: int(version.Load()), Tags: "x", Ticket: f.Ticket,
						Life: store.Life{Born: time.Now(), TTL: l.ticks(100)},
					}
					if err := l.s.Put(l.Context(), e); err != nil && !errors.Is(err, store.ErrPurged) && !errors.Is(err, store.ErrNewer) {
						l.Errorf("Put: %v", err)
						return
					}
				}
			})
		}
		for i := range rounds {
			v := version.Add(1)
			ev := l.purge("x")
			promised.Store(v)
			if i%7 == 0 {
				l.sweep(ev)
			}
		}
		close(stop)
		wg.Wait()
	}},
}
