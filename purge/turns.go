package purge

import (
	"context"
	"time"

	"surrogate/store"
)

// Sweeping is nobody's business who waits for an answer, so it takes at most half
// of one core, of one node of a fleet, in turns of work and rest, stands back
// while this node has purges to answer, and begins only when a purge's own answer
// is likely to be out. On one core a hit may have to wait for the end of a turn, so
// turns are short. Where nobody else wants the core a rest lasts a millisecond, the
// least that the scheduler waits in the network poller: a million entries take
// seconds.
const (
	headStart = 2 * time.Millisecond
	turn      = 200 * time.Microsecond
	// standBack is the longest that a sweep stands back for purges: where there is
	// always one, it has to go on all the same.
	standBack = 10 * time.Millisecond
	look      = 250 * time.Microsecond // how often it looks whether it may go on
	// sweepFor is how long one node of a fleet sweeps before it lets another.
	sweepFor = 50 * time.Millisecond
)

// sweepClaim is what the nodes of a fleet call sweeping, for one of them to claim.
const sweepClaim = "\nsweep"

// turns are the turns of work of one sweep.
type turns struct {
	p     *Purger
	timer *time.Timer // one for all rests: they come by the thousand
	claim store.Claim // to sweep for the fleet; nil if there is none, or no agreement
	since time.Time   // when the claim was got
	began time.Time   // when the turn began
}

// newTurns returns once a sweep may begin.
func (p *Purger) newTurns(ctx context.Context) *turns {
	t := &turns{p: p, timer: time.NewTimer(0)}
	t.begin(ctx)
	return t
}

func (t *turns) begin(ctx context.Context) {
	p := t.p
	if p.fleet != nil && t.claim == nil {
		t.claim = p.claimSweep(ctx)
		t.since = time.Now()
	}
	for waited := time.Duration(0); p.purging.Load() > 0 && waited < standBack && ctx.Err() == nil; waited += look {
		t.rest(ctx, look)
	}
	t.began = time.Now()
}

// rest waits for d or the end of ctx.
func (t *turns) rest(ctx context.Context, d time.Duration) {
	t.timer.Reset(d)
	select {
	case <-t.timer.C:
	case <-ctx.Done():
	}
}

// claimSweep returns once no other node sweeps. Where that cannot be agreed upon,
// the sweep goes on by itself.
func (p *Purger) claimSweep(ctx context.Context) store.Claim {
	for ctx.Err() == nil {
		claim, over, err := p.fleet.Claim(ctx, sweepClaim, time.Minute)
		if claim != nil || err != nil {
			return claim
		}
		select {
		case <-over:
		case <-ctx.Done():
		}
	}
	return nil
}

// pass ends a turn that has lasted long enough, rests, and begins the next.
func (t *turns) pass(ctx context.Context) {
	worked := time.Since(t.began)
	if worked < turn {
		return
	}
	if time.Since(t.since) >= sweepFor {
		t.end()
	}
	t.rest(ctx, worked)
	t.begin(ctx)
}

// end lets another node sweep.
func (t *turns) end() {
	if t.claim != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		t.claim.Release(ctx)
		t.claim = nil
	}
}
