package redisstore

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"surrogate/store"
	"surrogate/store/redisstore/redistest"
)

// A stall is a shop's page whose version only grows, and what was promised of it.
type stall struct {
	key      store.Key
	tag      store.Name
	version  atomic.Int64 // what the origin answers
	promised atomic.Int64 // by purges that are confirmed
}

// A market is nodes under load: whoever reads what nobody has fetches and stores
// it, editors change pages and purge them.
type market struct {
	t      *testing.T
	nodes  []*Store
	stalls []*stall

	reads, hits, failed, stored atomic.Int64
	confirmed, unknown, refused atomic.Int64
}

func (m *market) read(n *Store, p *stall) {
	ctx := m.t.Context()
	floor := p.promised.Load()
	f, err := n.Get(ctx, p.key, http.Header{})
	m.reads.Add(1)
	switch {
	case err != nil:
		m.failed.Add(1)
	case f.Hit && !f.Doubt && f.Fell.IsZero():
		m.hits.Add(1)
		if v, _ := strconv.ParseInt(string(f.Entry.Body), 10, 64); v < floor {
			m.t.Errorf("%s shows version %d of %s; %d was promised", n.Node(), v, p.key, floor)
		}
	default:
		e := &store.Entry{
			Key: p.key, Status: 200, Body: strconv.AppendInt(nil, p.version.Load(), 10), Tags: store.NamesOf(p.tag),
			Life: store.Life{Born: time.Now(), TTL: time.Hour}, Ticket: f.Ticket,
		}
		if n.Put(ctx, e) == nil {
			m.stored.Add(1)
		}
	}
}

func (m *market) purge(n *Store, p *stall) {
	v := p.version.Add(1)
	ev, err := n.Purge(m.t.Context(), store.Purge{Names: []store.Name{p.tag}})
	if err != nil {
		m.refused.Add(1)
		return
	}
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Second)
	defer cancel()
	if _, all, err := n.Await(ctx, ev.Seq); err != nil || !all {
		m.unknown.Add(1)
		return
	}
	m.confirmed.Add(1)
	for old := p.promised.Load(); v > old && !p.promised.CompareAndSwap(old, v); old = p.promised.Load() {
	}
}

// open lets readers and editors loose until close is called.
func (m *market) open() (closed func()) {
	var stop atomic.Bool
	var all sync.WaitGroup
	for i := range 6 {
		r := rand.New(rand.NewPCG(1, uint64(i)))
		all.Go(func() {
			for !stop.Load() {
				m.read(m.nodes[i%len(m.nodes)], m.stalls[r.IntN(len(m.stalls))])
				time.Sleep(time.Millisecond) // paces the load
			}
		})
	}
	for i := range 2 {
		r := rand.New(rand.NewPCG(2, uint64(i)))
		all.Go(func() {
			for !stop.Load() {
				m.purge(m.nodes[r.IntN(len(m.nodes))], m.stalls[r.IntN(len(m.stalls))])
				time.Sleep(10 * time.Millisecond) // paces the load
			}
		})
	}
	return func() { stop.Store(true); all.Wait() }
}

// goOn waits until so much more was read and purged, whatever came of it.
func (m *market) goOn(reads, purges int64) {
	m.t.Helper()
	tried := func() int64 { return m.confirmed.Load() + m.unknown.Load() + m.refused.Load() }
	r, p := m.reads.Load()+reads, tried()+purges
	waitFor(m.t, "reading and purging goes on", func() bool { return m.reads.Load() >= r && tried() >= p })
}

// recovers waits until purges are confirmed and pages stored and found again.
func (m *market) recovers() {
	m.t.Helper()
	c, h, s := m.confirmed.Load()+5, m.hits.Load()+20, m.stored.Load()+5
	waitFor(m.t, "all works again", func() bool { return m.confirmed.Load() >= c && m.hits.Load() >= h && m.stored.Load() >= s })
}

func (m *market) String() string {
	return fmt.Sprintf("%d reads, %d hits, %d failed, %d stored; purges: %d confirmed, %d unknown, %d refused",
		m.reads.Load(), m.hits.Load(), m.failed.Load(), m.stored.Load(), m.confirmed.Load(), m.unknown.Load(), m.refused.Load())
}

// The slot of some entries, that of an index and that of the purges move from one
// master to another while pages are read and purged.
func TestSlotsMoveWhileTrafficAndPurgesRun(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster takes a while to start")
	}
	c := redistest.StartCluster(t)
	m := &market{t: t}
	for i := range 3 {
		// A busy machine is not a Redis in trouble.
		m.nodes = append(m.nodes, start(t, Options{Redis: Redis{URL: c.URL}, Node: fmt.Sprint("n", i), MaxDeaf: 2 * time.Second, Budget: 10 * time.Second}))
	}
	for i := range 6 {
		p := &stall{key: store.Key(fmt.Sprintf("http://shop.test/%d", i)), tag: store.Name(fmt.Sprint("t", i))}
		p.version.Store(1)
		m.stalls = append(m.stalls, p)
	}
	defer m.open()()
	m.recovers()
	t.Logf("before: %v", m)
	inc := m.nodes[0].inc.Load()
	for _, move := range []struct{ what, key string }{
		{"an entry's slot", inc.entries(placeOf(m.stalls[0].key))},
		{"an index's slot", inc.set(m.stalls[1].tag, id{})},
		{"the purges' slot", "{surrogate}:state"},
	} {
		refused := m.refused.Load()
		c.MoveSlot(t, move.key, func(what string) {
			m.goOn(60, 10)
			t.Logf("%s, %s: %v", move.what, what, m)
		})
		began := time.Now()
		m.recovers()
		t.Logf("%s: recovered in %v: %v", move.what, time.Since(began), m)
		if move.key != "{surrogate}:state" && m.refused.Load() > refused {
			t.Errorf("%s moved, and %d purges were refused", move.what, m.refused.Load()-refused)
		}
		for _, n := range m.nodes {
			if !n.Reachable() {
				t.Errorf("%s moved, and %s takes Redis for dead", move.what, n.Node())
			}
		}
	}
	if m.nodes[0].inc.Load().id == inc.id {
		t.Error("the purges' slot is on another process, and the incarnation is the same")
	}
}
