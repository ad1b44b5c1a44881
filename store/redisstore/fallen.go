package redisstore

import (
	"context"
	"strconv"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
	"surrogate/store/fences"
)

// The tables of the fallen remember the URLs whose entries left after they had
// fallen, swept or replaced by what was fetched since, or were refused because
// they came too late. Y is fetched, K falls by a
// tag while nobody is known to depend on it, K is swept, Y arrives and declares
// that it is made of K. K's names are gone by then, but not that it fell.
//
// The tables are of fixed size and have no TTL. An entry with a dep on a URL
// that a full table does not have, and a ticket older than its oldest, is
// refused for nothing. That takes a fetch that outlasts a purge of very much,
// and its sweep. What Redis evicts leaves no trace here: if nobody depended on
// it and it declared no deps, it is as unknown as what was never stored.
//
// They are written before what fell is removed, and read after what is there was
// looked at. Of what is refused they are written before the last look whether
// somebody depends on it, and read after saying so.
const (
	fallenTables = 64
	fallenSize   = 256
)

func (i *incarnation) fallen(table int) string { return i.key("f", "f"+strconv.Itoa(table)) }

func fallenTable(url id) int { return int(url[1]) % fallenTables }

// recordFallen remembers what a purge is about to take.
func (s *Store) recordFallen(ctx context.Context, inc *incarnation, seq store.Seq, going []removal) error {
	at := make(map[id]store.Seq, len(going))
	for _, r := range going {
		at[r.at.url] = seq
	}
	return s.rememberFallen(ctx, inc, at)
}

// remember remembers the fallen among entries that are about to be replaced.
func (s *Store) remember(ctx context.Context, inc *incarnation, going []kept) error {
	at := make(map[id]store.Seq)
	for i := range going {
		k := &going[i]
		if k.Key == "" || k.Ticket >= s.heard() {
			continue
		}
		v := fences.Verdict{Ticket: k.Ticket}
		// A fence on the URL itself is on the dependents' deps as well.
		r := s.book.Read()
		r.Entry(&k.Entry, &v)
		unheard := v.Last > 0 && r.Unheard(k.Key.URL(), &v)
		r.Done()
		if unheard {
			u := idOf(k.Key.URL())
			at[u] = max(at[u], v.Last)
		}
	}
	return s.rememberFallen(ctx, inc, at)
}

func (s *Store) rememberFallen(ctx context.Context, inc *incarnation, at map[id]store.Seq) error {
	if len(at) == 0 {
		return nil
	}
	type row struct {
		table int
		seq   store.Seq
	}
	rows := make(map[row][]any)
	for url, seq := range at {
		r := row{fallenTable(url), seq}
		rows[r] = append(rows[r], string(url[:]))
	}
	calls := make([]call, 0, len(rows))
	tables := make([]string, 0, len(rows))
	for r, urls := range rows {
		calls = append(calls, call{
			script: fallenScript,
			keys:   []string{inc.fallen(r.table)},
			args:   append([]any{fallenSize, uint64(r.seq)}, urls...),
		})
		tables = append(tables, "f"+strconv.Itoa(r.table))
	}
	if err := s.registerKeys(ctx, inc, tables, 0); err != nil {
		return err
	}
	return s.guardPatient(ctx, "fallen", func(ctx context.Context) error { return s.eval(ctx, calls) })
}

// recall adds to what was found upstream when it fell, as far as it could
// matter to who has a ticket.
func (s *Store) recall(ctx context.Context, inc *incarnation, ticket store.Seq, up *upstream) error {
	if ticket >= s.heard() {
		return nil
	}
	type table struct {
		card  *redis.IntCmd
		first *redis.ZSliceCmd
	}
	for nodes := up.nodes; len(nodes) > 0; nodes = nodes[min(batch, len(nodes)):] {
		part := nodes[:min(batch, len(nodes))]
		fell := make([]*redis.FloatCmd, len(part))
		tables := make(map[int]table)
		err := s.guardPatient(ctx, "fallen", func(ctx context.Context) error {
			return s.pipe(ctx, func(p redis.Pipeliner) {
				for i, n := range part {
					t := fallenTable(n.id)
					key := inc.fallen(t)
					fell[i] = p.ZScore(ctx, key, string(n.id[:]))
					if _, ok := tables[t]; !ok {
						tables[t] = table{p.ZCard(ctx, key), p.ZRangeWithScores(ctx, key, 0, 0)}
					}
				}
			})
		})
		if err != nil {
			return err
		}
		for i, n := range part {
			n.fell = store.Seq(fell[i].Val())
			t := tables[fallenTable(n.id)]
			if zs := t.first.Val(); t.card.Val() >= fallenSize && len(zs) > 0 {
				n.fell = max(n.fell, store.Seq(zs[0].Score))
			}
		}
	}
	return nil
}
