package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
)

// eventsPage is how many purges come in one answer.
const eventsPage = 32

// event makes an event of an entry of the log.
func (s *Store) event(ctx context.Context, m redis.XMessage) (store.Event, error) {
	id, _, _ := strings.Cut(m.ID, "-")
	field := func(name string) string {
		v, _ := m.Values[name].(string)
		return v
	}
	var p logged
	if err := json.Unmarshal([]byte(field("p")), &p); err != nil {
		return store.Event{}, fmt.Errorf("redisstore: purge %s in the log: %w", m.ID, err)
	}
	ev := store.Event{
		Purge: store.Purge{Names: p.Names, Asked: p.Asked, Soft: p.Soft, ID: p.ID, By: p.By, Why: p.Why, Rewarm: p.Rewarm},
		Seq:   seqOf(id),
		At:    micros(field("at")),
	}
	if token := field("names"); token != "" {
		var err error
		if ev.Names, err = s.names(ctx, token); err != nil {
			return store.Event{}, err
		}
		if n, _ := strconv.Atoi(field("n")); n != len(ev.Names) || n == 0 {
			return store.Event{}, fmt.Errorf("redisstore: purge %s has lost its names: %w", m.ID, store.ErrGap)
		}
		ev.Names = ev.Names[:len(ev.Names)-1] // the last is CatchAllName: see distinct
	}
	return ev, nil
}

// Events implements store.Store. What this node heard lately costs nothing; what
// was before is read from Redis, in pages. While Redis does not answer it waits.
func (s *Store) Events(ctx context.Context, after store.Seq) iter.Seq2[store.Event, error] {
	return func(yield func(store.Event, error) bool) {
		var inc *incarnation
		for next := after + 1; ; {
			news := s.follower.changes()
			now := s.inc.Load()
			if err := s.usable(ctx); err != nil {
				if !errors.Is(err, ctx.Err()) {
					yield(store.Event{}, err)
				}
				return
			}
			if inc == nil {
				inc = now
			}
			switch {
			case now != inc, now != nil && next <= now.base:
				yield(store.Event{}, store.ErrGap)
				return
			case now == nil, next > s.heard():
				s.rest(ctx, news, 0)
				continue
			}
			evs, err := s.past(ctx, next)
			switch {
			case errors.Is(err, store.ErrGap):
				yield(store.Event{}, err)
				return
			case err != nil:
				s.rest(ctx, nil, 100*time.Millisecond)
				continue
			}
			for _, ev := range evs {
				if !yield(ev, nil) {
					return
				}
				next = ev.Seq + 1
			}
		}
	}
}

// rest waits for news, or a while, or the end of ctx or the Store.
func (s *Store) rest(ctx context.Context, news <-chan struct{}, d time.Duration) {
	var timer <-chan time.Time
	if d > 0 {
		timer = time.After(d)
	}
	select {
	case <-news:
	case <-timer:
	case <-ctx.Done():
	case <-s.done:
	}
}

// past returns purges that this node has heard, beginning with that at seq.
func (s *Store) past(ctx context.Context, seq store.Seq) ([]store.Event, error) {
	// The log is no longer here than it is in Redis.
	if ev, ok := s.follower.lately(seq); ok && seq+store.Seq(s.opt.Purges) > s.heard() {
		return []store.Event{ev}, nil
	}
	var page []redis.XMessage
	err := s.try(ctx, "events", patience, false, func(ctx context.Context) (err error) {
		page, err = s.ctl.XRangeN(ctx, s.logKey(), s.seqArg(seq)+"-0", "+", eventsPage).Result()
		return err
	})
	if err != nil {
		return nil, err
	}
	var evs []store.Event
	for _, m := range page {
		ev, err := s.event(ctx, m)
		switch {
		case errors.Is(err, store.ErrGap) && len(evs) > 0:
			return evs, nil
		case err != nil:
			return nil, err
		case ev.Seq != seq+store.Seq(len(evs)):
			return nil, store.ErrGap
		case ev.Seq > s.heard():
			return evs, nil
		}
		evs = append(evs, ev)
	}
	if len(evs) == 0 {
		return nil, store.ErrGap // trimmed since
	}
	return evs, nil
}
