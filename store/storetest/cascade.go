package storetest

import (
	"errors"
	"fmt"

	"surrogate/store"
)

var cascadeCases = []testCase{
	{"DependentsOneLevel", false, func(l *lab) {
		// product:1 -> /p -> /list -> /home, and nothing depends on /home.
		l.put("/p", tags("product:1"))
		l.put("/list", deps(url("/p"), "list"))
		l.put("/home", deps(url("/list")))
		l.put("/alone", tags("product:1"))
		l.dependents(names("product:1"), "/p")
		l.dependents(names(url("/p")), "/list")
		l.dependents(names("product:1", url("/p")), "/list")
		l.dependents(names(url("/list")))
		l.dependents(names("list"), "/list")
		l.dependents(names("none"))
		l.dependents(nil)
	}},
	{"DependentsByHostAndPrefix", false, func(l *lab) {
		l.put("http://a.test/p/1")
		l.put("http://a.test/q/2")
		l.put("http://b.test/x", deps(url("http://a.test/p/1"), url("http://a.test/q/2")))
		l.dependents(names(store.HostName("a.test")), "http://a.test/p/1", "http://a.test/q/2")
		l.dependents(names(store.PrefixName("a.test/p/")), "http://a.test/p/1")
		l.dependents(names(store.HostName("b.test")))
		l.dependents(names(store.HostName("a.test"), url("http://a.test/q/2")), "http://a.test/p/1")
	}},
	{"DependentsWhateverCameFirst", false, func(l *lab) {
		l.put("/y", deps(url("/k")))
		l.put("/k", tags("t"))
		l.dependents(names("t"), "/k")
	}},
	{"DependentsOfAllPicksAndSchemes", false, func(l *lab) {
		l.put("/k", picked("x", ask("X", "1")), tags("t1"))
		l.put("/k", picked("x", ask("X", "2")), tags("t2"))
		l.put("https://shop.test/k", tags("t3"))
		l.put("/y", deps(url("/k")))
		for _, n := range names("t1", "t2", "t3") {
			l.dependents(names(n), "/k")
		}
	}},
	{"DependentsOfCatchAllFallWithEveryPurge", false, func(l *lab) {
		l.put("/k", catchAll)
		l.put("/y", deps(url("/k")))
		l.dependents(names("anything"), "/k")
	}},
	{"DependentsSurviveReplacement", false, func(l *lab) {
		l.put("/k", tags("t"))
		l.put("/y", deps(url("/k")))
		l.put("/k", tags("u"))
		l.dependents(names("t"), "/k")
		l.dependents(names("u"), "/k")
	}},
	{"DependentsSurviveTheEnd", false, func(l *lab) {
		l.put("/k", deps("product:1"), life(l.ticks(2)))
		l.pass(1)
		l.put("/y", deps(url("/k")), life(l.ticks(20)))
		l.put("/z", deps(url("/y")), life(l.ticks(60)))
		l.pass(4)
		l.miss("/k")
		l.dependents(names("product:1"), "/k")
		// /y ends too, and /z was made of what was made of /k.
		l.pass(20)
		l.miss("/y")
		l.hit("/z")
		l.dependents(names("product:1"), "/k")
		l.dependents(names(url("/k")), "/y")
	}},
	{"DependentsSurviveSweep", false, func(l *lab) {
		l.put("/k", deps("product:1"), tags("other"))
		l.put("/y", deps(url("/k")))
		l.sweep(l.purge("other")) // not by a purger: /y stands
		l.dependents(names("product:1"), "/k")
	}},
	{"DependentsKnowWhatEndedBeforeAnyoneDepended", false, func(l *lab) {
		l.put("/k", deps("product:1"))
		l.put("/k", deps("product:2"))
		l.put("/y", deps(url("/k")))
		l.dependents(names("product:1"), "/k")
		l.dependents(names("product:2"), "/k")
	}},
	{"DependentsEndWithWhatDepends", false, func(l *lab) {
		l.put("/k", tags("t"))
		l.put("/y", deps(url("/k")), life(l.ticks(2)))
		l.pass(5)
		if !l.c.Bubble {
			l.Skip("the grain of a store's time may be coarser than a tick")
		}
		l.dependents(names("t"))
	}},
	{"DependentsCycle", false, func(l *lab) {
		l.put("/a", deps(url("/b"), url("/a"), "t"))
		l.put("/b", deps(url("/a")))
		l.put("/c", deps(url("/c")))
		l.dependents(names("t"), "/a")
		l.dependents(names(url("/a")), "/b")
		l.dependents(names(url("/a"), url("/b")))
		l.dependents(names(url("/c")))
		if _, err := cascade(l.Context(), l.s, false, "t"); err != nil {
			l.Fatal(err)
		}
		l.miss("/a", "/b")
		l.hit("/c")
	}},
	{"CascadeReachesTheEndOfAChain", false, func(l *lab) {
		l.put("/0", tags("t"))
		for i := range 20 {
			l.put(fmt.Sprint("/", i+1), deps(url(fmt.Sprint("/", i))))
		}
		evs, err := cascade(l.Context(), l.s, false, "t")
		if err != nil || len(evs) != 1 {
			l.Fatalf("%d purges, %v", len(evs), err)
		}
		for i := range 21 {
			l.miss(fmt.Sprint("/", i))
		}
		if got := l.sweep(evs[0]); len(got) != 21 {
			l.Errorf("%d swept", len(got))
		}
	}},
	{"PurgeOvertakesPutThroughADep", false, func(l *lab) {
		// /y is fetched, then what it is made of falls, then it arrives: at the
		// time of the purge nobody was known to depend on /k.
		l.put("/j", tags("t"))
		l.put("/k", deps(url("/j")))
		early := l.entry("/y", deps(url("/k")))
		if _, err := cascade(l.Context(), l.s, false, "t"); err != nil {
			l.Fatal(err)
		}
		l.refused(early, store.ErrPurged)
		l.put("/y", deps(url("/k")))
	}},
	{"PurgeOvertakesPutThroughASweptDep", false, func(l *lab) {
		for i, sweep := range []bool{true, false} {
			k := fmt.Sprint("/k", i)
			l.put(k, tags("t"))
			early := l.entry("/y", deps(url(k)))
			evs, err := cascade(l.Context(), l.s, i == 1, "t")
			if err != nil {
				l.Fatal(err)
			}
			if sweep {
				l.sweep(evs[0])
			} else {
				l.put(k, tags("another"))
			}
			l.refused(early, store.ErrPurged)
		}
	}},
	{"PurgeOvertakesPutThroughARefusedDep", false, func(l *lab) {
		// Both are fetched, the purge refuses the one, and the other is made of it.
		for i, soft := range []bool{false, true} {
			k, y := fmt.Sprint("/k", i), fmt.Sprint("/y", i)
			first := l.entry(k, tags("t"))
			second := l.entry(y, deps(url(k)))
			if _, err := cascade(l.Context(), l.s, soft, "t"); err != nil {
				l.Fatal(err)
			}
			if err := l.s.Put(l.Context(), first); err != nil && !errors.Is(err, store.ErrPurged) {
				l.Fatal(err)
			}
			l.refused(second, store.ErrPurged)
			l.put(y, deps(url(k)))
			l.hit(y)
		}
	}},
	{"SoftPurgeOvertakesWhatHasDependents", false, func(l *lab) {
		// The purger knew that /y is made of /k: both are refreshed whatever falls.
		l.put("/k", tags("t"))
		l.put("/y", deps(url("/k")))
		for range 3 {
			k, y := l.entry("/k", tags("t")), l.entry("/y", deps(url("/k")))
			l.pass(1)
			evs, err := cascade(l.Context(), l.s, true, "t")
			if err != nil {
				l.Fatal(err)
			}
			for _, e := range []*store.Entry{k, y} {
				if err := l.s.Put(l.Context(), e); err != nil {
					l.Errorf("Put %s: %v", e.Key, err)
				}
			}
			l.stale("/k", evs[0].At)
			l.stale("/y", evs[0].At)
		}
		// Nobody knew that /k would carry new.
		early := l.entry("/k", tags("new"))
		if _, err := cascade(l.Context(), l.s, true, "new"); err != nil {
			l.Fatal(err)
		}
		var pe *store.PurgedError
		if err := l.s.Put(l.Context(), early); !errors.As(err, &pe) || !pe.Soft || !pe.Cascade {
			l.Errorf("Put: %#v, want a soft refusal that cascades", err)
		}
	}},
	{"RefusalSaysWhenItMustBePassedOn", false, func(l *lab) {
		l.put("/k", tags("old"))
		l.put("/y", deps(url("/k")))
		early := l.entry("/k", tags("new"))
		known := l.entry("/k", tags("old"))
		refusal := func(e *store.Entry, cascades bool) {
			l.Helper()
			var pe *store.PurgedError
			if err := l.s.Put(l.Context(), e); !errors.As(err, &pe) || pe.Cascade != cascades {
				l.Errorf("Put: %#v, want one that cascades: %v", err, cascades)
			}
		}
		// Nobody knew that /k would carry new: /y was not reached.
		if _, err := cascade(l.Context(), l.s, false, "new"); err != nil {
			l.Fatal(err)
		}
		l.hit("/y")
		refusal(early, true)
		// Passed on, it is not to be passed on again.
		if _, err := cascade(l.Context(), l.s, false, url("/k")); err != nil {
			l.Fatal(err)
		}
		l.miss("/y")
		refusal(early, false)
		// It was known to carry old.
		l.put("/y", deps(url("/k")))
		if _, err := cascade(l.Context(), l.s, false, "old"); err != nil {
			l.Fatal(err)
		}
		l.miss("/y")
		refusal(known, false)
	}},
	{"FullIndexRefusesDeps", true, func(l *lab) {
		l.put("/before", deps(url("/k")))
		var ns []store.Name
		for i := range Edges + 1 {
			ns = append(ns, url(fmt.Sprint("/dep", i)))
		}
		e := l.entry("/many", deps(ns...))
		l.refused(e, store.ErrEdges)
		l.miss("/many")
		l.put("/plain", tags(ns...), func(e *store.Entry) { e.Tags = "t" })
		l.hit("/before", "/plain")
		if st := l.stats(); st.Edges == 0 || st.Edges > Edges {
			l.Errorf("%d edges", st.Edges)
		}
	}},
}
