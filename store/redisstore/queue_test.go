package redisstore

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
	"surrogate/store/redisstore/redistest"
	"surrogate/store/storetest"
)

var queueScripts = map[string]*redis.Script{
	"begin": queueBegin, "add": queueAdd, "take": queueTake, "renew": queueRenew, "settle": queueSettle,
	"back": queueBack, "seal": queueSeal, "cancel": queueCancel, "sweep": queueSweep,
}

// queueTick is long enough for a round trip to a busy server.
const queueTick = 50 * time.Millisecond

// ends knows the nodes that the queues of a test are of, to make more of them.
type ends map[store.Queue]Options

// queue makes a node's end of a queue. It takes its news from a Store that runs
// in the background.
func (x ends) queue(t testing.TB, opt Options, o QueueOptions) store.Queue {
	t.Helper()
	s, _ := launch(t, opt)
	q, err := s.Queue(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	x[q] = opt
	return q
}

func testQueue(t *testing.T, url string) {
	x := ends{}
	lease := storetest.QueueLease * queueTick
	small := QueueOptions{MaxJobs: storetest.QueueJobs, MaxURLs: storetest.QueueURLs, MaxRuns: storetest.QueueRuns, Lease: lease}
	storetest.RunQueue(t, storetest.QueueConfig{
		New:      func(t *testing.T) store.Queue { return x.queue(t, fresh(url), QueueOptions{Lease: lease}) },
		NewSmall: func(t *testing.T) store.Queue { return x.queue(t, fresh(url), small) },
		Another: func(t *testing.T, q store.Queue) store.Queue {
			return x.queue(t, x[q], q.(*queue).opt)
		},
		Tick: queueTick,
	})
}

func TestQueueContract(t *testing.T) { testQueue(t, redistest.Start(t).URL) }

// TestQueueContractOnCluster: a command that touched two slots would be refused.
func TestQueueContractOnCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster takes a while to start")
	}
	testQueue(t, redistest.StartCluster(t).URL)
}
