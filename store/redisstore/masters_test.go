package redisstore

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
	"surrogate/store/redisstore/redistest"
)

// A master that is dead costs what is in its slots, and no read of that waits
// longer than the budget; its replica takes them over.
func TestADeadMasterCostsItsSlotsOnly(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a failover")
	}
	c := redistest.StartCluster(t, "--cluster-require-full-coverage", "no")
	s := start(t, Options{Redis: Redis{URL: c.URL}, MaxDeaf: 20 * time.Second})
	inc := s.inc.Load()
	// An entry on each of the masters.
	at := map[*redistest.Server]store.Key{}
	var dead, purges *redistest.Server
	for i := 0; len(at) < 3; i++ {
		key := store.Key(fmt.Sprintf("http://shop.test/%d", i))
		for _, r := range c.Masters(t) {
			if r.Has(inc.entries(placeOf(key))) {
				at[r] = key
			}
			if r.Has("{surrogate}:state") {
				purges = r
			}
		}
	}
	get := func(k store.Key) (store.Found, time.Duration, error) {
		began := time.Now()
		f, err := s.Get(t.Context(), k, http.Header{})
		return f, time.Since(began), err
	}
	for r, k := range at {
		f, _, _ := get(k)
		e := &store.Entry{Key: k, Status: 200, Body: []byte("x"), Life: store.Life{Born: time.Now(), TTL: time.Hour}, Ticket: f.Ticket}
		waitFor(t, "it is stored", func() bool { return s.Put(t.Context(), e) == nil })
		if r != purges {
			dead = r
		}
	}
	replicated(dead)
	dead.Kill()
	refused := 0
	for began := time.Now(); time.Since(began) < 300*time.Millisecond; {
		for r, k := range at {
			f, took, err := get(k)
			switch {
			case r != dead && (err != nil || !f.Hit):
				t.Fatalf("%s, on a master that lives: %+v, %v", k, f, err)
			case took > 2*s.opt.Budget:
				t.Errorf("%s: a read took %v", k, took)
			case err != nil:
				refused++
			}
		}
		if !s.Reachable() {
			t.Fatal("all of Redis is taken for dead")
		}
	}
	if refused == 0 {
		t.Error("nobody noticed that a master is dead")
	}
	if len(s.masters.open()) != 1 {
		t.Errorf("%d masters are taken for dead", len(s.masters.open()))
	}
	waitFor(t, "its replica has what it had", func() bool {
		f, _, err := get(at[dead])
		return err == nil && f.Hit
	})
	waitFor(t, "nobody is taken for dead", func() bool { return len(s.masters.open()) == 0 })
	s.mustPurge(t, false, "x")
}

var (
	masterOffset  = regexp.MustCompile(`master_repl_offset:(\d+)`)
	replicaOffset = regexp.MustCompile(`slave0:.*state=online,offset=(\d+)`)
)

// replicated waits until r's replica has said that it has what r has now: who is
// killed before that takes it along.
func replicated(r *redistest.Server) {
	goal := -1
	r.Until("its replica has what it has", func(ctx context.Context, c *redis.Client) bool {
		info := c.Info(ctx, "replication").Val()
		offset := func(re *regexp.Regexp) int {
			if m := re.FindStringSubmatch(info); m != nil {
				n, _ := strconv.Atoi(m[1])
				return n
			}
			return -1
		}
		if goal < 0 {
			goal = offset(masterOffset)
		}
		return goal >= 0 && offset(replicaOffset) >= goal
	})
}
