package fleet

import (
	"fmt"
	"math/bits"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A row counts what happened during one kind of fault.
type row struct {
	reads   [kinds]atomic.Int64
	purges  [outcomes]atomic.Int64
	slowest atomic.Int64     // of the reads, in microseconds
	took    [40]atomic.Int64 // reads by the bits of their microseconds
}

// kind is how a read was answered.
type kind int

const (
	hit         kind = iota // from what is stored
	stale                   // likewise, in a window in which it may be
	revalidated             // from what is stored, which the origin has confirmed
	shared                  // by another request's fetch
	fetched                 // by the origin
	failed                  // with an error, or not at all
	unserved                // the node was not there
	kinds
)

var kindNames = [kinds]string{"hit", "stale", "revalidated", "shared", "origin", "error", "node gone"}

// outcome is what became of a purge.
type outcome int

const (
	confirmed outcome = iota // 200 with a complete receipt
	later                    // 202, and complete afterwards
	refused                  // 503: nothing is promised
	unknown                  // no answer, or 202 and never complete
	outcomes
)

// A tally counts by fault.
type tally struct {
	mu    sync.Mutex // guards what follows; the rows count for themselves
	rows  map[string]*row
	order []string
}

func (c *tally) row(name string) *row {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.rows[name]
	if r == nil {
		if c.rows == nil {
			c.rows = make(map[string]*row)
		}
		r = &row{}
		c.rows[name] = r
		c.order = append(c.order, name)
	}
	return r
}

func (r *row) read(k kind, took time.Duration) {
	r.reads[k].Add(1)
	if k >= failed {
		return
	}
	us := took.Microseconds()
	for old := r.slowest.Load(); us > old && !r.slowest.CompareAndSwap(old, us); old = r.slowest.Load() {
	}
	r.took[min(bits.Len64(uint64(us)), len(r.took)-1)].Add(1)
}

// under is a time that so many of a hundred reads took less than, within a factor of two.
func (r *row) under(percent int64) time.Duration {
	var all, sum int64
	for i := range r.took {
		all += r.took[i].Load()
	}
	for i := range r.took {
		if sum += r.took[i].Load(); sum*100 >= all*percent {
			return time.Duration(1<<i) * time.Microsecond
		}
	}
	return 0
}

func (r *row) served() (n int64) {
	for k := range failed {
		n += r.reads[k].Load()
	}
	return n
}

// String prints all rows as a table.
func (c *tally) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%-34s %8s", "while", "served")
	for _, n := range kindNames {
		fmt.Fprintf(&b, " %11s", n)
	}
	fmt.Fprintf(&b, " %8s %9s | %9s %6s %6s %8s\n", "p99 <", "slowest", "purges", "later", "503", "unknown")
	for _, name := range c.order {
		r := c.rows[name]
		fmt.Fprintf(&b, "%-34s %8d", name, r.served())
		for k := range r.reads {
			fmt.Fprintf(&b, " %11d", r.reads[k].Load())
		}
		slowest := time.Duration(r.slowest.Load()) * time.Microsecond
		fmt.Fprintf(&b, " %8v %9v |", r.under(99).Round(time.Millisecond), slowest.Round(time.Millisecond))
		for o, width := range []int{9, 6, 6, 8} {
			fmt.Fprintf(&b, " %*d", width, r.purges[o].Load())
		}
		b.WriteByte('\n')
	}
	return b.String()
}
