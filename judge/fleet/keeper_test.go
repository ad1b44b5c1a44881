package fleet

import (
	"context"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store/redisstore/redistest"
)

// A keeper is the Redis of a fleet: two servers, one of which the nodes are led
// to, each through a link of its own.
type keeper struct {
	now, spare *redistest.Server
	links      []*link // of the nodes
	mirror     *link   // from the spare server to the other, while it is a replica
}

func newKeeper(t testing.TB) *keeper {
	t.Helper()
	k := &keeper{now: redistest.StartTCP(t, "--repl-diskless-sync-delay", "0"), spare: redistest.StartTCP(t, "--repl-diskless-sync-delay", "0")}
	k.mirror = newLink(t, k.now.Addr)
	return k
}

func (k *keeper) addr() string { return k.now.Addr }

// mirrored makes the spare server a replica that has all there is.
func (k *keeper) mirrored() {
	k.mirror.lead(k.now.Addr)
	k.mirror.set(weather{})
	host, port, _ := net.SplitHostPort(k.mirror.addr)
	k.spare.Do("REPLICAOF", host, port)
	k.spare.Until("it replicates", func(ctx context.Context, c *redis.Client) bool {
		return strings.Contains(c.Info(ctx, "replication").Val(), "master_link_status:up")
	})
}

// failOver lets the spare server take over, with what it has. The one that it
// takes over from is dead by then: see redisstore's package comment for why that
// has to be so.
func (k *keeper) failOver(r *rand.Rand) {
	k.now.Kill()
	k.spare.Do("REPLICAOF", "NO", "ONE")
	// The nodes find out one after the other.
	for _, i := range r.Perm(len(k.links)) {
		k.links[i].lead(k.spare.Addr)
		time.Sleep(time.Duration(r.IntN(100)) * time.Millisecond) // this is how long it takes in life
	}
	k.now, k.spare = k.spare, k.now
	k.spare.RestartEmpty()
}
