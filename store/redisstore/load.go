package redisstore

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
	"surrogate/store/fences"
)

// loadPage is how many fences come in one answer.
const loadPage = 1000

// join finds out the current incarnation, or begins one, and loads its fences.
// The error is ErrEvicts, or one that may pass.
func (s *Store) join(ctx context.Context) error {
	known, heard := s.follower.knew, s.heard() // nobody else joins
	id := strconv.FormatUint(rand.Uint64(), 36)
	keys := []string{s.stateKey(), s.logKey(), s.fencesKey(), s.softKey(), s.clockKey(), s.bigKey(), s.nodesKey()}
	out, err := s.run(ctx, "join", beginScript, keys, known, s.seqArg(heard), id)
	if err != nil {
		return err
	}
	if policy := text(out, 7); strings.HasPrefix(policy, "allkeys") {
		return fmt.Errorf("%w: maxmemory-policy is %s; noeviction and volatile-* are fine, because fences have no TTL", ErrEvicts, policy)
	}
	inc := s.incarnation(text(out, 0), seqOf(text(out, 1)))
	for i := 8; i < len(out); i++ {
		_ = s.ctl.Unlink(ctx, s.namesKey(bigOf(text(out, i), 0).token)).Err() // else it is garbage for good, and no more
	}
	if known == inc.id && s.follower.whole.Load() {
		return nil // the log tells what was missed, or shows a gap
	}
	snap := fences.Snapshot{
		Seq: seqOf(text(out, 2)), Born: inc.base,
		Floor: seqOf(text(out, 3)), Aged: seqOf(text(out, 4)),
	}
	l := loader{s: s, inc: inc, moved: text(out, 5), by: make(map[store.Name]*fences.Standing)}
	if err := l.load(ctx); err != nil {
		return err
	}
	s.follower.mu.Lock()
	defer s.follower.mu.Unlock()
	// The Book first: whoever took the old incarnation is refused by the Book of
	// the new one.
	s.book.Replace(snap, slices.Values(l.sorted()))
	s.inc.Store(inc)
	s.follower.knew = inc.id
	if known != inc.id {
		s.lease.end() // it was the other's
	}
	s.follower.whole.Store(true)
	s.follower.forget()
	s.follower.wake()
	if known != inc.id {
		s.log.Info("redisstore: joined", "node", s.opt.Node, "incarnation", inc.id, "before", known, "seq", uint64(snap.Seq), "fences", s.book.Len())
	}
	return nil
}

// A loader gathers the fences while purges go on. Whatever it meets of purges
// that come after it began, the log tells again: a fence is complete up to its
// last fall when it is read.
type loader struct {
	s     *Store
	inc   *incarnation
	moved string
	clock []redis.Z // a purge a minute, by number, with its time
	by    map[store.Name]*fences.Standing
}

func (l *loader) load(ctx context.Context) error {
	if err := l.loadClock(ctx); err != nil {
		return err
	}
	if err := l.loadBig(ctx); err != nil {
		return err
	}
	return l.loadFences(ctx)
}

func (l *loader) loadClock(ctx context.Context) error {
	return l.pages(ctx, l.s.clockKey(), func(z redis.Z) error {
		l.clock = append(l.clock, z)
		return nil
	})
}

// pages yields a small sorted set. What moves meanwhile comes last, so nothing
// that stays is missed.
func (l *loader) pages(ctx context.Context, key string, yield func(redis.Z) error) error {
	for from := int64(0); ; from += loadPage {
		var page []redis.Z
		err := l.s.try(ctx, "load", patience, false, func(ctx context.Context) (err error) {
			page, err = l.s.ctl.ZRangeWithScores(ctx, key, from, from+loadPage-1).Result()
			return err
		})
		if err != nil {
			return err
		}
		for _, z := range page {
			if err := yield(z); err != nil {
				return err
			}
		}
		if len(page) < loadPage {
			return nil
		}
	}
}

