package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
)

// QueueOptions bound a queue. They should be the same on all nodes. Zero values
// have defaults.
type QueueOptions struct {
	MaxJobs  int           // jobs that may wait; 100,000
	MaxBytes int64         // what they may come to; 64 MiB
	MaxURLs  int           // jobs that one run may have; 1,000,000
	MaxRuns  int           // runs that are remembered; 1,000
	Lease    time.Duration // how long a job is its taker's; 1 min
	Keep     time.Duration // how long a run is remembered after its last change; 1 day
}

func (o QueueOptions) withDefaults() QueueOptions {
	o.MaxJobs = cmp.Or(max(o.MaxJobs, 0), 100_000)
	o.MaxBytes = cmp.Or(max(o.MaxBytes, 0), 64<<20)
	o.MaxURLs = cmp.Or(max(o.MaxURLs, 0), 1_000_000)
	o.MaxRuns = cmp.Or(max(o.MaxRuns, 0), 1000)
	o.Lease = cmp.Or(max(o.Lease, 0), time.Minute)
	o.Keep = cmp.Or(max(o.Keep, 0), 24*time.Hour)
	return o
}

// A queue is a node's end of the fleet's store.Queue.
//
// Jobs are entries of streams, one for each site and band of heat, each with a
// consumer group; all is in one slot of its own, and each step is one script,
// so the figures are right at every moment. Who takes reads the stream of the
// hottest band that he may. A job that was handed out stays pending in its group,
// and its entry in the stream, until somebody settles it. When the lease of one
// ends, or one was put back, whoever asks next claims it, and the
// group counts how often that was. What each key is for stands in queue.lua.
//
// It has a few connections of its own, so that it cannot keep visitors waiting,
// and never blocks one: who waits for jobs is told of new ones on a channel, and
// looks four times a second as well, one taker for all of a node.
type queue struct {
	s    *Store
	opt  QueueOptions
	rdb  redis.UniversalClient
	turn chan struct{} // one for each call under way, so that none waits in the pool

	trouble breaker // for the log: nobody asks it for leave

	done    chan struct{} // closed by Close
	closing sync.RWMutex  // read-held from before a Take is sent until what it got is in held

	mu     sync.Mutex // guards what follows
	closed bool
	gen    uint64             // of the last news that were heeded
	look   time.Time          // when to look for jobs, unless there are news
	pause  time.Duration      // after the last failure
	ready  []string           // sites with jobs when somebody last looked
	sites  map[string]bool    // that were seen so far
	held   map[string]heldJob // what this node has taken, by "BB id"
}

// A heldJob is one that is to be handed back should the node end.
type heldJob struct {
	store.Job
	until time.Time // when its lease is over at the latest
}

const (
	queueConns  = 8
	pollQueue   = 250 * time.Millisecond // how often a node looks for jobs, should it not be told
	askSkip     = 100 * time.Millisecond // how often a site's skip is asked
	steadiness  = 15 * time.Second       // how long a failover is waited out
	maxSites    = 10_000
	maxHeld     = 10_000
	queuePauses = 2 * time.Second // the longest between two tries
)

// Queue returns this node's end of the fleet's queue of what is to be warmed.
// Close it before the Store.
func (s *Store) Queue(opt QueueOptions) (store.Queue, error) {
	r, err := s.opt.Redis.parse()
	if err != nil {
		return nil, err
	}
	r.setDefaults()
	q := &queue{
		s: s, opt: opt.withDefaults(),
		rdb:   r.client(-1, queueConns),
		turn:  make(chan struct{}, queueConns),
		done:  make(chan struct{}),
		sites: make(map[string]bool),
		held:  make(map[string]heldJob),
	}
	q.trouble.init("the queue can be reached and written to", s.log)
	return q, nil
}

// key is a key of the queue; all are in one slot, which is not the control plane's.
func (q *queue) key(name string) string { return "{" + q.s.opt.Prefix + ":warm}:" + name }

// keys are those that every script gets; the others begin like it.
func (q *queue) keys() []string { return []string{q.key("queue")} }

func (q *queue) channel() string { return q.s.channel("warm") }

func (q *queue) keep() int64 { return q.opt.Keep.Milliseconds() }

var (
	queueBegin  = queueScript("", "begin")
	queueAdd    = queueScript("", "add")
	queueTake   = queueScript(" flags=allow-oom", "take")
	queueRenew  = queueScript(" flags=allow-oom", "renew")
	queueSettle = queueScript(" flags=allow-oom", "settle")
	queueBack   = queueScript(" flags=allow-oom", "back")
	queueSeal   = queueScript(" flags=allow-oom", "seal")
	queueCancel = queueScript(" flags=allow-oom", "cancel")
	queueSweep  = queueScript(" flags=allow-oom", "sweep")
)

