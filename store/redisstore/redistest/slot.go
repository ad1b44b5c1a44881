package redistest

import (
	"context"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// MoveSlot moves the slot of a key, with all that is in it, from the master that
// has it to another, as redis-cli --cluster reshard does, and returns once all
// servers know. So that what happens meanwhile can be seen, it calls during when
// nothing has moved yet, after each key for some of them, and before the servers
// are told.
func (c *Cluster) MoveSlot(t testing.TB, key string, during func(what string)) {
	t.Helper()
	slot := c.Servers[0].Do("CLUSTER", "KEYSLOT", key).(int64)
	var from, to *Server
	for _, m := range c.Masters(t) {
		if m.has(slot) {
			from = m
		} else {
			to = m
		}
	}
	if from == nil || to == nil {
		t.Fatalf("nobody has slot %d", slot)
	}
	host, port, _ := net.SplitHostPort(to.Addr)
	to.Do("CLUSTER", "SETSLOT", slot, "IMPORTING", from.Do("CLUSTER", "MYID"))
	from.Do("CLUSTER", "SETSLOT", slot, "MIGRATING", to.Do("CLUSTER", "MYID"))
	during("begun")
	for moved := 0; ; moved++ {
		keys := from.Do("CLUSTER", "GETKEYSINSLOT", slot, 1).([]any)
		if len(keys) == 0 {
			break
		}
		from.Do("MIGRATE", host, port, keys[0], 0, 5000)
		if moved < 3 {
			during("half moved")
		}
	}
	during("moved")
	owner := to.Do("CLUSTER", "MYID")
	for _, m := range []*Server{to, from} {
		m.Do("CLUSTER", "SETSLOT", slot, "NODE", owner)
	}
	for _, s := range c.Servers {
		s.Until("it knows who has the slot", func(ctx context.Context, cl *redis.Client) bool {
			nodes, err := cl.ClusterNodes(ctx).Result()
			return err == nil && hasSlot(nodes, slot, func(f []string) bool { return f[0] == owner })
		})
	}
}

// Masters are the servers that are masters now.
func (c *Cluster) Masters(t testing.TB) []*Server {
	t.Helper()
	var out []*Server
	for _, s := range c.Servers {
		if info, _ := s.Do("INFO", "replication").(string); strings.Contains(info, "role:master") {
			out = append(out, s)
		}
	}
	return out
}

// Has reports whether a master has the slot of a key.
func (s *Server) Has(key string) bool {
	s.t.Helper()
	slot, _ := s.Do("CLUSTER", "KEYSLOT", key).(int64)
	return s.has(slot)
}

func (s *Server) has(slot int64) bool {
	s.t.Helper()
	nodes, _ := s.Do("CLUSTER", "NODES").(string)
	return hasSlot(nodes, slot, func(f []string) bool { return strings.Contains(f[2], "myself") })
}

// hasSlot reports whether, by what CLUSTER NODES answers, the node whose fields
// are so has a slot.
func hasSlot(nodes string, slot int64, is func(fields []string) bool) bool {
	for line := range strings.Lines(nodes) {
		f := strings.Fields(line)
		if len(f) < 8 || !is(f) {
			continue
		}
		for _, r := range f[8:] {
			a, b, isRange := strings.Cut(r, "-")
			if !isRange {
				b = a
			}
			from, err1 := strconv.ParseInt(a, 10, 64)
			to, err2 := strconv.ParseInt(b, 10, 64)
			if err1 == nil && err2 == nil && from <= slot && slot <= to {
				return true
			}
		}
	}
	return false
}
