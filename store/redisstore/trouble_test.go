package redisstore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"surrogate/store"
	"surrogate/store/redisstore/redistest"
)

// A cable is a node's connection to Redis, which can be cut: what is said is
// lost, and nobody says so.
type cable struct{ cut atomic.Bool }

type cableConn struct {
	net.Conn
	c *cable
}

func (c cableConn) Write(b []byte) (int, error) {
	if c.c.cut.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

func (c *cable) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if addr[0] == '/' {
		network = "unix"
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	return cableConn{conn, c}, err
}

func same(nodes ...*Store) func() bool {
	return func() bool {
		first := nodes[0].inc.Load()
		for _, n := range nodes {
			if inc := n.inc.Load(); inc == nil || first == nil || inc.id != first.id || !n.Hears() || n.heard() != nodes[0].heard() {
				return false
			}
		}
		return true
	}
}

// trio starts three nodes that hear each other.
func trio(t testing.TB, url string) []*Store {
	t.Helper()
	var nodes []*Store
	for i := range 3 {
		nodes = append(nodes, start(t, Options{Redis: Redis{URL: url}, Node: fmt.Sprint("n", i), MaxDeaf: deaf}))
	}
	return nodes
}

// anew checks that what was before is dead everywhere, and that purges work.
func anew(t *testing.T, nodes []*Store, before *incarnation, ticket store.Seq) {
	t.Helper()
	waitFor(t, "all know a new incarnation", func() bool {
		return nodes[0].inc.Load().id != before.id && same(nodes...)()
	})
	for _, n := range nodes {
		if v := verdict(n, ticket); !v.Dead || n.heard() <= ticket {
			t.Errorf("%s, at %d: a ticket of before is %+v", n.Node(), n.heard(), v)
		}
	}
	ev := nodes[0].awaited(t, "again")
	for _, n := range nodes {
		if v := verdict(n, ev.Seq-1, "again"); !v.Dead {
			t.Errorf("%s: the first purge is not in force", n.Node())
		}
	}
}

func TestAServerThatStartsAnewBeginsAnIncarnation(t *testing.T) {
	for name, restart := range map[string]func(*redistest.Server){
		"empty":         (*redistest.Server).RestartEmpty,
		"from snapshot": (*redistest.Server).RestartSaved,
		"flushed":       func(r *redistest.Server) { r.Do("FLUSHALL") },
	} {
		t.Run(name, func(t *testing.T) {
			r := redistest.Start(t)
			nodes := trio(t, r.URL)
			nodes[0].awaited(t, "a")
			r.Save()
			ticket := nodes[1].awaited(t, "b").Seq
			before := nodes[0].inc.Load()
			restart(r)
			anew(t, nodes, before, ticket)
		})
	}
}

// The node that is ahead notices even where the process is the same.
func TestLostPurgesAreNoticedByWhoHeardThem(t *testing.T) {
	r := redistest.Start(t)
	nodes := trio(t, r.URL)
	ticket := nodes[1].awaited(t, "b").Seq
	before := nodes[0].inc.Load()
	r.Do("HSET", "{surrogate}:state", "seq", "0")
	anew(t, nodes, before, ticket)
}

func TestNoPurgeIsConfirmedWhileUnknownNodesMayHoldALease(t *testing.T) {
	r := redistest.Start(t)
	c := &cable{}
	a := start(t, Options{Redis: Redis{URL: r.URL}, MaxDeaf: 3 * deaf})
	b := start(t, Options{Redis: Redis{URL: r.URL, dial: c.dial}, MaxDeaf: 3 * deaf})
	a.awaited(t, "x")
	c.cut.Store(true)
	before := a.inc.Load()
	r.RestartEmpty()
	waitFor(t, "a knows the new incarnation", func() bool { return a.inc.Load() != before && a.Hears() })
	a.awaited(t, "y")
	if b.Hears() {
		t.Error("a purge was confirmed while a node that did not hear it believed in its lease")
	}
}

func TestANodeThatIsCutOffIsDeafBeforeAPurgeIsConfirmed(t *testing.T) {
	r := redistest.Start(t)
	c := &cable{}
	a := start(t, Options{Redis: Redis{URL: r.URL}, MaxDeaf: deaf})
	b := start(t, Options{Redis: Redis{URL: r.URL, dial: c.dial}, Node: "b", MaxDeaf: deaf})
	a.awaited(t, "x")
	for range 5 {
		c.cut.Store(true)
		ev := a.mustPurge(t, false, "y")
		short, cancel := context.WithTimeout(t.Context(), deaf/20)
		if heard, ok, err := a.Await(short, ev.Seq); ok || err != nil || heard["b"] >= ev.Seq {
			t.Errorf("await: %v, %v, %v", heard, ok, err)
		}
		cancel()
		heard, ok, err := a.Await(t.Context(), ev.Seq)
		if b.Hears() {
			t.Error("confirmed while it believed in its lease")
		}
		if !ok || err != nil || heard["b"] != 0 {
			t.Errorf("await: %v, %v, %v", heard, ok, err)
		}
		c.cut.Store(false)
		waitFor(t, "it hears again", func() bool { return b.Hears() && b.heard() == ev.Seq })
	}
}

func TestASilentRedisHoldsNobodyUp(t *testing.T) {
	r := redistest.Start(t)
	s := start(t, Options{Redis: Redis{URL: r.URL}, MaxDeaf: deaf})
	before := s.inc.Load()
	ticket := s.awaited(t, "x").Seq
	r.Pause()
	read := func() (time.Duration, error) {
		began := time.Now()
		err := s.guard(t.Context(), "get", func(ctx context.Context) error { return s.rdb.Get(ctx, "x").Err() })
		return time.Since(began), err
	}
	waitFor(t, "the breaker is open", func() bool {
		took, err := read()
		if took > 2*s.opt.Budget {
			t.Errorf("a read took %v", took)
		}
		return errors.Is(err, ErrUnavailable)
	})
	for range 20 {
		if took, err := read(); took > 20*time.Millisecond || !errors.Is(err, ErrUnavailable) {
			t.Errorf("a read took %v: %v", took, err)
		}
	}
	if _, err := s.Purge(t.Context(), store.Purge{Names: []store.Name{"y"}}); err == nil {
		t.Error("a purge succeeded")
	}
	waitFor(t, "the node is deaf", func() bool { return !s.Hears() })
	r.Continue()
	waitFor(t, "the node hears", s.Hears)
	if s.inc.Load() != before {
		t.Error("the fences were loaded again for nothing")
	}
	if ev := s.awaited(t, "z"); ev.Seq <= ticket {
		t.Errorf("purge %d after %d", ev.Seq, ticket)
	}
}

func TestTroubleWithWritesDoesNotStopReads(t *testing.T) {
	r := redistest.Start(t)
	s := start(t, Options{Redis: Redis{URL: r.URL}, MaxDeaf: deaf})
	r.Do("SET", "x", "1")
	r.Do("CONFIG", "SET", "maxmemory", "1")
	write := func() error {
		return s.guardWrite(t.Context(), "put", func(ctx context.Context) error { return s.rdb.Set(ctx, "y", "1", 0).Err() })
	}
	waitFor(t, "writes are refused at once", func() bool { return errors.Is(write(), ErrUnavailable) })
	if err := s.guard(t.Context(), "get", func(ctx context.Context) error { return s.rdb.Get(ctx, "x").Err() }); err != nil {
		t.Errorf("a read: %v", err)
	}
	s.awaited(t, "purges work when memory is full")
	r.Do("CONFIG", "SET", "maxmemory", "0")
	waitFor(t, "writes work", func() bool { return write() == nil })
}

func TestClusterLosesAMaster(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a failover")
	}
	c := redistest.StartCluster(t)
	nodes := trio(t, c.URL)
	ticket := nodes[0].awaited(t, "a").Seq
	before := nodes[0].inc.Load()
	for _, r := range c.Servers {
		if held(r, "{surrogate}:state") {
			r.Kill()
			break
		}
	}
	anew(t, nodes, before, ticket)
}

