package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"surrogate/store"
)

var sweepCases = []testCase{
	{"SweepYieldsEachKeyOnce", false, func(l *lab) {
		for _, v := range []string{"1", "2", "3"} {
			l.put("/a", picked("x", ask("X", v)), tags("t", "u"), deps("d"), body("12345"))
		}
		l.put("/b", tags("u"))
		l.put("/c", tags("other"))
		e := l.get("/a", ask("X", "1")).Entry
		one := e.Bytes()
		ev := l.purge("t", "u", "d", url("/a"), store.HostName("none"), store.PrefixName("shop.test/a"))
		got := l.sweep(ev)
		if len(got) != 2 {
			l.Errorf("swept %v", got)
		}
		if x := got[key("/a")]; x.Entries != 3 || x.Bytes != 3*one {
			l.Errorf("swept %+v, want 3 entries of %d bytes each", x, one)
		}
		l.counts(store.AllName, 1)
		l.counts("u", 0)
		l.swept(ev)
		if st := l.stats(); st.Swept != 4 || st.Entries != 1 {
			l.Errorf("%d swept, %d left", st.Swept, st.Entries)
		}
	}},
	{"SweepSparesReborn", false, func(l *lab) {
		for _, p := range []string{"/a", "/b", "/c"} {
			l.put(p, tags("t"))
		}
		ev := l.purge("t")
		l.put("/b", tags("t"), body("again"))
		l.swept(ev, "/a", "/c")
		l.hit("/b")
		l.counts("t", 1)
	}},
	{"SweepOfAnOldPurgeSparesWhatCameSince", false, func(l *lab) {
		l.put("/a", tags("t"))
		first := l.purge("t")
		l.put("/a", tags("t"))
		l.put("/b", tags("t"))
		second := l.purge("t")
		l.swept(first)
		l.swept(second, "/a", "/b")
	}},
	{"SweepStoppedEarlyIsHarmless", false, func(l *lab) {
		for i := range 300 {
			l.put(fmt.Sprint("/", i), tags("t"))
		}
		l.put("/other", tags("t"), deps("u"))
		ev := l.purge("t")
		for range l.s.Sweep(l.Context(), ev) {
			break
		}
		for i := range 300 {
			l.miss(fmt.Sprint("/", i))
		}
		l.put("/7", tags("t"))
		for range l.s.Sweep(l.Context(), ev) {
		}
		l.counts(store.AllName, 1)
		l.hit("/7")
	}},
	{"SoftSweepReclaimsNothing", false, func(l *lab) {
		l.put("/a", picked("x", ask("X", "1")), tags("t"))
		l.put("/a", picked("x", ask("X", "2")), tags("t", "u"))
		l.put("/b", tags("u"))
		l.put("/c", tags("v"))
		l.put("/d", tags("t", "w"))
		l.purge("w")
		ev := l.soft("t", "u")
		for range 2 { // the same answer to whoever asks again
			got := l.sweep(ev)
			if len(got) != 2 || got[key("/a")].Entries != 2 || got[key("/b")].Entries != 1 {
				l.Errorf("swept %v", got)
			}
		}
		l.stale("/b", ev.At)
		l.counts("t", 3)
	}},
	{"SweepDuringPuts", false, func(l *lab) {
		n := 500
		if !l.c.Bubble {
			n = 100
		}
		for i := range n {
			l.put(fmt.Sprint("/", i), tags("t", store.Name(fmt.Sprint("u", i%7))))
		}
		ev := l.purge("t")
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := 0; i < n; i += 3 {
				l.put(fmt.Sprint("/", i), tags("t", "new"))
			}
		})
		got := make(map[store.Key]bool)
		for x, err := range l.s.Sweep(l.Context(), ev) {
			if err != nil {
				l.Errorf("Sweep: %v", err)
				break
			}
			if got[x.Key] {
				l.Errorf("%s comes twice", x.Key)
			}
			got[x.Key] = true
		}
		wg.Wait()
		for i := range n {
			p := fmt.Sprint("/", i)
			switch {
			case i%3 == 0:
				l.hit(p)
			case !got[key(p)]:
				l.Errorf("%s was not swept", p)
			}
		}
		l.counts("t", (n+2)/3)
		l.counts("new", (n+2)/3)
		l.counts("u0", 0)
	}},
	{"EventsArriveInOrder", false, func(l *lab) {
		ctx, cancel := context.WithCancel(l.Context())
		defer cancel()
		var got []store.Event
		var wg sync.WaitGroup
		wg.Go(func() {
			for ev, err := range l.s.Events(ctx, 0) {
				if err != nil {
					l.Errorf("Events: %v", err)
					return
				}
				if got = append(got, ev); len(got) == 50 {
					cancel()
				}
			}
		})
		for i := range 50 {
			if i == 25 {
				l.pass(0.1) // the reader waits
			}
			l.fall(i%2 == 1, store.Name(fmt.Sprint("t", i)))
		}
		wg.Wait()
		if len(got) != 50 {
			l.Fatalf("%d events", len(got))
		}
		for i, ev := range got {
			want := store.Name(fmt.Sprint("t", i))
			if ev.Seq != store.Seq(i+1) || ev.Soft != (i%2 == 1) || !slices.Equal(ev.Names, names(want)) || ev.ID != "an id" || ev.At.IsZero() {
				l.Errorf("event %d is %+v", i, ev)
			}
		}
	}},
	{"EventsResume", false, func(l *lab) {
		for i := range 3 {
			l.purge(store.Name(fmt.Sprint("t", i)))
		}
		for after := range store.Seq(4) {
			next := after + 1
			ctx, cancel := context.WithTimeout(l.Context(), l.ticks(1))
			for ev, err := range l.s.Events(ctx, after) {
				if err != nil || ev.Seq != next {
					l.Errorf("after %d comes %d, %v", after, ev.Seq, err)
				}
				next++
			}
			cancel()
			if next != 4 {
				l.Errorf("after %d the events end before %d", after, next)
			}
		}
	}},
	{"TrimShowsAsGap", true, func(l *lab) {
		for i := range PurgeLog + 2 {
			l.purge(store.Name(fmt.Sprint("t", i)))
		}
		for ev, err := range l.s.Events(l.Context(), 0) {
			if !errors.Is(err, store.ErrGap) {
				l.Fatalf("event %d, %v; want ErrGap", ev.Seq, err)
			}
		}
		n := 0
		for ev, err := range l.s.Events(l.Context(), 2) {
			if n++; err != nil || ev.Seq != store.Seq(2+n) {
				l.Fatalf("event %d, %v", ev.Seq, err)
			}
			if n == PurgeLog {
				break
			}
		}
	}},
	{"CloseEndsEvents", false, func(l *lab) {
		done := make(chan error, 1)
		go func() {
			var last error
			for _, err := range l.s.Events(context.WithoutCancel(l.Context()), 0) {
				last = err
			}
			done <- last
		}()
		l.pass(0.1)
		if err := l.s.Close(); err != nil {
			l.Errorf("Close: %v", err)
		}
		if err := <-done; err != nil && !errors.Is(err, store.ErrClosed) {
			l.Errorf("Events ends with %v", err)
		}
	}},
	{"UseAfterCloseIsRefused", false, func(l *lab) {
		e := l.put("/a", tags("t"))
		ev := l.purge("x")
		if err := l.s.Close(); err != nil {
			l.Errorf("Close: %v", err)
		}
		ctx := l.Context()
		check := func(what string, err error) {
			if !errors.Is(err, store.ErrClosed) {
				l.Errorf("%s after Close: %v", what, err)
			}
		}
		_, err := l.s.Get(ctx, e.Key, nil)
		check("Get", err)
		check("Put", l.s.Put(ctx, e))
		_, err = l.s.Purge(ctx, store.Purge{Names: names("t")})
		check("Purge", err)
		_, err = l.s.Dependents(ctx, names("t"))
		check("Dependents", err)
		_, err = l.s.Count(ctx, "t")
		check("Count", err)
		_, _, err = l.s.List(ctx, "t", "", 1)
		check("List", err)
		_, err = l.s.Stats(ctx)
		check("Stats", err)
		for _, err = range l.s.Sweep(ctx, ev) {
		}
		check("Sweep", err)
		for _, err = range l.s.Events(ctx, 0) {
		}
		check("Events", err)
	}},
	{"CountsFollowPutsAndSweeps", false, func(l *lab) {
		a := l.put("/a", tags("t", "u"), deps("u", "v"))
		b := l.put("/b", tags("t"))
		for n, want := range map[store.Name]store.Count{
			"t": {Entries: 2, Bytes: a.Bytes() + b.Bytes()},
			"u": {Entries: 1, Bytes: a.Bytes()}, "v": {Entries: 1, Bytes: a.Bytes()},
			"w":                         {},
			store.AllName:               {Entries: 2, Bytes: a.Bytes() + b.Bytes()},
			store.HostName("shop.test"): {Entries: 2, Bytes: a.Bytes() + b.Bytes()},
			url("/a"):                   {Entries: 1, Bytes: a.Bytes()},
			url("/c"):                   {},
		} {
			if c := l.count(n); c != want {
				l.Errorf("Count %s: %+v, want %+v", n, c, want)
			}
		}
		ev := l.purge("v")
		l.counts("t", 2) // until it is swept
		l.swept(ev, "/a")
		l.counts("t", 1)
		l.counts("u", 0)
		l.counts(url("/a"), 0)
		l.counts(store.AllName, 1)
	}},
	{"ListPages", false, func(l *lab) {
		want := make(map[store.Key]bool)
		for i := range 25 {
			e := l.put(fmt.Sprint("/", i), tags("t"))
			want[e.Key] = true
		}
		l.put("/25", tags("t", "fallen"))
		l.put("/26", tags("other"))
		l.purge("fallen")
		for _, n := range []store.Name{"t", store.HostName("shop.test"), store.AllName} {
			left := len(want)
			if n != "t" {
				left++
			}
			for _, limit := range []int{1, 7, 25, 100} {
				got := l.list(n, limit, func(int) {})
				if len(got) != left {
					l.Errorf("a list of %s, %d at a time, has %d", n, limit, len(got))
				}
				for _, e := range got {
					if e.Body != nil || n == "t" && (!want[e.Key] || e.Tags != "t") {
						l.Errorf("the list of %s has %+v", n, e)
					}
				}
			}
		}
		if got := l.list(store.PrefixName("shop.test/1"), 4, func(int) {}); len(got) != 11 {
			l.Errorf("the list of a prefix has %d", len(got))
		}
		if got := l.list("none", 10, func(int) {}); len(got) != 0 {
			l.Errorf("a list of nothing has %d", len(got))
		}
		if got := l.list(url("/3"), 10, func(int) {}); len(got) != 1 || got[0].Key != key("/3") {
			l.Errorf("the list of a URL has %v", got)
		}
	}},
	{"ListIsStableWhileThingsChange", false, func(l *lab) {
		for i := range 30 {
			ns := names("t")
			if i%3 == 0 {
				ns = names("t", "go")
			}
			l.put(fmt.Sprint("/", i), tags(ns...))
		}
		got := l.list("t", 5, func(page int) {
			switch page {
			case 1:
				l.sweep(l.purge("go"))
			case 2:
				l.put("/new", tags("t"))
				l.put("/1", tags("t"), body("again"))
			}
		})
		n := make(map[store.Key]int)
		for _, e := range got {
			n[e.Key]++
		}
		for i := range 30 {
			if i%3 != 0 && n[key(fmt.Sprint("/", i))] != 1 {
				l.Errorf("/%d comes %d times", i, n[key(fmt.Sprint("/", i))])
			}
		}
	}},
	{"StatsAddUp", false, func(l *lab) {
		before := l.stats()
		l.put("/a", tags("t"))
		l.purge("x")
		st := l.stats()
		if st.Entries != 1 || st.Bytes <= before.Bytes || st.Seq != 1 || st.Fences == 0 || st.Names == 0 {
			l.Errorf("stats are %+v", st)
		}
	}},
}

// list pages through a name, calling between after each page.
func (l *lab) list(n store.Name, limit int, between func(page int)) []store.Entry {
	l.Helper()
	var all []store.Entry
	cursor := ""
	for page := 1; ; page++ {
		es, next, err := l.s.List(l.Context(), n, cursor, limit)
		if err != nil {
			l.Fatalf("List %s from %q: %v", n, cursor, err)
		}
		if len(es) > limit {
			l.Errorf("a page of %d has %d", limit, len(es))
		}
		all = append(all, es...)
		if next == "" {
			return all
		}
		if page > 200 {
			l.Fatalf("List %s does not end", n)
		}
		cursor = next
		between(page)
	}
}
