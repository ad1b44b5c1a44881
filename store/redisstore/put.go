package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
	"surrogate/store/fences"
)

// Put implements store.Store.
//
// In order: what is there and whether somebody depends on it; the edges, where
// there are any; the fences; the index; the body, where it is in chunks; the
// entry. A purge that comes after the look at the fences is newer than the
// entry's ticket, and whoever reads the entry compares the two again.
func (s *Store) Put(ctx context.Context, e *store.Entry) error {
	if len(e.Body) > maxBody {
		return store.ErrTooLarge
	}
	inc, err := s.ready(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	ends := now.Add(s.opt.MaxLife)
	if end := e.Life.Ends(); end.Before(ends) {
		ends = end
	}
	p := put{s: s, inc: inc, e: e, at: placeOf(e.Key), now: now, v: newVersion(e, ends, now)}
	err = p.run(ctx)
	var refused *store.PurgedError
	switch {
	case err == nil:
	case errors.Is(err, store.ErrNewer):
		return store.ErrNewer
	case errors.As(err, &refused):
		s.data.refused.Add(1)
		p.fallen(ctx, refused)
		return refused
	default:
		return fmt.Errorf("redisstore: put %s: %w", e.Key, err)
	}
	return nil
}

// A put is one Put under way.
type put struct {
	s   *Store
	inc *incarnation
	e   *store.Entry
	at  place
	now time.Time
	v   version

	wanted int64     // somebody depends on the URL until then, unix milliseconds
	linked int64     // until when the entry's names lead to its URL
	up     *upstream // what it was made of; nil until climbed
	may    []any     // what may go, as put.lua takes it
	going  []kept    // the same
	late   bool      // something among them is newer
}

func (p *put) run(ctx context.Context) error {
	if err := p.look(ctx); err != nil {
		return err
	}
	if err := p.check(ctx); err != nil {
		return err
	}
	if p.late {
		return store.ErrNewer
	}
	if p.v.dead(p.now) {
		return p.stillborn(ctx)
	}
	// What is written from here on is taken back if the entry is not stored.
	err := p.write(ctx)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	switch {
	case err != nil && troubleOf(err) == unreached:
		// It may be stored. What it has written ends with it, or as it would have.
		return err
	case err != nil:
		_ = p.s.forget(ctx, p.inc, p.at, []kept{{Entry: *p.e, version: p.v, body: len(p.e.Body), chunked: p.chunks()}})
		return err
	}
	// Stored it is. What is left behind of what went ends by itself.
	_ = p.s.forget(ctx, p.inc, p.at, p.going)
	return nil
}

func (p *put) chunks() bool { return len(p.e.Body) > maxInline }

// look reads whether somebody depends on the URL, and what the entry replaces.
func (p *put) look(ctx context.Context) error {
	var node *redis.StringCmd
	var old *redis.StringCmd
	err := p.s.guardPatientAt(ctx, "look", p.inc.entries(p.at), func(ctx context.Context) error {
		return p.s.pipe(ctx, func(pl redis.Pipeliner) {
			node = pl.HGet(ctx, p.inc.node(p.at.url), "w")
			old = pl.HGet(ctx, p.inc.entries(p.at), p.v.pick.field("m"))
		})
	})
	if err != nil {
		return err
	}
	p.wanted, _ = strconv.ParseInt(node.Val(), 10, 64)
	if p.wanted <= p.now.UnixMilli() {
		p.wanted = 0
	}
	if k, err := decode(old.Val()); err == nil {
		p.drops(k)
	}
	return nil
}

// drops lets an entry go, unless it turns out that it is the other that comes
// too late. put.lua lets nothing go that was not looked at here.
func (p *put) drops(k kept) {
	if (k.Vary != p.e.Vary || k.Pick == p.e.Pick) && k.Newer(p.e) && !k.dead(p.now) {
		v := fences.Verdict{Ticket: k.Ticket}
		p.s.book.Judge(&k.Entry, &v)
		p.late = p.late || !v.Dead
	}
	alt := ""
	if k.Alt != "" {
		a := pickIDOf(k.Alt)
		alt = string(a[:])
	}
	p.going = append(p.going, k)
	p.may = append(p.may, string(k.gen[:]), alt)
}

// check writes the edges, then looks at the fences. A purger raises fences
// first and asks for Dependents again afterwards; this comes the other way round,
// so whichever is second sees the other. For that this node has to have heard
// everything that was purged before the edges stood.
func (p *put) check(ctx context.Context) error {
	if p.wanted == 0 && p.e.Deps == "" {
		return p.s.refusal(p.e, nil, false, fences.Reader.Admit)
	}
	if err := p.s.refusal(p.e, nil, p.wanted != 0, fences.Reader.Admit); err != nil {
		return err // so do not write edges for nothing
	}
	if err := p.link(ctx); err != nil {
		return err
	}
	if p.wanted != 0 || len(p.up.urls) > 0 {
		if err := p.s.catchUp(ctx, p.inc); err != nil {
			return err
		}
		if err := p.s.recall(ctx, p.inc, p.e.Ticket, p.up); err != nil {
			return err
		}
	}
	return p.s.refusal(p.e, p.up, p.wanted != 0, fences.Reader.Admit)
}

// write stores the entry, index first.
func (p *put) write(ctx context.Context) error {
	s := p.s
	if err := s.enter(ctx, p.inc, p.at, p.e, &p.v, p.now); err != nil {
		return err
	}
	meta, body := encode(p.e, &p.v, inline), p.e.Body
	if p.chunks() {
		life := time.Duration(p.v.ends-p.now.UnixMilli()) * time.Millisecond
		if err := s.writeBody(ctx, p.inc, p.at.url, &p.v, p.e.Body, life); err != nil {
			return err
		}
		meta, body = encode(p.e, &p.v, chunked), nil
	}
	alt := ""
	if p.e.Alt != "" {
		a := pickIDOf(p.e.Alt)
		alt = string(a[:])
	}
	told := 0 // how many of those that go have been remembered as fallen
	for range 16 {
		if err := s.remember(ctx, p.inc, p.going[told:]); err != nil {
			return err
		}
		told = len(p.going)
		c := []call{{
			script: putScript,
			keys:   []string{p.inc.entries(p.at), p.inc.node(p.at.url)},
			args: append([]any{
				time.Now().UnixMilli(), p.v.ends, p.e.Vary, meta, body, alt, p.v.append(nil), s.opt.MaxPicks, p.linked,
			}, p.may...),
		}}
		if err := s.guardWrite(ctx, "store", func(ctx context.Context) error { return s.eval(ctx, c) }); err != nil {
			return err
		}
		answer := texts(c[0].cmd.Val())
		switch {
		case len(answer) > 0 && answer[0] == "ok":
			p.going = slices.DeleteFunc(p.going, func(k kept) bool { return !slices.Contains(answer[1:], string(k.gen[:])) })
			return nil
		case len(answer) == 2 && answer[0] == "link":
			p.wanted, _ = strconv.ParseInt(answer[1], 10, 64)
			if err := p.check(ctx); err != nil {
				return err
			}
		case len(answer) > 2 && answer[0] == "drop":
			for i := 1; i+1 < len(answer); i += 2 {
				k, err := decode(answer[i+1])
				if err != nil {
					k = kept{version: versionOf(answer[i])} // another program's; what it left elsewhere ends by itself
				}
				p.drops(k)
			}
			if p.late {
				return store.ErrNewer
			}
		default:
			return fmt.Errorf("put.lua answers %v", c[0].cmd.Val())
		}
	}
	return errors.New("the key changes faster than it can be written")
}

// stillborn is what becomes of an entry that has ended before it came: it takes
// the place of what was there, and is never shown.
func (p *put) stillborn(ctx context.Context) error {
	if len(p.going) == 0 {
		return nil
	}
	if err := p.s.remember(ctx, p.inc, p.going); err != nil {
		return err
	}
	_, err := p.s.remove(ctx, p.inc, []removal{{at: p.at, going: p.going}})
	return err
}

// fallen remembers that what was to be stored fell, for those that come to
// depend on it after it was looked whether anyone does. Of such a one and this
// Put, the second sees the other. Where that cannot be told the fall has to be
// passed on, to be sure.
func (p *put) fallen(ctx context.Context, refused *store.PurgedError) {
	if refused.Cascade {
		return // its URL is to fall as well, and that stays known
	}
	at := map[id]store.Seq{p.at.url: refused.Seq}
	if err := p.s.rememberFallen(ctx, p.inc, at); err != nil {
		refused.Cascade = true
		return
	}
	was := p.wanted != 0
	if was || p.look(ctx) == nil && p.wanted == 0 {
		return
	}
	var again *store.PurgedError
	if errors.As(p.s.refusal(p.e, p.up, true, fences.Reader.Admit), &again) {
		refused.Cascade = again.Cascade
	}
}

// A ruling is fences.Reader's Admit or Refusal.
type ruling func(fences.Reader, *store.Entry, *fences.Verdict, func() bool) error

// refusal is the ErrPurged that says returns for e, nil for none. depended is
// whether somebody depends on its URL.
func (s *Store) refusal(e *store.Entry, up *upstream, depended bool, says ruling) error {
	v := fences.Verdict{Ticket: e.Ticket}
	r := s.book.Read()
	defer r.Done()
	r.Entry(e, &v)
	up.judge(r, &v)
	return says(r, e, &v, func() bool { return depended })
}

// Check implements store.Store. What an entry was made of is known to Redis
// only, which Check does not ask: an entry that was made of others, and is older
// than the last purge, whichever that was, is refused. That costs whoever would
// have shared it a fetch.
func (s *Store) Check(e *store.Entry) error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	if err := s.refusal(e, nil, false, fences.Reader.Refusal); err != nil {
		return err
	}
	if seq := s.heard(); e.Ticket < seq {
		for n := range e.Deps.All() {
			if url, ok := n.URL(); ok && url != e.Key.URL() {
				return &store.PurgedError{Name: n, Seq: seq}
			}
		}
	}
	return nil
}