// held reports whether a server has the key itself, as a master.
func held(r *redistest.Server, key string) bool {
	c := r.Client()
	defer func() { _ = c.Close() }()
	n, err := c.Exists(context.Background(), key).Result()
	return err == nil && n == 1
}

func TestSentinelFailsOver(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a failover")
	}
	x := redistest.StartSentinel(t)
	nodes := trio(t, x.URL)
	ticket := nodes[0].awaited(t, "a").Seq
	before := nodes[0].inc.Load()
	x.Servers[0].Kill()
	anew(t, nodes, before, ticket)
}

// A node that is stopped is not the one that took its name.
func TestTwoProcessesOfOneNameAreBothAwaited(t *testing.T) {
	r := redistest.Start(t)
	c := &cable{}
	a := start(t, Options{Redis: Redis{URL: r.URL}, Node: "a", MaxDeaf: deaf})
	old := start(t, Options{Redis: Redis{URL: r.URL, dial: c.dial}, Node: "b", MaxDeaf: deaf})
	a.awaited(t, "x")
	c.cut.Store(true)
	start(t, Options{Redis: Redis{URL: r.URL}, Node: "b", MaxDeaf: deaf})
	heard, ok, err := a.Await(t.Context(), a.mustPurge(t, false, "y").Seq)
	if old.Hears() || !ok || err != nil || len(heard) != 2 {
		t.Errorf("await: %v, %v, %v; the old one hears: %v", heard, ok, err, old.Hears())
	}
	if nodes, err := a.Nodes(t.Context()); len(nodes) != 2 || err != nil {
		t.Errorf("nodes %v, %v", nodes, err)
	}
}

