package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"surrogate/store"
)

// A lease is this node's belief that purges wait for it.
type lease struct {
	until atomic.Pointer[time.Time] // nil for none
	need  store.Seq                 // how far it must have heard to believe; hold's own
	ack   chan struct{}             // say how far the node has heard
}

func (l *lease) end() { l.until.Store(nil) }

// live reports whether the lease is in force. Both clocks have to agree: the
// monotonic one is not moved by whoever sets the time, the wall clock goes on
// while a machine sleeps.
func (l *lease) live(now time.Time) bool {
	u := l.until.Load()
	return u != nil && now.Before(*u) && now.Round(0).Before(u.Round(0))
}

// Hears implements store.Fleet.
func (s *Store) Hears() bool { return s.lease.live(time.Now()) }

// hold refreshes the lease, and whenever the node has heard something says so.
func (s *Store) hold(ctx context.Context) {
	tick := time.NewTicker(s.opt.MaxDeaf / 3)
	defer tick.Stop()
	for {
		if err := s.refresh(ctx); errors.Is(err, errChanged) {
			s.lease.end()
			poke(s.follower.kick)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-s.lease.ack:
		}
	}
}

func (s *Store) refresh(ctx context.Context) error {
	f := &s.follower
	f.mu.Lock()
	inc, heard, whole := s.inc.Load(), s.heard(), f.whole.Load()
	f.mu.Unlock()
	if inc == nil || !whole {
		return nil
	}
	sent := time.Now()
	bounded, cancel := context.WithTimeout(ctx, s.opt.MaxDeaf/3)
	defer cancel()
	out, err := s.run(bounded, "lease", leaseScript, []string{s.stateKey(), s.nodesKey()},
		inc.id, s.member, s.seqArg(heard), s.opt.MaxDeaf.Microseconds(), s.channel("acks"))
	if err != nil {
		return err
	}
	// What the keeper counts from later, and by a clock that may run faster, ends later.
	until := sent.Add(s.opt.MaxDeaf - s.opt.MaxDeaf/20)
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.inc.Load() != inc {
		return nil
	}
	if text(out, 1) == "1" || !s.lease.live(time.Now()) {
		s.lease.need = seqOf(text(out, 0))
	}
	if heard >= s.lease.need {
		s.lease.until.Store(&until)
	}
	return nil
}

// leave tells the others not to wait for this node.
func (s *Store) leave() {
	s.lease.end()
	s.follower.mu.Lock()
	s.inc.Store(nil)
	s.follower.whole.Store(false)
	s.follower.mu.Unlock()
	if s.closed.Load() {
		return // it cannot; the lease ends by itself
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.opt.Budget)
	defer cancel()
	_ = s.ctl.HDel(ctx, s.nodesKey(), s.member).Err()
}

// acks are what other nodes say they have heard, so that whoever awaits them
// need not ask.
type acks struct {
	mu   sync.Mutex // guards what follows
	last map[string]ack
	news chan struct{} // closed when one comes
	// rolls are who was to hear this node's latest purges, as their commits said.
	rolls [64]struct {
		seq store.Seq
		roll
	}
}

type ack struct {
	inc   string
	heard store.Seq
}

func (a *acks) init() { a.last, a.news = make(map[string]ack), make(chan struct{}) }

// take notes an ack: "inc heard node".
func (a *acks) take(msg string) {
	part := strings.SplitN(msg, " ", 3)
	if len(part) != 3 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.last) > 4096 {
		clear(a.last) // nodes with random names come and go; who asks finds out otherwise
	}
	a.last[part[2]] = ack{part[0], seqOf(part[1])}
	close(a.news)
	a.news = make(chan struct{})
}

// keep notes who was to hear a purge.
func (a *acks) keep(seq store.Seq, r roll) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := &a.rolls[seq%store.Seq(len(a.rolls))]
	at.seq, at.roll = seq, r
}

// whoWas returns what keep was told.
func (a *acks) whoWas(seq store.Seq) (roll, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := a.rolls[seq%store.Seq(len(a.rolls))]
	return at.roll, at.seq == seq && at.inc != nil
}

// heard reports whether all nodes have said that they heard seq, and a channel
// that is closed when another says something.
func (a *acks) heard(inc string, seq store.Seq, nodes map[string]store.Seq) (all bool, news <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	all = true
	for n := range nodes {
		if last := a.last[n]; last.inc == inc && last.heard >= seq {
			nodes[n] = max(nodes[n], last.heard)
		} else if nodes[n] < seq {
			all = false
		}
	}
	return all, a.news
}

