package redisstore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
)

// listsLive is how long the list of a large purge stays for those who follow
// the log from afar, after fences were made of it.
const listsLive = 10 * time.Minute

// A big is a purge whose names are in a list.
type big struct {
	member string
	token  string
	seq    store.Seq
	at     time.Time
	soft   bool
}

// bigOf takes a member of the big set apart: token, time, soft.
func bigOf(member string, score float64) big {
	token, rest, _ := strings.Cut(member, " ")
	at, soft, _ := strings.Cut(rest, " ")
	return big{member: member, token: token, seq: store.Seq(score), at: micros(at), soft: soft == "1"}
}

// keep does the control plane's periodic work. Every node does it: each step is
// small, and doing it twice does no harm.
func (s *Store) keep(ctx context.Context) {
	every := min(10*time.Second, max(s.opt.MaxLife/10, 100*time.Millisecond))
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.follower.big:
		case <-tick.C:
		}
		s.book.Trim(time.Now())
		inc := s.inc.Load()
		if inc == nil || s.reach.open.Load() {
			continue
		}
		// What fails now is done next time.
		_ = s.settle(ctx, inc)
		_ = s.trim(ctx, inc)
	}
}

func (s *Store) trim(ctx context.Context, inc *incarnation) error {
	for ctx.Err() == nil {
		out, err := s.run(ctx, "trim", trimScript,
			[]string{s.stateKey(), s.fencesKey(), s.softKey(), s.clockKey(), s.nodesKey()},
			inc.id, s.opt.MaxLife.Microseconds(), s.opt.MaxFences, stageBatch)
		if err != nil || text(out, 0) != "1" {
			return err
		}
	}
	return nil
}

// settle makes fences of the names of large purges, in batches.
func (s *Store) settle(ctx context.Context, inc *incarnation) error {
	var bigs []big
	l := loader{s: s}
	if err := l.pages(ctx, s.bigKey(), func(z redis.Z) error {
		bigs = append(bigs, bigOf(fmt.Sprint(z.Member), z.Score))
		return nil
	}); err != nil {
		return err
	}
	for _, b := range bigs {
		for left := ""; left != "0"; {
			out, err := s.run(ctx, "settle", settleScript,
				[]string{s.stateKey(), s.fencesKey(), s.softKey(), s.bigKey(), s.namesKey(b.token)},
				inc.id, b.member, b.at.UnixMicro(), flag(b.soft), stageBatch)
			if err != nil {
				return err
			}
			left = text(out, 0)
		}
		if time.Since(b.at) < listsLive {
			continue
		}
		if err := s.try(ctx, "forget a list", patience, false, func(ctx context.Context) error {
			_, err := s.ctl.Pipelined(ctx, func(p redis.Pipeliner) error {
				p.ZRem(ctx, s.bigKey(), b.member)
				p.HDel(ctx, s.stateKey(), "settled "+b.member)
				p.Unlink(ctx, s.namesKey(b.token))
				return nil
			})
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}
