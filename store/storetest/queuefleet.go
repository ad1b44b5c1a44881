package storetest

import (
	"errors"
	"time"

	"surrogate/store"
)

// These need two nodes; with one they are about as much as one can do.
var queueFleetCases = []queueCase{
	{name: "CloseHandsBack", run: func(l *queueLab) {
		if l.c.Another == nil {
			l.Skip("with the only node the queue ends")
		}
		l.begin("r")
		l.add("r", many("a", 5, 1)...)
		js := l.takeAll(l.q, 4)
		l.settle(l.q, js[0], warmed)
		if err := l.q.Close(); err != nil {
			l.Fatal(err)
		}
		if err := l.q.Settle(l.Context(), js[1], warmed); !errors.Is(err, store.ErrClosed) {
			l.Errorf("Settle after Close: %v", err)
		}
		l.holds(4, 0)
		closed, again := time.Now(), 0
		for _, j := range l.takeAll(l.o, 4) {
			again += j.Taken
			l.settle(l.o, j, warmed)
		}
		if took := time.Since(closed); again != 3 || took >= l.ticks(QueueLease*0.8) {
			l.Errorf("%d of 3 came back, within %v", again, took)
		}
		l.counts("r", 5, 5, 0, 0, 0, 0)
	}},
	{name: "AnotherNodeTakesOver", run: func(l *queueLab) {
		if l.c.Another == nil {
			l.Skip("there is no other")
		}
		dies := l.another()
		l.begin("r")
		l.add("r", many("a", 40, 1)...)
		lost := l.takeAll(dies, 10)
		seen := map[string]int{}
		l.seal("r")
		for p := l.progress("r"); !p.Done(); p = l.progress("r") {
			j := l.take(l.o, 1)[0]
			seen[j.URL]++
			l.settle(l.o, j, warmed)
		}
		for _, j := range lost {
			if seen[j.URL] != 1 {
				l.Errorf("%s, in flight on the dead node, was taken %d times more", j.URL, seen[j.URL])
			}
		}
		if len(seen) != 40 {
			l.Errorf("%d of 40 were taken", len(seen))
		}
		l.counts("r", 40, 40, 0, 0, 0, 0)
		l.holds(0, 0)
	}},
}
