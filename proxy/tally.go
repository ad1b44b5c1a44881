package proxy

import (
	"fmt"
	"io"
	"math/bits"
	"runtime"
	"sync/atomic"
	"time"
)

// A tally counts requests: how many, how long they took, what was sent. It does
// so in several lanes, each with cache lines of its own, because a line that all
// cores write to costs each of them more than the rest of a hit's bookkeeping.
type tally struct {
	lanes []tallyLane
}

type tallyLane struct {
	_       [64]byte // what stands before
	buckets [12]atomic.Uint64
	nanos   atomic.Uint64
	bytes   atomic.Uint64
	_       [64]byte // what stands behind
}

// tallyBounds are the upper bounds of all buckets but the last, those that
// Prometheus' own libraries have.
var tallyBounds = [...]time.Duration{
	5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond,
	500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

// newTally returns a tally for as many cores as there are, or for what is seldom.
func newTally(often bool) *tally {
	n := 1
	if often {
		n = min(64, 4<<bits.Len(uint(runtime.GOMAXPROCS(0)-1)))
	}
	return &tally{make([]tallyLane, n)}
}

// add counts a request in a lane, any number. Who counts often keeps to one that
// others are not likely to have.
func (t *tally) add(lane uint32, took time.Duration, bytes int64) {
	l := &t.lanes[lane&uint32(len(t.lanes)-1)]
	i := 0
	for i < len(tallyBounds) && took > tallyBounds[i] {
		i++
	}
	l.buckets[i].Add(1)
	l.nanos.Add(uint64(max(0, took)))
	if bytes > 0 {
		l.bytes.Add(uint64(bytes))
	}
}

// A tallied is what a tally comes to.
type tallied struct {
	buckets [12]uint64 // each with those before it
	count   uint64
	seconds float64
	bytes   uint64
}

func (t *tally) read() (sum tallied) {
	for i := range t.lanes {
		l := &t.lanes[i]
		for j := range l.buckets {
			sum.buckets[j] += l.buckets[j].Load()
		}
		sum.seconds += time.Duration(l.nanos.Load()).Seconds()
		sum.bytes += l.bytes.Load()
	}
	for _, n := range sum.buckets {
		sum.count += n
	}
	for j := 1; j < len(sum.buckets); j++ {
		sum.buckets[j] += sum.buckets[j-1]
	}
	return sum
}

// writeSeconds writes how long the requests of all sites took, as Prometheus
// reads a histogram.
func (c *counts) writeSeconds(w io.Writer) {
	const name = "surrogate_request_seconds"
	fmt.Fprintf(w, "# HELP %s\n# TYPE %s histogram\n", name, name)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, site := range c.order {
		for i, r := range results {
			labels := fmt.Sprintf("site=%q,cache=%q", site, r)
			sum := c.sites[site].requests[i].read()
			for j, n := range sum.buckets {
				bound := "+Inf"
				if j < len(tallyBounds) {
					bound = fmt.Sprint(tallyBounds[j].Seconds())
				}
				fmt.Fprintf(w, "%s_bucket{%s,le=%q} %d\n", name, labels, bound, n)
			}
			fmt.Fprintf(w, "%s_sum{%s} %g\n%s_count{%s} %d\n", name, labels, sum.seconds, name, labels, sum.count)
		}
	}
}