func TestANodeRunsAgain(t *testing.T) {
	r := redistest.Start(t)
	a := start(t, Options{Redis: Redis{URL: r.URL}, MaxDeaf: deaf})
	s, err := New(Options{Redis: Redis{URL: r.URL}, MaxDeaf: deaf})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	run := func(during func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		waitFor(t, "it hears", s.Hears)
		during()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	run(func() { s.awaited(t, "x") })
	if s.Hears() {
		t.Error("it hears without running")
	}
	ev := a.awaited(t, "y") // nobody waits for it
	run(func() {
		if v := verdict(s, ev.Seq-1, "y"); !v.Dead {
			t.Error("it has missed a purge")
		}
	})
	r.RestartEmpty()
	run(func() {
		if s.heard() <= ev.Seq {
			t.Errorf("its sequence went back from %d to %d", ev.Seq, s.heard())
		}
	})
}

func TestARedisThatIsReadOnlyTakesNoPurges(t *testing.T) {
	r := redistest.Start(t)
	s := start(t, Options{Redis: Redis{URL: r.URL}, MaxDeaf: deaf})
	s.awaited(t, "x")
	r.Do("REPLICAOF", "127.0.0.1", "1")
	if _, err := s.Purge(t.Context(), store.Purge{Names: []store.Name{"y"}}); err == nil {
		t.Error("a purge succeeded")
	}
	waitFor(t, "the node is deaf", func() bool { return !s.Hears() })
	r.Do("REPLICAOF", "NO", "ONE")
	waitFor(t, "the node hears", s.Hears)
	s.awaited(t, "y")
}

func TestAServerThatForgotTheScriptsIsSentThem(t *testing.T) {
	r := redistest.Start(t)
	s := start(t, Options{Redis: Redis{URL: r.URL}, MaxDeaf: deaf})
	for range 3 {
		r.Do("SCRIPT", "FLUSH")
		s.awaited(t, "x")
	}
}

func TestAWrongPasswordIsMended(t *testing.T) {
	r := redistest.Start(t)
	r.Do("ACL", "SETUSER", "proxy", "on", ">right", "~*", "&*", "+@all")
	s, _ := launch(t, Options{Redis: Redis{URL: r.URL, Username: "proxy", Password: "wrong"}, MaxDeaf: deaf})
	waitFor(t, "the breaker is open", s.reach.open.Load)
	if _, err := s.Purge(t.Context(), store.Purge{Names: []store.Name{"y"}}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a purge: %v", err)
	}
	r.Do("ACL", "SETUSER", "proxy", ">wrong")
	waitFor(t, "the node hears", s.Hears)
	s.awaited(t, "y")
}
