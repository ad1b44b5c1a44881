package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
	"surrogate/store/fences"
)

// Options of a Store. Redis has to be set; everything else has a default.
type Options struct {
	Redis  Redis
	Prefix string // of every key, so that deployments can share a server; "surrogate"
	Node   string // this node's name, unlike any other's; a random one

	MaxLife     time.Duration // the longest life of an entry, windows included; 7 days
	MaxFences   int           // fences standing; 1,000,000
	MaxPrefixes int           // fences standing on prefixes; 1,024
	MaxPicks    int           // entries under one key; 100
	MaxEdges    int           // dependency edges; 4,000,000
	Purges      int           // purges in the log; 10,000

	// MaxDeaf is how long a node may go on answering from memory without
	// hearing from Redis: the length of its lease. It must be the same on all
	// nodes. 5 s.
	MaxDeaf time.Duration
	// Budget is the longest that a read waits for Redis; 100 ms.
	Budget time.Duration

	Log *slog.Logger // nil for none

	claimLease time.Duration // claimLease; tests have less time
}

func (o Options) withDefaults() Options {
	o.Prefix = cmp.Or(o.Prefix, "surrogate")
	o.Node = cmp.Or(o.Node, "node-"+strconv.FormatUint(rand.Uint64(), 36))
	o.MaxLife = cmp.Or(max(o.MaxLife, 0), 7*24*time.Hour)
	o.MaxFences = cmp.Or(max(o.MaxFences, 0), 1_000_000)
	o.MaxPrefixes = cmp.Or(max(o.MaxPrefixes, 0), 1024)
	o.MaxPicks = cmp.Or(max(o.MaxPicks, 0), 100)
	o.MaxEdges = cmp.Or(max(o.MaxEdges, 0), 4_000_000)
	o.Purges = cmp.Or(max(o.Purges, 0), 10_000)
	o.MaxDeaf = cmp.Or(max(o.MaxDeaf, 0), 5*time.Second)
	o.Budget = cmp.Or(max(o.Budget, 0), 100*time.Millisecond)
	o.claimLease = cmp.Or(o.claimLease, claimLease)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// errNotReady is what reads fail with until Run has loaded the fences.
var errNotReady = errors.New("the fences are not loaded yet")

// A Store is a store.Fleet in Redis.
type Store struct {
	opt Options
	log *slog.Logger
	// member is what the control plane knows this process by. Two processes may
	// have one name, a node and the one that takes its place while it is stopped,
	// and purges have to wait for both.
	member string

	rdb redis.UniversalClient // data plane and claims; retries once
	ctl redis.UniversalClient // control plane; never retries, a purge must not happen twice

	book *fences.Book                // what this node has heard
	inc  atomic.Pointer[incarnation] // what its sequence belongs to; nil until the fences are loaded

	reach   breaker // whether Redis answers
	writes  breaker // whether it takes writes
	masters masters
	closed  atomic.Bool
	done    chan struct{} // closed by Close

	follower follower
	lease    lease
	acks     acks
	claims   claims
	warmed   bell // there is news of the queue
	own      ownClaims
	data     data
}

// New returns a Store. It connects to nothing: until Run has, Get fails and
// nobody hears.
func New(opt Options) (*Store, error) {
	opt = opt.withDefaults()
	if strings.ContainsAny(opt.Prefix, "{}") {
		return nil, fmt.Errorf("redisstore: prefix %q has a brace, which Redis Cluster would take for a hash tag", opt.Prefix)
	}
	if strings.ContainsAny(opt.Node, " \n") {
		return nil, fmt.Errorf("redisstore: node %q has white space", opt.Node)
	}
	s := &Store{
		opt:    opt,
		log:    opt.Log,
		member: opt.Node + "/" + strconv.FormatUint(rand.Uint64(), 36),
		done:   make(chan struct{}),
		book:   fences.New(fences.Options{MaxFences: opt.MaxFences, MaxPrefixes: opt.MaxPrefixes, MaxLife: opt.MaxLife}),
	}
	var err error
	if s.rdb, s.ctl, err = opt.Redis.open(); err != nil {
		return nil, err
	}
	s.reach.init("Redis answers", s.log)
	s.writes.init("Redis takes writes", s.log)
	s.follower.init()
	s.lease.ack = make(chan struct{}, 1)
	s.acks.init()
	s.claims.init()
	s.own.init()
	s.data.init(s)
	return s, nil
}

// Node implements store.Fleet.
func (s *Store) Node() string { return s.opt.Node }

// heard is the last purge this node has heard.
func (s *Store) heard() store.Seq { return s.book.Seq() }

// Run implements store.Store. It follows the log, holds the lease, wakes those
// who wait and does the periodic work, until ctx ends or the Store is closed.
// The error is one that waiting does not mend: a Redis that could evict fences.
func (s *Store) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, s.follower.wakeAll)()
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-s.done:
			cancel(nil)
		case <-ctx.Done():
		}
	})
	wg.Go(func() { s.listen(ctx) })
	wg.Go(func() { s.hold(ctx) })
	wg.Go(func() { s.renew(ctx) })
	wg.Go(func() { s.keep(ctx) })
	wg.Go(func() { s.runData(ctx) })
	wg.Go(func() { s.probe(ctx) })
	err := s.follow(ctx)
	cancel(err)
	wg.Wait()
	s.leave()
	return err
}

// usable says why a call need not begin.
func (s *Store) usable(ctx context.Context) error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	return ctx.Err()
}

// Close implements store.Store.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	close(s.done)
	return errors.Join(s.rdb.Close(), s.ctl.Close())
}
