package fleet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A fleet is three nodes in front of one origin, with one Redis.
type fleet struct {
	t     testing.TB
	seed  uint64
	began time.Time
	pages []*page
	at    sync.Map // *page by host and path: what the origin answers for
	nodes []*node
	redis *keeper
	// linked puts links between the nodes and Redis.
	linked bool
	diary  diary
	tally  tally

	strikesMu sync.Mutex // guards strikes
	strikes   []*strike  // the faults under way

	lates         sync.WaitGroup
	confirmations atomic.Int64

	failMu     sync.Mutex // guards what follows
	violations int
	tellAtMost int // violations told in full
	errors     int
	waited     int          // reads that took long
	complain   func(string) // fails the test, unless it is meant to fail
}

// newFleet starts a fleet in front of random pages, and waits until a purge is
// confirmed.
func newFleet(t testing.TB, seed uint64, args ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, seed: seed, pages: newPages(rand.New(rand.NewPCG(seed, 0)))}
	f.serve(f.pages...)
	f.linked = true
	f.start(f.origin, args...)
	return f
}

// start starts a fleet's processes. Each node has an address of its own for the
// origin, which can so tell who asks.
func (f *fleet) start(origin func(node string) http.Handler, args ...string) {
	f.t.Helper()
	needRedis(f.t)
	path, err := program()
	if err != nil {
		f.t.Fatal(err)
	}
	first, err := raced()
	if err != nil {
		f.t.Fatal(err)
	}
	f.began, f.tellAtMost = time.Now(), 2
	f.complain = func(s string) { f.t.Error(s) }
	f.redis = newKeeper(f.t)
	for i, path := range []string{first, path, path} {
		name := fmt.Sprintf("n%d", i)
		o := httptest.NewServer(origin(name))
		f.t.Cleanup(o.Close)
		var k *link
		at := f.redis.addr()
		if f.linked {
			k = newLink(f.t, at)
			at = k.addr
			f.redis.links = append(f.redis.links, k)
		}
		f.nodes = append(f.nodes, newNode(f.t, name, path, o.URL, at, k, args...))
	}
	if err := f.calm(); err != nil {
		f.t.Fatal(err)
	}
}

// calm waits until all nodes hear and a purge is confirmed by all of them. A
// young Redis makes it wait for those that it may not know.
func (f *fleet) calm() error {
	for _, n := range f.nodes {
		if err := until(patient, n.hears); err != nil {
			return err
		}
	}
	nobody := ask{json: map[string]any{"tags": []string{"nobody"}, "wait": "1s"}}
	return until(patient, func() error {
		status, rec, err := f.nodes[0].purge(nobody)
		if err == nil && (status != 200 || !rec.Complete) {
			err = fmt.Errorf("a purge is answered %d %+v", status, rec)
		}
		return err
	})
}

// A strike is a fault under way.
type strike struct {
	kind string
	node *node // which it strikes; nil for all
}

// strike marks a fault as under way until the returned function is called.
func (f *fleet) strike(kind string, n *node) (over func()) {
	s := &strike{kind, n}
	f.strikesMu.Lock()
	f.strikes = append(f.strikes, s)
	f.strikesMu.Unlock()
	return func() {
		f.strikesMu.Lock()
		defer f.strikesMu.Unlock()
		var left []*strike
		for _, other := range f.strikes {
			if other != s {
				left = append(left, other)
			}
		}
		f.strikes = left // a new slice: see rows
	}
}

// rows are where what happens at a node now is counted: once for each fault.
func (f *fleet) rows(n *node) []*row {
	f.strikesMu.Lock()
	strikes := f.strikes
	f.strikesMu.Unlock()
	rows := []*row{f.tally.row("all")}
	if len(strikes) == 0 {
		return append(rows, f.tally.row("quiet"))
	}
	for _, s := range strikes {
		switch s.node {
		case nil:
			rows = append(rows, f.tally.row(s.kind))
		case n:
			rows = append(rows, f.tally.row(s.kind+": that node"))
		default:
			rows = append(rows, f.tally.row(s.kind+": the others"))
		}
	}
	return rows
}

// stopped reports whether a node is stopped, or was a moment ago.
func (f *fleet) stopped(n *node) bool {
	f.strikesMu.Lock()
	defer f.strikesMu.Unlock()
	for _, s := range f.strikes {
		if s.node == n && s.kind == stop {
			return true
		}
	}
	return false
}

// weather says what is going on.
func (f *fleet) weather() string {
	f.strikesMu.Lock()
	defer f.strikesMu.Unlock()
	text := ""
	for _, s := range f.strikes {
		if text += s.kind; s.node != nil {
			text += " " + s.node.name
		}
		text += ", "
	}
	return text + "nothing else"
}

func (f *fleet) count(n *node, o outcome) {
	for _, r := range f.rows(n) {
		r.purges[o].Add(1)
	}
}

// load lets readers and editors loose. The returned function stops them and
// waits for what is still under way.
func (f *fleet) load(readers, editors int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var actors sync.WaitGroup
	for i := range readers {
		for j, n := range f.nodes {
			r := rand.New(rand.NewPCG(f.seed, uint64(100+10*i+j)))
			actors.Go(func() { f.visit(ctx, n, r) })
		}
	}
	for i := range editors {
		r := rand.New(rand.NewPCG(f.seed, uint64(200+i)))
		actors.Go(func() { f.edit(ctx, i, r) })
	}
	stop = sync.OnceFunc(func() {
		cancel()
		actors.Wait()
		f.lates.Wait()
	})
	f.t.Cleanup(stop)
	return stop
}