// pollAcks is how often Await asks, should an ack not come.
const pollAcks = 50 * time.Millisecond

// Await implements store.Fleet. In health it costs nothing but the others' acks,
// which come by themselves: who is to hear, the commit has said.
func (s *Store) Await(ctx context.Context, seq store.Seq) (map[string]store.Seq, bool, error) {
	var heard map[string]store.Seq
	for first := true; ; first = false {
		err := s.usable(ctx)
		var fleet roll
		if err == nil {
			var told bool
			if fleet, told = s.acks.whoWas(seq); !told || !first {
				fleet, err = s.roll(ctx)
			}
		}
		if err == nil {
			heard = fleet.leased()
			if _, ok := heard[s.member]; ok && s.inc.Load() == fleet.inc {
				heard[s.member] = max(heard[s.member], s.heard()) // it need not be told
			}
			// Until the leases of an incarnation before this one have ended there
			// may be nodes nobody here knows of.
			left := s.opt.MaxDeaf - fleet.age
			pause := time.After(pollAcks)
			for {
				all, news := s.acks.heard(fleet.inc.id, seq, heard)
				if all && left <= 0 {
					return named(heard), true, nil
				}
				select {
				case <-news:
					continue
				case <-pause:
				case <-ctx.Done():
				case <-s.done:
				}
				break
			}
			continue
		}
		switch {
		case errors.Is(err, store.ErrClosed):
			return named(heard), false, err
		case ctx.Err() != nil && heard != nil:
			return named(heard), false, nil
		case ctx.Err() != nil:
			return nil, false, fmt.Errorf("redisstore: await %d: %w", seq, err)
		}
		s.rest(ctx, s.follower.changes(), pollAcks)
	}
}

// named is what is known of members, by their names: of two with one name, the
// one that has heard less.
func named(members map[string]store.Seq) map[string]store.Seq {
	out := make(map[string]store.Seq, len(members))
	for m, seq := range members {
		n := nameOf(m)
		if other, ok := out[n]; !ok || seq < other {
			out[n] = seq
		}
	}
	return out
}

func nameOf(member string) string {
	if i := strings.LastIndexByte(member, '/'); i >= 0 {
		return member[:i]
	}
	return member
}

// A roll is what the keeper knows of the nodes.
type roll struct {
	inc   *incarnation
	age   time.Duration // since the incarnation began
	nodes []store.Node  // named as members
}

func (r *roll) leased() map[string]store.Seq {
	m := make(map[string]store.Seq)
	for _, n := range r.nodes {
		if n.Leased {
			m[n.Name] = n.Heard
		}
	}
	return m
}

func (s *Store) roll(ctx context.Context) (roll, error) {
	inc := s.inc.Load()
	if inc == nil {
		return roll{}, errNotReady
	}
	out, err := s.run(ctx, "nodes", nodesScript, []string{s.stateKey(), s.nodesKey()}, inc.id)
	if err != nil {
		return roll{}, err
	}
	return rollOf(inc, out), nil
}

// rollOf reads what nodes.lua answers.
func rollOf(inc *incarnation, out []any) roll {
	now := micros(text(out, 0))
	r := roll{inc: inc, age: now.Sub(micros(text(out, 1)))}
	for i := 2; i+1 < len(out); i += 2 {
		heard, until, _ := strings.Cut(text(out, i+1), " ")
		n := store.Node{Name: text(out, i), Heard: seqOf(heard), Until: micros(until)}
		n.Leased = now.Before(n.Until)
		r.nodes = append(r.nodes, n)
	}
	return r
}

// Nodes implements store.Fleet.
func (s *Store) Nodes(ctx context.Context) ([]store.Node, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	r, err := s.roll(ctx)
	if err != nil {
		return nil, err
	}
	var nodes []store.Node
	at := make(map[string]int)
	for _, n := range r.nodes {
		n.Name = nameOf(n.Name)
		i, ok := at[n.Name]
		switch {
		case !ok:
			at[n.Name] = len(nodes)
			nodes = append(nodes, n)
		case n.Leased && !nodes[i].Leased, n.Leased == nodes[i].Leased && n.Until.After(nodes[i].Until):
			nodes[i] = n // the other is what the node was before it started again
		}
	}
	return nodes, nil
}
