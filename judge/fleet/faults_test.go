package fleet

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"time"
)

// A fault is something that happens to a fleet, and passes.
type fault struct {
	name   string
	happen func(f *fleet, n *node, r *rand.Rand) error // n is nil for what happens to Redis
}

const stop = "kill -STOP"

// atNodes are faults of one node or of its way to Redis.
var atNodes = []fault{
	{"kill -9", func(_ *fleet, n *node, r *rand.Rand) error {
		n.kill()
		time.Sleep(between(r, 0, 1000))
		return n.restart()
	}},
	{stop, func(f *fleet, n *node, r *rand.Rand) error {
		n.signal(syscall.SIGSTOP)
		// Its readers are stuck, each with one question. Others go on asking: what
		// they are shown when it goes on is what it believes before it has heard
		// anything.
		var asking sync.WaitGroup
		end := time.Now().Add(between(r, 1500, 2500))
		for i := uint64(0); time.Now().Before(end); i++ {
			p, own := f.pages[r.IntN(len(f.pages))], rand.New(rand.NewPCG(r.Uint64(), i))
			asking.Go(func() { f.read(n, p, own) })
			time.Sleep(15 * time.Millisecond)
		}
		n.signal(syscall.SIGCONT)
		asking.Wait()
		return nil
	}},
	{"cut off from Redis", func(_ *fleet, n *node, r *rand.Rand) error {
		n.link.set(weather{cut: true})
		time.Sleep(between(r, 1200, 2500))
		n.link.set(weather{})
		return nil
	}},
	{"black hole before Redis", func(_ *fleet, n *node, r *rand.Rand) error {
		n.link.set([]weather{{there: true, back: true}, {there: true}, {back: true}}[r.IntN(3)])
		time.Sleep(between(r, 1200, 2500))
		if r.IntN(2) == 0 {
			n.link.set(weather{cut: true}) // what was held back is lost
		}
		n.link.set(weather{}) // or comes late
		return nil
	}},
	{"slow way to Redis", func(_ *fleet, n *node, r *rand.Rand) error {
		n.link.set(weather{slow: between(r, 20, 250)})
		time.Sleep(between(r, 1200, 2500))
		n.link.set(weather{})
		return nil
	}},
}

// atRedis are faults of Redis.
var atRedis = []fault{
	{"Redis restarted empty", func(f *fleet, _ *node, r *rand.Rand) error {
		f.redis.now.Kill()
		time.Sleep(between(r, 0, 1500))
		f.redis.now.RestartEmpty()
		return nil
	}},
	{"Redis restarted from the past", func(f *fleet, _ *node, r *rand.Rand) error {
		f.redis.now.Save()
		f.morePurges(20)
		f.redis.now.Kill()
		time.Sleep(between(r, 0, 800))
		f.redis.now.RestartSaved()
		return nil
	}},
	{"Redis failed over", func(f *fleet, _ *node, r *rand.Rand) error {
		f.redis.mirrored()
		f.redis.mirror.set(weather{cut: true})
		f.morePurges(20) // the replica knows nothing of these
		f.redis.failOver(r)
		return nil
	}},
	{"Redis stopped and continued", func(f *fleet, _ *node, r *rand.Rand) error {
		f.redis.now.Pause()
		time.Sleep(between(r, 300, 2000))
		f.redis.now.Continue()
		return nil
	}},
}

// between is how long a fault takes, in milliseconds.
func between(r *rand.Rand, from, to int) time.Duration {
	return time.Duration(from+r.IntN(to-from)) * time.Millisecond
}

// morePurges waits until more purges were confirmed, or for a while.
func (f *fleet) morePurges(n int64) {
	want := f.confirmations.Load() + n
	_ = until(2*time.Second, func() error {
		if have := f.confirmations.Load(); have < want {
			return fmt.Errorf("%d of %d", have, want)
		}
		return nil
	})
}

// afflict lets faults happen, each once and in random order, round after round
// until ctx ends; one round at least. What happens to nodes happens to one at a time.
func (f *fleet) afflict(ctx context.Context, faults []fault, nodes bool, r *rand.Rand) error {
	for first := true; first || ctx.Err() == nil; first = false {
		for _, i := range r.Perm(len(faults)) {
			if !first && ctx.Err() != nil {
				return nil
			}
			var n *node
			if nodes {
				n = f.nodes[r.IntN(len(f.nodes))]
			}
			if err := f.suffer(&faults[i], n, r); err != nil {
				return err
			}
			time.Sleep(between(r, 0, 600)) // a quiet moment, or none
		}
	}
	return nil
}

// suffer lets one fault happen and waits until the fleet has recovered by itself.
func (f *fleet) suffer(x *fault, n *node, r *rand.Rand) error {
	where := ""
	if n != nil {
		where = " at " + n.name
	}
	defer f.strike(x.name, n)()
	f.say("%s%s", x.name, where)
	err := x.happen(f, n, r)
	f.say("%s%s: over", x.name, where)
	if err == nil {
		err = f.calm()
	}
	if err != nil {
		return fmt.Errorf("after %s%s: %w", x.name, where, err)
	}
	f.say("%s%s: all nodes hear again", x.name, where)
	return nil
}
