package storetest

import (
	"errors"
	"fmt"

	"surrogate/store"
)

var warmed = store.Outcome{State: store.Warmed}

var queueRunCases = []queueCase{
	{name: "BeginKeepsTheFirst", run: func(l *queueLab) {
		l.begin("r")
		id, created, err := l.o.Begin(l.Context(), store.Run{ID: "r", Kind: "sitemap", What: "other", Sum: "other"})
		if id != "r" || created || err != nil {
			l.Fatalf("%q, %v, %v", id, created, err)
		}
		p := l.progress("r")
		if p.Kind != "list" || p.What != "list of r" || p.By != "test" || p.Sum != "sum of r" || p.At.IsZero() || p.Sealed || p.Cancelled || !p.Ended.IsZero() || p.Done() {
			l.Errorf("%+v", p)
		}
	}},
	{name: "AnEmptyIDIsGivenOne", run: func(l *queueLab) {
		a, b := l.begin(""), l.begin("")
		if a == "" || a == b {
			l.Errorf("%q and %q", a, b)
		}
	}},
	{name: "UnknownRuns", run: func(l *queueLab) {
		_, _, add := l.q.Add(l.Context(), "x", jobs(1, "/a"))
		_, _, none := l.q.Add(l.Context(), "x", nil)
		_, progress := l.q.Progress(l.Context(), "x")
		for what, err := range map[string]error{
			"Add": add, "Add of nothing": none, "Progress": progress, "Seal": l.q.Seal(l.Context(), "x", ""), "Cancel": l.q.Cancel(l.Context(), "x"),
		} {
			if !errors.Is(err, store.ErrNoRun) {
				l.Errorf("%s: %v", what, err)
			}
		}
		l.holds(0, 0)
	}},
	{name: "ARunHasAJobOnce", run: func(l *queueLab) {
		l.begin("r")
		l.begin("s")
		picked := job("/a", 1)
		picked.Vary, picked.Pick = "accept-language", "accept-language: de\n"
		l.adds("r", []store.Job{job("/a", 1), job("/b", 1), job("/a", 5), picked}, 3, 0)
		l.adds("r", []store.Job{picked, job("/b", 2), job("/c", 1)}, 1, 0)
		l.adds("s", jobs(1, "/a"), 1, 0)
		for _, j := range l.takeAll(l.q, 5) {
			l.settle(l.q, j, warmed)
		}
		l.adds("r", jobs(1, "/a"), 0, 0)
		l.counts("r", 4, 4, 0, 0, 0, 0)
		l.counts("s", 1, 1, 0, 0, 0, 0)
		l.holds(0, 0)
	}},
	{name: "JobsComeAsTheyWereAdded", run: func(l *queueLab) {
		l.begin("r")
		want := store.Job{Site: "a:{b} ü", URL: "https://shop.test/ü?a=1&b=%20", Vary: "accept,cookie", Pick: "accept: */*\ncookie: a=b\x00c\n", Heat: 2.5, Depth: 3, Force: true}
		sent := want
		sent.ID, sent.Run, sent.Taken = "mine", "other", 7
		l.add("r", sent)
		got := l.take(l.o, 1)[0]
		id := got.ID
		want.ID, want.Run = id, "r"
		if got != want || id == "" || id == "mine" {
			l.Errorf("%+v", got)
		}
	}},
	{name: "SealedAndSettledIsDone", run: func(l *queueLab) {
		l.begin("r")
		l.add("r", jobs(1, "/a", "/b", "/c", "/d", "/e")...)
		states := []store.Outcome{
			{State: store.Warmed, Bytes: 100},
			{State: store.Fresh},
			{State: store.Unkept, Bytes: 7, Why: "private"},
			{State: store.Failed, Why: "connection refused", Bytes: 1},
		}
		js := l.takeAll(l.q, 5)
		for i, o := range states {
			l.settle(l.q, js[i], o)
		}
		l.seal("r")
		l.seal("r")
		if p := l.counts("r", 5, 1, 1, 1, 1, 0); p.Done() || !p.Sealed || !p.Ended.IsZero() || p.Bytes != 108 {
			l.Errorf("before the last: %+v", p)
		}
		// What it has may add more, which then is not done either.
		l.add("r", job("/f", 1))
		l.settle(l.o, js[4], warmed)
		if p := l.progress("r"); p.Done() {
			l.Errorf("done with a job to do: %+v", p)
		}
		l.settle(l.o, l.take(l.o, 1)[0], warmed)
		p := l.counts("r", 6, 3, 1, 1, 1, 0)
		if !p.Done() || p.Ended.IsZero() {
			l.Errorf("after the last: %+v", p)
		}
		if len(p.Failures) != 1 || p.Failures[0].Why != "connection refused" || p.Failures[0].URL != js[3].URL {
			l.Errorf("failures: %+v", p.Failures)
		}
		if _, _, err := l.q.Add(l.Context(), "r", jobs(1, "/g")); !errors.Is(err, store.ErrRunOver) {
			l.Errorf("Add to what is done: %v", err)
		}
		if err := l.q.Cancel(l.Context(), "r"); err != nil {
			l.Errorf("Cancel of what is done: %v", err)
		}
		if p := l.progress("r"); p.Cancelled {
			l.Errorf("cancelled when done")
		}
		if st := l.holds(0, 0); st.Bytes != 0 {
			l.Errorf("%+v", st)
		}
	}},
	{name: "ASealedRunWithoutJobsIsDone", run: func(l *queueLab) {
		l.begin("r")
		if err := l.q.Seal(l.Context(), "r", "404 Not Found"); err != nil {
			l.Fatal(err)
		}
		p := l.progress("r")
		if !p.Done() || p.Ended.IsZero() || len(p.Failures) != 1 || p.Failures[0] != (store.URLFailure{Why: "404 Not Found"}) {
			l.Errorf("%+v", p)
		}
	}},
	{name: "CancelDropsWhatIsQueued", run: func(l *queueLab) {
		l.begin("r")
		l.begin("s")
		l.add("r", many("r", 1200, 1)...)
		l.add("s", many("s", 3, 1)...)
		js := l.takeAll(l.q, 3)
		l.settle(l.q, js[0], store.Outcome{State: store.Again, After: l.ticks(1)})
		if err := l.o.Cancel(l.Context(), "r"); err != nil {
			l.Fatal(err)
		}
		if p := l.counts("r", 1200, 0, 0, 0, 0, 1198); !p.Cancelled || !p.Sealed || p.Done() {
			l.Errorf("%+v", p)
		}
		l.holds(3, 2)
		if _, _, err := l.q.Add(l.Context(), "r", jobs(1, "/x")); !errors.Is(err, store.ErrRunOver) {
			l.Errorf("Add after Cancel: %v", err)
		}
		l.settle(l.q, js[1], warmed)
		l.settle(l.q, js[2], store.Outcome{State: store.Again})
		if p := l.counts("r", 1200, 1, 0, 0, 0, 1199); !p.Done() || p.Ended.IsZero() {
			l.Errorf("%+v", p)
		}
		l.pass(2)
		for _, j := range l.takeAll(l.o, 3) {
			if j.Run != "s" {
				l.Errorf("took %s of a cancelled run", j.URL)
			}
			l.settle(l.o, j, warmed)
		}
		l.none(l.q, nil)
		l.holds(0, 0)
	}},
	{name: "ACancelledRunMayBeEmpty", run: func(l *queueLab) {
		l.begin("r")
		if err := l.q.Cancel(l.Context(), "r"); err != nil {
			l.Fatal(err)
		}
		if p := l.progress("r"); !p.Done() || !p.Cancelled || p.Ended.IsZero() {
			l.Errorf("%+v", p)
		}
	}},
	{name: "WhatLapsesAfterCancelIsDropped", run: func(l *queueLab) {
		l.begin("r")
		l.add("r", jobs(1, "/a", "/b")...)
		j := l.take(l.q, 1)[0]
		if err := l.q.Cancel(l.Context(), "r"); err != nil {
			l.Fatal(err)
		}
		l.counts("r", 2, 0, 0, 0, 0, 1)
		l.pass(QueueLease)
		l.none(l.o, nil)
		if p := l.counts("r", 2, 0, 0, 0, 0, 2); !p.Done() {
			l.Errorf("%+v", p)
		}
		l.settle(l.q, j, warmed)
		l.counts("r", 2, 0, 0, 0, 0, 2)
		l.holds(0, 0)
	}},
	{name: "WhatIsSettledAfterCancelCountsOnce", run: func(l *queueLab) {
		l.begin("r")
		l.add("r", job("/a", 1))
		j := l.take(l.q, 1)[0]
		l.pass(QueueLease)
		l.none(l.o, func(string) bool { return true }) // it waits again
		if err := l.q.Cancel(l.Context(), "r"); err != nil {
			l.Fatal(err)
		}
		l.counts("r", 1, 0, 0, 0, 0, 1)
		l.settle(l.q, j, warmed)
		l.counts("r", 1, 0, 0, 0, 0, 1)
		l.holds(0, 0)
	}},
	{name: "RunsAreListedNewestFirst", run: func(l *queueLab) {
		for _, id := range []string{"a", "b", "c"} {
			l.begin(id)
			l.pass(1)
		}
		l.add("a", job("/1", 1))
		l.settle(l.q, l.take(l.q, 1)[0], store.Outcome{State: store.Failed, Why: "x"})
		rs, err := l.o.Runs(l.Context(), 2)
		if err != nil || len(rs) != 2 || rs[0].ID != "c" || rs[1].ID != "b" {
			l.Fatalf("%+v, %v", rs, err)
		}
		rs, err = l.o.Runs(l.Context(), 10)
		if err != nil || len(rs) != 3 || rs[2].ID != "a" || rs[2].Total != 1 || rs[2].Failed != 1 || rs[2].Failures != nil {
			l.Fatalf("%+v, %v", rs, err)
		}
	}},
	{name: "RunsAreBounded", small: true, run: func(l *queueLab) {
		for i := range QueueRuns {
			l.begin(fmt.Sprint("r", i))
		}
		if _, _, err := l.q.Begin(l.Context(), store.Run{ID: "more"}); !errors.Is(err, store.ErrRuns) {
			l.Fatalf("Begin of one too many: %v", err)
		}
		l.seal("r2")
		l.begin("more")
		if _, err := l.q.Progress(l.Context(), "r2"); !errors.Is(err, store.ErrNoRun) {
			l.Errorf("what is done did not make room: %v", err)
		}
		rs, err := l.q.Runs(l.Context(), 100)
		if err != nil || len(rs) != QueueRuns {
			l.Errorf("%d runs, %v", len(rs), err)
		}
	}},
	{name: "TheColdestAreDropped", small: true, run: func(l *queueLab) {
		l.begin("cold")
		l.begin("hot")
		l.adds("cold", append(many("cold", QueueJobs-1, 1), job("/warm", 100)), QueueJobs, 0)
		l.adds("hot", many("hot", 3, 1000), 3, 0)
		l.counts("cold", QueueJobs, 0, 0, 0, 0, 3)
		l.counts("hot", 3, 0, 0, 0, 0, 0)
		if st := l.holds(QueueJobs, 0); st.Capacity != QueueJobs || st.Dropped != 3 || st.Bytes < QueueJobs*20 || st.Bytes >= st.MaxBytes {
			l.Errorf("%+v", st)
		}
		// Nothing makes room for what is no hotter.
		l.adds("hot", many("cool", 2, 1), 0, 2)
		l.counts("hot", 5, 0, 0, 0, 0, 2)
		// Of many the hottest find room.
		l.adds("hot", append(many("x", 6, 1), many("y", 6, 3000)...), 6, 6)
		l.counts("hot", 17, 0, 0, 0, 0, 9)
		l.counts("cold", QueueJobs, 0, 0, 0, 0, QueueJobs)
		l.inOrder(l.takeAll(l.q, 8), "/y/0", "/y/1", "/y/2", "/y/3", "/y/4", "/y/5", "/hot/0", "/hot/1")
	}},
	{name: "DroppedJobsEndTheirRun", small: true, run: func(l *queueLab) {
		l.begin("a")
		l.begin("b")
		l.add("a", many("a", QueueJobs, 1)...)
		l.seal("a")
		l.add("b", many("b", QueueJobs, 100)...)
		if p := l.counts("a", QueueJobs, 0, 0, 0, 0, QueueJobs); !p.Done() || p.Ended.IsZero() {
			l.Errorf("%+v", p)
		}
		l.inOrder(l.takeAll(l.o, 2), "/b/0", "/b/1")
	}},
	{name: "WhatIsPutBackIsNotDropped", small: true, run: func(l *queueLab) {
		l.begin("r")
		l.add("r", many("a", 2, 1)...)
		js := l.takeAll(l.q, 2)
		l.settle(l.q, js[0], store.Outcome{State: store.Again, After: l.ticks(3)})
		l.settle(l.q, js[1], store.Outcome{State: store.Again})
		l.adds("r", many("b", QueueJobs, 100), QueueJobs-2, 2)
		l.holds(QueueJobs, 0)
		got := l.takeAll(l.o, QueueJobs-1)
		l.inOrder(got[QueueJobs-2:], "/a/1")
		l.inOrder(l.take(l.o, 1), "/a/0")
	}},
	{name: "ARunHasAMost", small: true, run: func(l *queueLab) {
		l.begin("r")
		for i := range QueueURLs {
			l.add("r", job(fmt.Sprint("/", i), 1))
			l.settle(l.q, l.take(l.q, 1)[0], warmed)
		}
		l.adds("r", jobs(1, "/x", "/y"), 0, 2)
		l.seal("r")
		if p := l.counts("r", QueueURLs+2, QueueURLs, 0, 0, 0, 2); !p.Done() {
			l.Errorf("%+v", p)
		}
	}},
}
