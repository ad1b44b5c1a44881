package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
)

// ErrEvicts is a Redis that may evict fences, which Run refuses to work with.
var ErrEvicts = errors.New("redisstore: Redis may evict fences")

// A follower applies the log to the Book.
type follower struct {
	// mu is held while events are applied and the Book is replaced, so that all
	// of it happens in the log's order.
	mu    sync.Mutex
	whole atomic.Bool // the Book has all up to its Seq; changes under mu
	knew  string      // the incarnation that the Book is of, even after Run; changes under mu

	kick chan struct{} // the incarnation may have changed
	big  chan struct{} // a large purge has to be settled

	newsMu sync.Mutex // guards what follows; innermost
	news   chan struct{}
	ring   []store.Event // the last ones applied, without holes
	named  int           // names in ring
}

const (
	ringEvents = 256
	ringNames  = 1 << 16
)

func (f *follower) init() {
	f.kick, f.big = make(chan struct{}, 1), make(chan struct{}, 1)
	f.news = make(chan struct{})
}

// changes returns a channel that is closed when the Book or the incarnation
// changes.
func (f *follower) changes() <-chan struct{} {
	f.newsMu.Lock()
	defer f.newsMu.Unlock()
	return f.news
}

func (f *follower) wake() {
	f.newsMu.Lock()
	defer f.newsMu.Unlock()
	close(f.news)
	f.news = make(chan struct{})
}

// wakeAll is wake for the end of Run.
func (f *follower) wakeAll() { f.wake() }

// forget empties the ring.
func (f *follower) forget() {
	f.newsMu.Lock()
	defer f.newsMu.Unlock()
	f.ring, f.named = nil, 0
}

func (f *follower) keep(ev store.Event) {
	f.newsMu.Lock()
	defer f.newsMu.Unlock()
	f.ring = append(f.ring, ev)
	f.named += len(ev.Names)
	drop := 0
	for len(f.ring)-drop > ringEvents || f.named > ringNames && drop < len(f.ring) {
		f.named -= len(f.ring[drop].Names)
		drop++
	}
	if drop > 0 {
		f.ring = append(f.ring[:0:0], f.ring[drop:]...)
	}
}

// lately returns an event that was applied lately.
func (f *follower) lately(seq store.Seq) (store.Event, bool) {
	f.newsMu.Lock()
	defer f.newsMu.Unlock()
	if len(f.ring) == 0 || seq < f.ring[0].Seq || seq-f.ring[0].Seq >= store.Seq(len(f.ring)) {
		return store.Event{}, false
	}
	return f.ring[seq-f.ring[0].Seq], true
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// apply lets this node hear ev. The follower's mu is held, and ev comes next.
func (s *Store) apply(ev *store.Event) {
	s.book.Apply(ev)
	s.follower.keep(*ev)
	s.follower.wake()
	poke(s.lease.ack)
}

// hear returns once this node has heard its own purge. If that cannot be, it is
// deaf: then at least it answers nothing that fell.
func (s *Store) hear(ctx context.Context, inc *incarnation, ev *store.Event) {
	f := &s.follower
	if len(ev.Names) > maxLogged {
		poke(f.big)
	}
	f.mu.Lock()
	if s.inc.Load() == inc && f.whole.Load() && s.heard()+1 == ev.Seq {
		s.apply(ev)
	}
	f.mu.Unlock()
	for {
		news := f.changes()
		if s.inc.Load() != inc || s.heard() >= ev.Seq {
			return
		}
		select {
		case <-news:
		case <-ctx.Done():
			s.lease.end()
			return
		case <-s.done:
			return
		}
	}
}

// rejoin waits until the node knows another incarnation than inc.
func (s *Store) rejoin(ctx context.Context, inc *incarnation) error {
	for {
		news := s.follower.changes()
		if s.inc.Load() != inc {
			return nil
		}
		s.lease.end()
		poke(s.follower.kick)
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("redisstore: purge: %w: %w", errChanged, ctx.Err())
		case <-s.done:
			return store.ErrClosed
		}
	}
}

// follow joins the fleet and applies the log, again and again.
func (s *Store) follow(ctx context.Context) error {
	said := ""
	pause := time.Duration(0)
	for ctx.Err() == nil {
		err := s.join(ctx)
		if err == nil {
			if said != "" {
				s.log.Info("redisstore: following the purges again", "node", s.opt.Node)
				said = ""
			}
			pause = 0
			poke(s.lease.ack)
			err = s.readLog(ctx)
		}
		if errors.Is(err, ErrEvicts) && s.inc.Load() == nil {
			return err
		}
		if ctx.Err() != nil || errors.Is(err, store.ErrClosed) {
			return nil
		}
		switch {
		case errors.Is(err, errChanged), errors.Is(err, store.ErrGap):
			s.log.Warn("redisstore: reloading the fences", "node", s.opt.Node, "err", err)
		case err != nil && said == "":
			said = err.Error()
			s.log.Warn("redisstore: cannot follow the purges", "node", s.opt.Node, "err", err)
		}
		if err != nil {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			pause = min(2*pause+20*time.Millisecond, 500*time.Millisecond)
		}
	}
	return nil
}

// readLog applies what the log says until that cannot go on. Nil: somebody asks
// for joining again.
func (s *Store) readLog(ctx context.Context) error {
	// A blocked read cannot be interrupted; this is how long a kick may wait.
	block := min(250*time.Millisecond, max(s.opt.MaxDeaf/8, 5*time.Millisecond))
	for ctx.Err() == nil {
		select {
		case <-s.follower.kick:
			return nil
		default:
		}
		bounded, cancel := context.WithTimeout(ctx, block+s.opt.MaxDeaf/4+50*time.Millisecond)
		streams, err := s.ctl.XRead(bounded, &redis.XReadArgs{
			Streams: []string{s.logKey(), s.seqArg(s.heard()) + "-0"},
			Count:   eventsPage,
			Block:   block,
		}).Result()
		cancel()
		if err != nil && !errors.Is(err, redis.Nil) {
			return fmt.Errorf("redisstore: read the log: %w", err)
		}
		for _, stream := range streams {
			for _, m := range stream.Messages {
				if err := s.next(ctx, m); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// next applies one purge of the log.
func (s *Store) next(ctx context.Context, m redis.XMessage) error {
	ev, err := s.event(ctx, m)
	f := &s.follower
	f.mu.Lock()
	defer f.mu.Unlock()
	if errors.Is(err, store.ErrGap) {
		f.whole.Store(false)
	}
	if err != nil {
		return err
	}
	switch heard := s.heard(); {
	case ev.Seq <= heard:
	case ev.Seq == heard+1:
		s.apply(&ev)
	default:
		f.whole.Store(false)
		return fmt.Errorf("redisstore: heard %d, the log goes on with %d: %w", heard, ev.Seq, store.ErrGap)
	}
	return nil
}
