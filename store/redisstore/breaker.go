package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
)

// ErrUnavailable is what a call fails with, at once, while Redis does not
// answer, or does not take writes.
var ErrUnavailable = errors.New("redis is unavailable")

const (
	tripAfter   = 3                      // failures in a row that open a breaker
	retryFirst  = 100 * time.Millisecond // how long it stays open before one call may try
	retryLatest = 2 * time.Second
)

// A breaker lets nobody wait for what has failed. It opens after a few failures
// in a row; from then on one call at a time may try again, ever more rarely,
// until one succeeds. For reads that call is the prober's, never a client's.
type breaker struct {
	what string
	log  *slog.Logger

	open atomic.Bool

	mu    sync.Mutex // guards what follows
	fails int
	pause time.Duration
	next  time.Time // when a call may try
	since time.Time
	last  error // the latest failure
}

func (b *breaker) init(what string, log *slog.Logger) { b.what, b.log = what, log }

// allow reports whether a call may try.
func (b *breaker) allow() bool {
	if !b.open.Load() {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); b.open.Load() && now.Before(b.next) {
		return false
	} else {
		b.next = now.Add(b.pause)
	}
	return true
}

// failed counts a failure.
func (b *breaker) failed(err error) {
	b.mu.Lock()
	b.fails++
	b.last = err
	trip := !b.open.Load() && b.fails >= tripAfter
	if trip {
		b.pause, b.since = retryFirst, time.Now()
		b.open.Store(true)
	} else if b.open.Load() {
		b.pause = min(2*b.pause, retryLatest)
	}
	b.next = time.Now().Add(b.pause)
	b.mu.Unlock()
	if trip {
		b.log.Warn("redisstore: no longer: "+b.what, "err", err)
	}
}

// succeeded closes the breaker.
func (b *breaker) succeeded() {
	if b.fine() {
		return
	}
	b.mu.Lock()
	was, since := b.open.Load(), b.since
	b.fails = 0
	b.open.Store(false)
	b.mu.Unlock()
	if was {
		b.log.Info("redisstore: again: "+b.what, "after", time.Since(since))
	}
}

func (b *breaker) fine() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.fails == 0
}

// unavailable is what a call fails with that need not begin, and why that is so.
func (b *breaker) unavailable(op string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last == nil {
		return fmt.Errorf("redisstore: %s: %w", op, ErrUnavailable)
	}
	return fmt.Errorf("redisstore: %s: %w: %v", op, ErrUnavailable, b.last)
}

// guard runs a read within the budget, or not at all while Redis does not
// answer. Names of operations are for errors.
func (s *Store) guard(ctx context.Context, op string, f func(context.Context) error) error {
	return s.call(ctx, op, "", s.opt.Budget, false, f)
}

// guardAt is guard of what concerns one slot only, that of a key.
func (s *Store) guardAt(ctx context.Context, op, key string, f func(context.Context) error) error {
	return s.call(ctx, op, key, s.opt.Budget, false, f)
}

// guardPatient is guard with more patience, for what nobody waits for on a client's
// behalf. Besides reads that is what only takes away, which Redis takes when its
// memory is full.
func (s *Store) guardPatient(ctx context.Context, op string, f func(context.Context) error) error {
	return s.call(ctx, op, "", 10*s.opt.Budget, false, f)
}

// guardPatientAt is guardPatient of what concerns one slot only.
func (s *Store) guardPatientAt(ctx context.Context, op, key string, f func(context.Context) error) error {
	return s.call(ctx, op, key, 10*s.opt.Budget, false, f)
}

// guardWrite is guardPatient of what adds to what Redis holds, or not at all
// while that is refused.
func (s *Store) guardWrite(ctx context.Context, op string, f func(context.Context) error) error {
	return s.call(ctx, op, "", 10*s.opt.Budget, true, f)
}

func (s *Store) call(ctx context.Context, op, key string, budget time.Duration, write bool, f func(context.Context) error) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	reach := s.reachOf(ctx, key)
	switch {
	case reach != nil && reach.open.Load():
		return reach.unavailable(op)
	case reach == nil && s.reach.open.Load():
		return s.reach.unavailable(op)
	case write && !s.writes.allow():
		return s.writes.unavailable(op)
	}
	return s.tryOn(ctx, reach, op, budget, write, f)
}