// queueScript joins a script and what all of them begin with. Those that add are
// refused when memory is full; what takes away, or says what became of what is
// there, goes on.
func queueScript(flags, name string) *redis.Script {
	var b strings.Builder
	b.WriteString("#!lua" + flags + "\n")
	for _, file := range []string{"queue.lua", "queue_" + name + ".lua"} {
		src, err := luaFiles.ReadFile(file)
		if err != nil {
			panic(err) // it is embedded
		}
		b.Write(src)
	}
	return redis.NewScript(b.String())
}

// run runs a script; args are what comes after keep.
func (q *queue) run(ctx context.Context, op string, sc *redis.Script, args ...any) (out any, err error) {
	err = q.do(ctx, op, func(ctx context.Context) error {
		out, err = sc.Run(ctx, q.rdb, q.keys(), append([]any{q.keep()}, args...)...).Result()
		return nilIsNone(err)
	})
	return out, ofQueue(err)
}

// steady is run that waits out a failover. Only what does no harm if it is done
// twice may go through it.
func (q *queue) steady(ctx context.Context, op string, sc *redis.Script, args ...any) (out any, err error) {
	err = q.insist(ctx, func() error {
		out, err = q.run(ctx, op, sc, args...)
		return err
	})
	return out, err
}

// insist tries f again, ever more rarely, while Redis is in trouble.
func (q *queue) insist(ctx context.Context, f func() error) error {
	pause := 50 * time.Millisecond
	for end := time.Now().Add(steadiness); ; pause = min(2*pause, queuePauses) {
		err := f()
		if !passes(err) || time.Now().Add(pause).After(end) {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-q.done:
			timer.Stop()
			return store.ErrClosed
		}
	}
}

// passes reports whether an error is one that waiting may mend.
func passes(err error) bool {
	return err != nil && !errors.Is(err, store.ErrClosed) && !errors.Is(err, context.Canceled) && troubleOf(err) != noTrouble
}

// do does one thing with Redis, within patience. Trouble that the queue has, in a
// slot of its own, does not keep visitors from what is stored in others: it is
// not the Store's trouble.
func (q *queue) do(ctx context.Context, op string, f func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-q.done:
		return store.ErrClosed
	default:
	}
	select {
	case q.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-q.done:
		return store.ErrClosed
	}
	defer func() { <-q.turn }()
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := f(bounded)
	switch kind := troubleOf(err); {
	case errors.Is(err, redis.ErrClosed):
		return store.ErrClosed
	case kind == noTrouble:
		q.trouble.succeeded()
	case ctx.Err() == nil: // else the caller left, which says nothing about Redis
		q.trouble.failed(err)
		if c, ok := q.rdb.(*redis.ClusterClient); ok && kind == unreached {
			c.ReloadState(ctx)
		}
	}
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("redisstore: queue: %s: %w", op, err)
	}
	return err
}

// ofQueue makes errors of ours of answers that are.
func ofQueue(err error) error {
	switch {
	case redis.HasErrorPrefix(err, "NORUN"):
		return store.ErrNoRun
	case redis.HasErrorPrefix(err, "RUNOVER"):
		return store.ErrRunOver
	}
	return err
}

// Stats implements store.Queue.
func (q *queue) Stats(ctx context.Context) (store.QueueStats, error) {
	var of *redis.SliceCmd
	var leases *redis.IntCmd
	err := q.do(ctx, "stats", func(ctx context.Context) error {
		_, err := q.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			of = p.HMGet(ctx, q.key("queue"), "n", "dropped", "b")
			leases = p.ZCard(ctx, q.key("leases"))
			return nil
		})
		return err
	})
	if err != nil {
		return store.QueueStats{}, err
	}
	v := of.Val()
	return store.QueueStats{
		Queued: int(numberAt(v, 0)), Taken: int(leases.Val()), Capacity: q.opt.MaxJobs, Dropped: uint64(numberAt(v, 1)),
		Bytes: numberAt(v, 2), MaxBytes: q.opt.MaxBytes,
	}, nil
}

// Close implements store.Queue.
func (q *queue) Close() error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return nil
	}
	q.closed = true
	close(q.done)
	q.mu.Unlock()
	// What is on its way to a taker comes into held first.
	q.closing.Lock()
	defer q.closing.Unlock()
	q.mu.Lock()
	var back []store.Job
	for _, h := range q.held {
		back = append(back, h.Job)
	}
	q.held = nil
	q.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var failed error
	for len(back) > 0 && failed == nil {
		some := back[:min(len(back), queueBatch)]
		back = back[len(some):]
		args := append([]any{q.keep(), 0, q.s.member, q.channel(), "", ""}, q.named(some)...)
		// Should it fail, their leases end.
		if err := queueBack.Run(ctx, q.rdb, q.keys(), args...).Err(); err != nil {
			failed = fmt.Errorf("redisstore: queue: hand back: %w", err)
		}
	}
	return errors.Join(failed, q.rdb.Close())
}
