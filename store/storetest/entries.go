package storetest

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"surrogate/store"
)

var entryCases = []testCase{
	{"MissIsNotAnError", false, func(l *lab) {
		if f := l.get("/nothing", nil); f.Hit || f.Entry.Key != "" || f.Ticket != 0 || !f.Fell.IsZero() || f.Doubt {
			l.Errorf("Get of nothing: %+v", f)
		}
	}},
	{"GetReturnsWhatPutStored", false, func(l *lab) {
		e := l.put("/a?b=c", tags("t1", "t2", "ü\"*'"), deps("d1", url("/other")), func(e *store.Entry) {
			e.Status = 203
			e.Head = store.HeadText("X-B: 1\r\nX-A: 2\r\nX-B: 0\r\nX-Empty: \r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n")
			e.Hidden = store.HeadText("Surrogate-Control: max-age=9\r\n")
			e.Body = []byte{0, 1, 2, 0xff, '\n'}
			e.Trailer = store.HeadText("X-Sum: 5\r\n")
			e.Life.WhileRevalidate, e.Life.IfError, e.Life.Keep = 1*time.Second, 2*time.Second, 3*time.Second
			e.Life.Flags = store.NoCache | store.Heuristic
			e.Cost = 77 * time.Millisecond
		})
		same(l, l.get("/a?b=c", nil).Entry, *e)
	}},
	{"HeadsThatAreAlike", false, func(l *lab) {
		const alike = "Content-Type: text/html\r\nVary: a\r\nServer: one that has much to say of itself\r\nVary: b\r\n"
		head := func(i int) store.Head { return store.HeadText(fmt.Sprintf("Etag: %d\r\n%s", i, alike)) }
		for i := range 5 {
			l.put(fmt.Sprintf("/%d", i), func(e *store.Entry) { e.Head = head(i) })
		}
		for i := range 5 {
			got := l.get(fmt.Sprintf("/%d", i), nil).Entry
			if want := head(i); !reflect.DeepEqual(got.Head.Header(), want.Header()) || got.Head.Len() != want.Len() {
				l.Errorf("head %d is %q", i, got.Head)
			}
		}
	}},
	{"GetReturnsParts", false, func(l *lab) {
		e := l.put("/a", body("abcdef"), func(e *store.Entry) {
			e.Parts, e.Size = []store.Part{{From: 0, Len: 2}, {From: 10, Len: 4}}, -1
		})
		same(l, l.get("/a", nil).Entry, *e)
		l.put("/b", body(""), func(e *store.Entry) { e.Parts, e.Size = []store.Part{}, 10 })
		if f := l.get("/b", nil); f.Entry.Complete() || f.Entry.Size != 10 {
			l.Errorf("an entry of no parts comes back complete, size %d", f.Entry.Size)
		}
	}},
	{"BodiesOfAllLengths", false, func(l *lab) {
		for _, n := range []int{0, 1, 100, 16<<10 - 1, 16 << 10, 16<<10 + 1, 300_000} {
			b := bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n]
			p := fmt.Sprintf("/%d", n)
			l.put(p, body(string(b)))
			if f := l.get(p, nil); !f.Hit || !bytes.Equal(f.Entry.Body, b) {
				l.Errorf("a body of %d bytes comes back as %d", n, len(f.Entry.Body))
			}
		}
	}},
	{"PutReplaces", false, func(l *lab) {
		l.put("/a", tags("old"), body("1"))
		l.put("/a", tags("new"), body("two"))
		if f := l.get("/a", nil); string(f.Entry.Body) != "two" {
			l.Errorf("body is %q", f.Entry.Body)
		}
		l.counts("old", 0)
		l.counts("new", 1)
		l.counts(store.AllName, 1)
		l.purge("old")
		l.hit("/a")
	}},
	{"PutDoesNotReplaceTheNewer", false, func(l *lab) {
		early := l.entry("/a", body("asked for before the purge"))
		l.purge("t")
		l.pass(1)
		newer := l.put("/a", body("asked for after it"))
		l.refused(early, store.ErrNewer)
		late := l.entry("/a", body("born before"), func(e *store.Entry) { e.Life.Born = newer.Life.Born.Add(-time.Second) })
		l.refused(late, store.ErrNewer)
		another := l.entry("/a", picked("x", ask("X", "1")), func(e *store.Entry) { e.Life.Born = late.Life.Born })
		l.refused(another, store.ErrNewer) // it would take the place of all
		if f := l.get("/a", nil); string(f.Entry.Body) != "asked for after it" {
			l.Errorf("found %q", f.Entry.Body)
		}
		l.counts(store.AllName, 1)
		equal := *newer
		equal.Body = []byte("as old")
		if err := l.s.Put(l.Context(), &equal); err != nil {
			l.Errorf("what is as old as what is stored: %v", err)
		}
		if f := l.get("/a", nil); string(f.Entry.Body) != "as old" {
			l.Errorf("found %q", f.Entry.Body)
		}
	}},
	{"PutComesAfterWhatIsDead", false, func(l *lab) {
		early := l.entry("/a")
		l.purge("t")
		l.put("/a", tags("x"))
		l.purge("x")
		if err := l.s.Put(l.Context(), early); err != nil {
			l.Errorf("Put: %v", err)
		}
		l.hit("/a")
		l.put("/b", life(l.ticks(2)))
		l.pass(1)
		long := l.entry("/b", life(l.ticks(100)), func(e *store.Entry) { e.Life.Born = e.Life.Born.Add(-l.ticks(20)) })
		l.refused(long, store.ErrNewer)
		l.pass(4)
		if err := l.s.Put(l.Context(), long); err != nil {
			l.Errorf("Put: %v", err)
		}
		l.hit("/b")
	}},
	{"PutOfOtherPicksStandsBesideTheNewer", false, func(l *lab) {
		early := l.entry("/a", picked("x", ask("X", "1")))
		l.purge("t")
		l.put("/a", picked("x", ask("X", "2")))
		if err := l.s.Put(l.Context(), early); err != nil {
			l.Errorf("Put: %v", err)
		}
		l.counts(store.AllName, 2)
	}},
	{"PutDoesNotAlias", false, func(l *lab) {
		// What was found stays as it is, whatever is put, purged and swept later.
		l.put("/a", tags("t"), body(strings.Repeat("1", 100)))
		f := l.get("/a", nil)
		ev := l.purge("t")
		l.sweep(ev)
		for i := range 100 {
			l.put("/a", tags("t"), body(strings.Repeat("2", 100)), func(e *store.Entry) { e.Cost = time.Duration(i) })
		}
		if string(f.Entry.Body) != strings.Repeat("1", 100) || f.Entry.Key != key("/a") || f.Entry.Tags != "t" {
			l.Errorf("what was found has become %s %s %q", f.Entry.Key, f.Entry.Tags, f.Entry.Body)
		}
	}},
	{"SchemesAreApart", false, func(l *lab) {
		l.put("http://h.test/a", body("plain"))
		l.put("https://h.test/a", body("secure"))
		for p, want := range map[string]string{"http://h.test/a": "plain", "https://h.test/a": "secure"} {
			if f := l.get(p, nil); string(f.Entry.Body) != want {
				l.Errorf("%s is %q", p, f.Entry.Body)
			}
		}
		l.counts(url("http://h.test/a"), 2)
	}},
	{"VarySelects", false, func(l *lab) {
		for _, v := range []string{"gzip", "br"} {
			l.put("/a", picked("accept-encoding", ask("Accept-Encoding", v)), body(v))
		}
		for _, v := range []string{"gzip", "br"} {
			f := l.get("/a", ask("Accept-Encoding", v, "User-Agent", "x"))
			if !f.Hit || string(f.Entry.Body) != v {
				l.Errorf("asked for %s, got %q", v, f.Entry.Body)
			}
		}
		for _, h := range []string{"zstd", ""} {
			if f := l.get("/a", ask("Accept-Encoding", h)); f.Hit {
				l.Errorf("asked for %q, got %q", h, f.Entry.Body)
			} else if f.Vary != "accept-encoding" {
				l.Errorf("a miss is known by Vary %q", f.Vary)
			}
		}
	}},
	{"VaryAbsentIsNotEmpty", false, func(l *lab) {
		l.put("/a", picked("x", ask()), body("absent"))
		if f := l.get("/a", ask("X", "")); f.Hit {
			l.Errorf("an empty field selects %q", f.Entry.Body)
		}
		l.put("/a", picked("x", ask("X", "")), body("empty"))
		for want, h := range map[string][]string{"absent": {}, "empty": {"X", ""}} {
			if f := l.get("/a", ask(h...)); string(f.Entry.Body) != want {
				l.Errorf("%q selects %q, want %q", h, f.Entry.Body, want)
			}
		}
	}},
	{"VaryChangeDropsVariants", false, func(l *lab) {
		l.put("/a", picked("x", ask("X", "1")), body("x1"), tags("t"))
		l.put("/a", picked("x", ask("X", "2")), body("x2"), tags("t"))
		l.counts("t", 2)
		l.put("/a", picked("x,y", ask("X", "1", "Y", "1")), body("x1y1"), tags("t"))
		l.counts("t", 1)
		if f := l.get("/a", ask("X", "2")); f.Hit {
			l.Errorf("got %q", f.Entry.Body)
		}
		if f := l.get("/a", ask("X", "1", "Y", "1")); string(f.Entry.Body) != "x1y1" {
			l.Errorf("got %q", f.Entry.Body)
		}
		l.put("/a", body("none"), tags("t"))
		l.counts("t", 1)
		if f := l.get("/a", ask("X", "1", "Y", "1")); string(f.Entry.Body) != "none" {
			l.Errorf("got %q", f.Entry.Body)
		}
	}},
	{"AlternativePickSelectsTheNewest", false, func(l *lab) {
		const vary = "accept-language"
		one := ask("Accept-Language", "de, en;q=0.5")
		two := ask("Accept-Language", "de, fr;q=0.5")
		for i, a := range []string{"first", "second"} {
			h := one
			if i == 1 {
				h = two
			}
			l.put("/a", picked(vary, h), body(a), func(e *store.Entry) {
				e.Alt = store.AltPickFor(vary, h, []string{"de"})
			})
		}
		if f := l.get("/a", one); string(f.Entry.Body) != "first" {
			l.Errorf("its own pick selects %q", f.Entry.Body)
		}
		third := ask("Accept-Language", "de, es;q=0.1")
		if f := l.get("/a", third); string(f.Entry.Body) != "second" {
			l.Errorf("another request for German selects %q", f.Entry.Body)
		}
		if f := l.get("/a", ask("Accept-Language", "es, de;q=0.1")); f.Hit {
			l.Errorf("a request for Spanish selects %q", f.Entry.Body)
		}
	}},
	{"TooManyPicksDropTheLeastRecentlyStored", true, func(l *lab) {
		put := func(i int) { l.put("/a", picked("x", ask("X", fmt.Sprint(i))), tags("t")) }
		for i := range Picks {
			put(i)
		}
		put(0) // stored again: the least recent is 1
		put(Picks)
		l.counts("t", Picks)
		for i := range Picks + 1 {
			if f := l.get("/a", ask("X", fmt.Sprint(i))); f.Hit != (i != 1) {
				l.Errorf("pick %d: hit %v", i, f.Hit)
			}
		}
	}},
	{"EntriesDie", false, func(l *lab) {
		l.put("/short", life(l.ticks(2)))
		l.put("/kept", life(l.ticks(2)), func(e *store.Entry) { e.Life.Keep = l.ticks(3) })
		l.put("/long", life(l.ticks(50)))
		l.pass(1)
		l.hit("/short", "/kept", "/long")
		l.pass(2)
		l.miss("/short")
		l.hit("/kept", "/long")
		l.pass(3)
		l.miss("/short", "/kept")
		l.hit("/long")
	}},
	{"StillbornEntriesAreNotShown", false, func(l *lab) {
		l.put("/a", func(e *store.Entry) { e.Life.Born = e.Life.Born.Add(-l.ticks(1000)) })
		l.miss("/a")
	}},
	{"EndlessLivesEnd", false, func(l *lab) {
		// Durations add up without wrapping round.
		l.put("/a", life(1<<63-1), func(e *store.Entry) { e.Life.IfError = 1<<63 - 1 })
		l.pass(1)
		l.hit("/a")
	}},
	{"ManyTags", false, func(l *lab) {
		var ns []store.Name
		for i := range 1000 {
			ns = append(ns, store.Name(fmt.Sprintf("tag-%04d-%s", i, strings.Repeat("x", 24))))
		}
		l.put("/a", tags(ns...))
		l.put("/b", tags(ns[:999]...))
		if f := l.get("/a", nil); f.Entry.Tags.Len() != 1000 {
			l.Errorf("%d tags come back", f.Entry.Tags.Len())
		}
		ev := l.purge(ns[999])
		l.miss("/a")
		l.hit("/b")
		l.swept(ev, "/a")
		l.counts(ns[0], 1)
		ev = l.purge(ns...)
		l.swept(ev, "/b")
		l.counts(ns[0], 0)
	}},
	{"OddTags", false, func(l *lab) {
		odd := []store.Name{"*", "a*", `"`, "'", "{x}", "ü", "日本", "a:b/c?d=e", "[1]", `\`, "%20", "A", "a", "all", "url", store.Name(strings.Repeat("x", store.MaxTag))}
		for i, n := range odd {
			l.put(fmt.Sprintf("/%d", i), tags(n))
		}
		for i, n := range odd {
			l.purge(n)
			for j := range odd {
				if f := l.get(fmt.Sprintf("/%d", j), nil); f.Hit != (j > i) {
					l.Errorf("after %q fell, what carries %q: hit %v", n, odd[j], f.Hit)
				}
			}
		}
	}},
	{"TooLarge", false, func(l *lab) {
		st := l.stats()
		if st.Capacity == 0 || st.Capacity > 512<<20 {
			l.Skip("its capacity is not to be filled by a test")
		}
		l.put("/a", body("before"))
		e := l.entry("/a")
		e.Body = make([]byte, st.Capacity)
		l.refused(e, store.ErrTooLarge)
		l.hit("/a")
	}},
	{"CancelledContextReturns", false, func(l *lab) {
		ctx, cancel := context.WithCancel(l.Context())
		l.put("/a", tags("t"))
		ev := l.purge("x")
		cancel()
		// Whatever they return, they do; and an error means that nothing happened.
		if _, err := l.s.Purge(ctx, store.Purge{Names: names("t")}); err != nil {
			l.hit("/a")
		} else {
			l.miss("/a")
		}
		_, _ = l.s.Get(ctx, key("/a"), nil)
		_ = l.s.Put(ctx, l.entry("/b"))
		_, _ = l.s.Count(ctx, "t")
		_, _, _ = l.s.List(ctx, "t", "", 10)
		_, _ = l.s.Dependents(ctx, names("t"))
		for range l.s.Sweep(ctx, ev) {
		}
		for range l.s.Events(ctx, 0) {
		}
		if err := l.s.Run(ctx); err != nil {
			l.Errorf("Run: %v", err)
		}
	}},
}

// same wants two entries to be equal, times by what they mean.
func same(l *lab, got, want store.Entry) {
	l.Helper()
	if !got.Life.Born.Equal(want.Life.Born) {
		l.Errorf("born %v, want %v", got.Life.Born, want.Life.Born)
	}
	if !bytes.Equal(got.Body, want.Body) || !slices.Equal(got.Parts, want.Parts) || got.Complete() != want.Complete() {
		l.Errorf("body %q %v, want %q %v", got.Body, got.Parts, want.Body, want.Parts)
	}
	got.Life.Born, got.Body, got.Parts = time.Time{}, nil, nil
	want.Life.Born, want.Body, want.Parts = time.Time{}, nil, nil
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		l.Errorf("got\n%s\nwant\n%s", g, w)
	}
}