// try is a call to the control plane, or to all there is, without asking the
// breakers first.
func (s *Store) try(ctx context.Context, op string, budget time.Duration, write bool, f func(context.Context) error) error {
	return s.tryOn(ctx, &s.reach, op, budget, write, f)
}

// tryOn is try of what a breaker is for; nil for what is not one server's.
func (s *Store) tryOn(ctx context.Context, reach *breaker, op string, budget time.Duration, write bool, f func(context.Context) error) error {
	bounded, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	err := f(bounded)
	switch kind := troubleOf(err); {
	case kind == unreached && ctx.Err() != nil:
		// The caller left; that says nothing about Redis. Nor does Close.
	case errors.Is(err, redis.ErrClosed):
		return store.ErrClosed
	case kind == unreached:
		if reach != nil {
			reach.failed(err)
		}
		s.remap(ctx)
	case kind == unwritten:
		if reach != nil {
			reach.succeeded()
		}
		s.writes.failed(err)
	default:
		if reach != nil {
			reach.succeeded()
		}
		if write {
			s.writes.succeeded()
		}
	}
	if err == nil || errors.Is(err, redis.Nil) {
		return err
	}
	return fmt.Errorf("redisstore: %s: %w", op, err)
}

// remap lets the clients of a cluster learn which server has which slots. By
// themselves they ask a server that refuses them for ten seconds and more. It
// is done in the background, and at most a few times a second.
func (s *Store) remap(ctx context.Context) {
	for _, c := range [...]redis.UniversalClient{s.rdb, s.ctl} {
		if c, ok := c.(*redis.ClusterClient); ok {
			c.ReloadState(ctx)
		}
	}
}

// Trouble is what an error says about Redis.
type trouble int

const (
	noTrouble trouble = iota // it answered; the error, if any, is about the command
	unreached                // it did not answer, or cannot yet
	unwritten                // it answers, but takes no writes
)

func troubleOf(err error) trouble {
	var reply redis.Error
	switch {
	case err == nil || errors.Is(err, redis.Nil):
		return noTrouble
	case !errors.As(err, &reply):
		var n net.Error
		if errors.As(err, &n) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			return unreached
		}
		if isOurs(err) {
			return noTrouble
		}
		return unreached // an end of file, a pool that is exhausted, no sentinel
	}
	msg := reply.Error()
	for _, p := range [...]string{"LOADING", "NOAUTH", "WRONGPASS", "NOPERM", "CLUSTERDOWN", "MASTERDOWN", "BUSY ", "ERR max number of clients"} {
		if strings.HasPrefix(msg, p) {
			return unreached
		}
	}
	for _, p := range [...]string{"OOM", "READONLY", "MISCONF", "NOREPLICAS"} {
		if strings.HasPrefix(msg, p) {
			return unwritten
		}
	}
	return noTrouble
}

// mayHaveRun reports whether a command that failed may have been carried out all
// the same: it was sent, and no answer came.
func mayHaveRun(err error) bool {
	if troubleOf(err) != unreached {
		return false
	}
	var reply redis.Error
	var op *net.OpError
	var untrusted *tls.CertificateVerificationError
	switch {
	case errors.As(err, &reply), errors.As(err, &untrusted), errors.As(err, &op) && op.Op == "dial":
		return false
	}
	return !errors.Is(err, redis.ErrPoolTimeout) && !errors.Is(err, redis.ErrPoolExhausted)
}

// isOurs reports whether an error is one that this program made of an answer.
func isOurs(err error) bool {
	return errors.Is(err, store.ErrPurged) || errors.Is(err, store.ErrNewer) || errors.Is(err, store.ErrEdges) || errors.Is(err, store.ErrTooLarge) ||
		errors.Is(err, store.ErrCodec) || errors.Is(err, errNotReady) || errors.Is(err, errChanged) || errors.Is(err, ErrUnavailable) ||
		errors.Is(err, store.ErrNoRun) || errors.Is(err, store.ErrRunOver)
}
