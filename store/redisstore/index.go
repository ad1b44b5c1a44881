package redisstore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
)

// The index is a sorted set for each name, of the versions that carry it. What
// everything carries, and what a whole host does, is spread over buckets by the
// URL, so that no set grows with the store. A URL has no set of its own but for
// those who declare it as a dep: what is stored for it is where it is stored.
//
// Sets end with their last member and may be evicted. A version whose members
// are gone is not swept, counted or listed any more. It falls all the same.

// A member is a version and its place: 16 bytes of URL, the scheme, 32 bytes of
// version. In their order, which is that of every set, the versions of one key
// and those of one pick lie together, and a version that takes another's place
// takes it here too: a walk meets what stays exactly once.
type member struct {
	place
	version
}

const (
	placeLen    = 17
	identityLen = placeLen + 8 // place and pick
	memberLen   = placeLen + versionLen
)

func (m *member) append(b []byte) []byte {
	b = append(b, m.url[:]...)
	b = append(b, m.scheme)
	return m.version.append(b)
}

func memberOf(s string) (m member, ok bool) {
	if len(s) != memberLen {
		return member{}, false
	}
	copy(m.url[:], s)
	m.scheme = s[16]
	m.version = versionOf(s[placeLen:])
	return m, true
}

// buckets is how many sets AllName and a host have.
const buckets = 64

func bucketOf(url id) int { return int(url[0]) % buckets }

// bucketed reports whether a name's members are spread.
func bucketed(n store.Name) bool {
	_, isHost := n.Host()
	return isHost || n == store.AllName
}

func (i *incarnation) bucket(n store.Name, b int) string {
	return i.key("h", fmt.Sprintf("%s.%d", idOf(string(n)), b))
}

// set is the set of a name that a URL's versions are in.
func (i *incarnation) set(n store.Name, url id) string {
	if bucketed(n) {
		return i.bucket(n, bucketOf(url))
	}
	return i.key("t", idOf(string(n)).String())
}

// sets are all the sets of a name.
func (i *incarnation) sets(n store.Name) []string {
	if !bucketed(n) {
		return []string{i.set(n, id{})}
	}
	keys := make([]string, buckets)
	for b := range keys {
		keys[b] = i.bucket(n, b)
	}
	return keys
}

// indexed yields the names that e is indexed under.
func indexed(e *store.Entry) func(yield func(store.Name) bool) {
	return func(yield func(store.Name) bool) {
		if !yield(store.AllName) || !yield(store.HostName(e.Key.Host())) {
			return
		}
		seen := make(map[store.Name]bool)
		for n := range explicit(e) {
			if !seen[n] {
				seen[n] = true
				if !yield(n) {
					return
				}
			}
		}
	}
}

// enter puts a version into the index.
func (s *Store) enter(ctx context.Context, inc *incarnation, at place, e *store.Entry, v *version, now time.Time) error {
	m := member{place: at, version: *v}
	text := m.append(nil)
	var calls []call
	for n := range indexed(e) {
		calls = append(calls, call{
			script: enterScript,
			keys:   []string{inc.set(n, at.url)},
			args:   []any{now.UnixMilli(), text, v.ends},
		})
	}
	return s.guardWrite(ctx, "index", func(ctx context.Context) error { return s.eval(ctx, calls) })
}

// forget takes versions that are not stored any more out of the index, and frees
// their bodies.
func (s *Store) forget(ctx context.Context, inc *incarnation, at place, gone []kept) error {
	var calls []call
	bodies := false
	for i := range gone {
		k := &gone[i]
		calls = append(calls, leaves(inc, at, k)...)
		bodies = bodies || k.chunked
	}
	if len(calls) == 0 {
		return nil
	}
	err := s.guardPatient(ctx, "index", func(ctx context.Context) error { return s.eval(ctx, calls) })
	if !bodies {
		return err
	}
	err2 := s.guardPatient(ctx, "body", func(ctx context.Context) error {
		return s.pipe(ctx, func(p redis.Pipeliner) {
			for i := range gone {
				if k := &gone[i]; k.chunked {
					dropBody(ctx, p, inc, at.url, &k.version, k.body)
				}
			}
		})
	})
	if err == nil {
		err = err2
	}
	return err
}

// leaves are the calls that take one version out of the index.
func leaves(inc *incarnation, at place, k *kept) []call {
	if k.Key == "" {
		return nil
	}
	m := member{place: at, version: k.version}
	text := m.append(nil)
	var calls []call
	for n := range indexed(&k.Entry) {
		calls = append(calls, call{script: leaveScript, keys: []string{inc.set(n, at.url)}, args: []any{text}})
	}
	return calls
}

// A walk goes over the places of what carries a name, or may, in the order of
// sets and places.
type walk struct {
	s     *Store
	sets  []string
	at    int    // the set
	after string // the last member of it that was met
	size  int
}

// walked are the sets in which everything is that falls with a name, but for what
// is stored for a URL itself. Of a prefix, much else is in them.
func (i *incarnation) walked(n store.Name) []string {
	if p, ok := n.Prefix(); ok {
		if host, _, whole := strings.Cut(p, "/"); whole {
			return i.sets(store.HostName(host))
		}
		return i.sets(store.AllName)
	}
	return i.sets(n)
}

// met is a member that a walk has met, and the set that has it.
type met struct {
	member
	set  int
	text string
}

// next returns the next members; none after the last. Some sets are asked at
// once, for most may be empty.
func (w *walk) next(ctx context.Context) ([]met, error) {
	const ahead = 32
	for w.at < len(w.sets) {
		from := w.at
		sets := w.sets[from:min(from+ahead, len(w.sets))]
		pages := make([]*redis.StringSliceCmd, len(sets))
		err := w.s.guardPatient(ctx, "walk", func(ctx context.Context) error {
			return w.s.pipe(ctx, func(p redis.Pipeliner) {
				for i, set := range sets {
					after := "("
					if i == 0 {
						after += w.after
					}
					pages[i] = p.ZRangeByLex(ctx, set, &redis.ZRangeBy{Min: after, Max: "+", Count: int64(w.size)})
				}
			})
		})
		if err != nil {
			return nil, err
		}
		var out []met
		for i, page := range pages {
			texts := page.Val()
			for _, t := range texts {
				if m, ok := memberOf(t); ok {
					out = append(out, met{m, from + i, t})
				}
			}
			if len(texts) == w.size {
				w.at, w.after = from+i, texts[len(texts)-1]
				return out, nil
			}
			w.at, w.after = from+i+1, ""
			if len(out) >= w.size {
				return out, nil
			}
		}
		if len(out) > 0 {
			return out, nil
		}
	}
	return nil, nil
}
