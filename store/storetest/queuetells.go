package storetest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"surrogate/store"
)

// queueTellCases are what a run tells besides its figures.
var queueTellCases = []queueCase{
	{name: "WhyPagesAreNotKept", run: func(l *queueLab) {
		l.begin("r")
		const n = store.MaxReasonURLs + 2
		l.add("r", many("c", n, 1)...)
		l.add("r", jobs(1, "/private", "/fine")...)
		for _, j := range l.takeAll(l.q, n+2) {
			o := store.Outcome{State: store.Unkept, Why: "set-cookie"}
			switch j.URL {
			case "http://shop.test/private":
				o.Why = "n private: \"é\""
			case "http://shop.test/fine":
				o = store.Outcome{State: store.Warmed, Why: "told to nobody"}
			}
			l.settle(l.q, j, o)
		}
		l.seal("r")
		p := l.counts("r", n+2, 1, 0, n+1, 0, 0)
		if len(p.Reasons) != 2 || len(p.Failures) != 0 {
			l.Fatalf("%+v", p)
		}
		if x := p.Reasons[0]; x.Why != "set-cookie" || x.Count != n || len(x.URLs) != store.MaxReasonURLs || x.URLs[0] != "http://shop.test/c/0" {
			l.Errorf("the first: %+v", x)
		}
		if x := p.Reasons[1]; x.Why != "n private: \"é\"" || x.Count != 1 || !slices.Equal(x.URLs, []string{"http://shop.test/private"}) {
			l.Errorf("the second: %+v", x)
		}
		if rs, err := l.o.Runs(l.Context(), 1); err != nil || len(rs) != 1 || rs[0].Reasons != nil {
			l.Errorf("listed: %+v, %v", rs, err)
		}
		// Another run has reasons of its own.
		l.begin("s")
		l.add("s", job("/c/0", 1))
		l.settle(l.q, l.take(l.q, 1)[0], store.Outcome{State: store.Unkept, Why: "no-store"})
		if p := l.progress("s"); len(p.Reasons) != 1 || p.Reasons[0].Count != 1 {
			l.Errorf("%+v", p.Reasons)
		}
	}},
	{name: "ReasonsAreBounded", run: func(l *queueLab) {
		l.begin("r")
		const n = 2 * store.MaxReasons
		long := strings.Repeat("é", 10_000)
		l.add("r", many("f", n, 1)...)
		for i := range n {
			l.settle(l.q, l.take(l.q, 1)[0], store.Outcome{State: store.Unkept, Why: fmt.Sprint(i%(n-1), long)})
		}
		p := l.counts("r", n, 0, 0, n, 0, 0)
		if len(p.Reasons) != store.MaxReasons+1 {
			l.Fatalf("%d reasons", len(p.Reasons))
		}
		if x := p.Reasons[0]; x.Why != "" || x.Count != n-1-store.MaxReasons || len(x.URLs) != store.MaxReasonURLs {
			l.Errorf("the others: %+v", x)
		}
		if x := p.Reasons[1]; x.Why != store.Shorten("0"+long) || x.Count != 2 {
			l.Errorf("a reason of %d bytes, %d pages", len(x.Why), x.Count)
		}
	}},
	{name: "WhatIsLeftBySite", small: true, run: func(l *queueLab) {
		left := func(when string, want map[string]int) {
			l.Helper()
			if p := l.progress("r"); !maps.Equal(p.Left, want) {
				l.Errorf("%s: %v, want %v", when, p.Left, want)
			}
		}
		l.begin("r")
		l.begin("hot")
		left("nothing yet", nil)
		blog := func(path string) store.Job {
			return store.Job{Site: "l:a {b}", URL: "http://blog.test" + path, Heat: 1}
		}
		l.add("r", append(many("a", 4, 2), blog("/"), blog("/2"))...)
		left("added", map[string]int{"shop": 4, "l:a {b}": 2})
		if rs, err := l.o.Runs(l.Context(), 9); err != nil || len(rs) != 2 || rs[0].Total+rs[1].Total != 6 || len(rs[0].Left)+len(rs[1].Left) != 2 {
			l.Errorf("listed: %+v, %v", rs, err)
		}
		js := l.takeAll(l.q, 5)
		l.settle(l.q, js[0], warmed)
		l.settle(l.q, js[0], warmed)
		l.settle(l.q, js[4], store.Outcome{State: store.Failed})
		l.settle(l.q, js[1], store.Outcome{State: store.Again, After: l.ticks(1)})
		left("three settled, one of them put back", map[string]int{"shop": 3, "l:a {b}": 1})
		l.adds("hot", many("h", QueueJobs, 1000), QueueJobs-1, 1)
		left("one dropped", map[string]int{"shop": 3})
		l.pass(QueueLease + 1)
		l.settle(l.q, js[2], warmed) // its lease is over
		left("one settled late", map[string]int{"shop": 2})
		if err := l.q.Cancel(l.Context(), "r"); err != nil {
			l.Fatal(err)
		}
		left("cancelled", nil)
	}},
	{name: "TroubleIsTold", run: func(l *queueLab) {
		l.begin("r")
		l.add("r", jobs(1, "/a", "/b")...)
		for i, j := range l.takeAll(l.q, 2) {
			l.settle(l.q, j, store.Outcome{State: store.Again, Why: fmt.Sprint("no answer ", i)})
		}
		if p := l.progress("r"); p.Retries != 2 || p.Trouble != (store.URLFailure{URL: "http://shop.test/b", Why: "no answer 1"}) || len(p.Failures) != 0 {
			l.Errorf("%+v", p)
		}
		// What is handed back without a reason is no trouble.
		js := l.takeAll(l.q, 2)
		l.settle(l.q, js[0], store.Outcome{State: store.Again})
		l.settle(l.q, js[1], warmed)
		if p := l.progress("r"); p.Retries != 2 || p.Trouble.Why != "no answer 1" {
			l.Errorf("%+v", p)
		}
	}},
	{name: "FailuresAreBounded", run: func(l *queueLab) {
		l.begin("r")
		const n = store.MaxFailures + 20
		l.add("r", many("f", n, 1)...)
		long := strings.Repeat("é", 10_000)
		for range n {
			l.settle(l.q, l.take(l.q, 1)[0], store.Outcome{State: store.Failed, Why: long})
		}
		if err := l.q.Seal(l.Context(), "r", "the list broke off"); err != nil {
			l.Fatal(err)
		}
		p := l.counts("r", n, 0, 0, 0, n, 0)
		if len(p.Failures) != store.MaxFailures || p.Failures[0].Why != "the list broke off" || p.Failures[1].URL != "http://shop.test/f/0" {
			l.Fatalf("%d failures, the first %.60v", len(p.Failures), p.Failures[:2])
		}
		if why := p.Failures[1].Why; why != store.Shorten(long) || len(why) > 2<<10 {
			l.Errorf("a reason of %d bytes", len(why))
		}
	}},
}