// loadBig reads the purges whose names may not all be fences yet.
func (l *loader) loadBig(ctx context.Context) error {
	return l.pages(ctx, l.s.bigKey(), func(z redis.Z) error {
		b := bigOf(fmt.Sprint(z.Member), z.Score)
		names, err := l.s.names(ctx, b.token)
		if err != nil {
			return err
		}
		for _, n := range names {
			l.fell(n, b.seq, b.at, b.soft)
		}
		return nil
	})
}

// fell adds a fall, which may come after later ones.
func (l *loader) fell(n store.Name, seq store.Seq, at time.Time, soft bool) {
	st := l.by[n]
	if st == nil {
		st = &fences.Standing{Name: n}
		l.by[n] = st
	}
	if seq > st.Last {
		st.Last, st.At = seq, at
	}
	if !soft {
		st.Hard = max(st.Hard, seq)
		st.Soft = slices.DeleteFunc(st.Soft, func(f fences.Fall) bool { return f.Seq <= st.Hard })
		return
	}
	if seq <= st.Hard {
		return
	}
	i, found := slices.BinarySearchFunc(st.Soft, seq, func(f fences.Fall, seq store.Seq) int { return cmp.Compare(f.Seq, seq) })
	if !found {
		st.Soft = slices.Insert(st.Soft, i, fences.Fall{Seq: seq, At: at})
	}
}

// loadFences reads the fences by rank, oldest first. A fence that falls again
// moves to the end, and those behind it move up by one. So between two pages
// the first that is unread may have moved up by as many as load.lua has counted in
// between, and a page counts only if it begins early enough for that.
func (l *loader) loadFences(ctx context.Context) error {
	moved, _ := strconv.ParseInt(l.moved, 10, 64)
	keys := []string{l.s.stateKey(), l.s.fencesKey(), l.s.softKey()}
	unread, overlap := int64(0), int64(0)
	for {
		from := max(unread-overlap, 0)
		out, err := l.s.run(ctx, "load", loadScript, keys, l.inc.id, from, loadPage)
		if err != nil {
			return err
		}
		for i := 1; i+2 < len(out); i += 3 {
			l.stood(store.Name(text(out, i)), seqOf(text(out, i+1)), text(out, i+2))
		}
		n := int64(len(out)-1) / 3
		now, _ := strconv.ParseInt(text(out, 0), 10, 64)
		up := now - moved
		unread, moved = max(unread-up, 0), now
		if from <= unread {
			if n < loadPage {
				return nil
			}
			unread = from + n
		}
		overlap = min(2*up, loadPage/2)
	}
}

// stood adds a fence as it was kept.
func (l *loader) stood(n store.Name, last store.Seq, soft string) {
	if soft == "" {
		l.fell(n, last, l.timeOf(last), false)
		return
	}
	f := strings.Fields(soft)
	if hard := seqOf(f[0]); hard > 0 {
		l.fell(n, hard, l.timeOf(hard), false)
	}
	for i := 1; i+1 < len(f); i += 2 {
		l.fell(n, seqOf(f[i]), micros(f[i+1]), true)
	}
}

// timeOf is a time at which the purge had happened, no more than about a minute
// after it, or the present.
func (l *loader) timeOf(seq store.Seq) time.Time {
	i := sort.Search(len(l.clock), func(i int) bool { return seqOf(fmt.Sprint(l.clock[i].Member)) >= seq })
	if i == len(l.clock) {
		return time.Now()
	}
	return time.UnixMicro(int64(l.clock[i].Score))
}

func (l *loader) sorted() []fences.Standing {
	out := make([]fences.Standing, 0, len(l.by))
	for st := range maps.Values(l.by) {
		out = append(out, *st)
	}
	slices.SortFunc(out, func(a, b fences.Standing) int { return cmp.Compare(a.Last, b.Last) })
	return out
}
