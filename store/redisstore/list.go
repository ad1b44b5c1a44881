package redisstore

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
)

// errCursor is what List was given that no List returned.
func errCursor(cursor string) error {
	return fmt.Errorf("redisstore: %q is not a cursor of a list", cursor)
}

// List implements store.Store. The cursor is a set of the index and the place
// and pick of the last entry; whatever comes and goes, what stays is met once.
// -1 stands for what is stored for a URL itself, which is in no set.
func (s *Store) List(ctx context.Context, n store.Name, cursor string, limit int) ([]store.Entry, string, error) {
	inc, err := s.ready(ctx)
	if err != nil {
		return nil, "", err
	}
	limit = max(limit, 1)
	l := lister{s: s, inc: inc, n: n, limit: limit}
	url, isURL := n.URL()
	set, after := 0, ""
	if isURL {
		set = -1
	}
	if cursor != "" {
		num, text, _ := strings.Cut(cursor, ".")
		b, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || len(b) != 0 && len(b) != identityLen {
			return nil, "", errCursor(cursor)
		}
		if set, err = strconv.Atoi(num); err != nil || set < -1 || set > buckets {
			return nil, "", errCursor(cursor)
		}
		after = string(b)
	}
	l.set, l.last = set, after
	more := false
	if set == -1 {
		if more, err = l.stored(ctx, idOf(url)); err == nil && !more {
			l.set, l.last = 0, ""
		}
	}
	if err == nil && !more {
		more, err = l.carried(ctx)
	}
	if err != nil {
		return nil, "", fmt.Errorf("redisstore: list %s: %w", n, err)
	}
	if !more {
		return l.page, "", nil
	}
	return l.page, l.cursor(), nil
}

func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("redisstore: %s: %w", op, err)
}

// A lister fills one page.
type lister struct {
	s     *Store
	inc   *incarnation
	n     store.Name
	limit int
	page  []store.Entry
	set   int
	last  string // the last identity that was looked at
}

func (l *lister) cursor() string {
	return strconv.Itoa(l.set) + "." + base64.RawURLEncoding.EncodeToString([]byte(l.last))
}

// stored lists what is stored for a URL. more says that the page is full.
func (l *lister) stored(ctx context.Context, url id) (more bool, err error) {
	at := []place{{url, schemes[0]}, {url, schemes[1]}}
	orders, err := l.s.orders(ctx, l.inc, at)
	if err != nil {
		return false, err
	}
	var ms []met
	for i, o := range orders {
		for _, v := range o {
			ms = append(ms, met{member: member{at[i], v}, set: -1})
		}
	}
	sortMembers(ms)
	return l.add(ctx, ms)
}

// carried lists what the index says carries the name.
func (l *lister) carried(ctx context.Context) (more bool, err error) {
	low := l.last
	if low != "" {
		low += strings.Repeat("\xff", memberLen-identityLen+1)
	}
	w := &walk{s: l.s, sets: l.inc.walked(l.n), at: l.set, after: low, size: min(l.limit+8, 128)}
	for {
		page, err := w.next(ctx)
		if err != nil || len(page) == 0 {
			return false, err
		}
		if more, err := l.add(ctx, page); err != nil || more {
			return more, err
		}
	}
}

// add appends the entries of some members, which are in order, to the page. It
// is full before an entry too many is looked at, so the cursor is that of the
// last that was.
func (l *lister) add(ctx context.Context, ms []met) (full bool, err error) {
	texts := make([]string, len(ms))
	cmds := make([]*redis.StringCmd, len(ms))
	err = l.s.guardPatient(ctx, "list", func(ctx context.Context) error {
		return l.s.pipe(ctx, func(p redis.Pipeliner) {
			for i := range ms {
				m := &ms[i]
				texts[i] = string(m.append(nil)[:identityLen])
				if i > 0 && texts[i] == texts[i-1] {
					continue // another version of the same: whichever stands comes once
				}
				cmds[i] = p.HGet(ctx, l.inc.entries(m.place), m.pick.field("m"))
			}
		})
	})
	if err != nil {
		return false, err
	}
	now := time.Now()
	for i := range ms {
		if cmds[i] == nil || l.last != "" && ms[i].set == l.set && texts[i] <= l.last {
			continue
		}
		if len(l.page) == l.limit {
			return true, nil
		}
		l.set, l.last = ms[i].set, texts[i]
		k, err := decode(cmds[i].Val())
		if err != nil || k.dead(now) || !carries(&k.Entry, l.n) || l.s.fellHard(&k.Entry) {
			continue
		}
		if _, isURL := l.n.URL(); isURL && ms[i].set >= 0 && store.URLName(k.Key) == l.n {
			continue // it came before
		}
		l.page = append(l.page, k.Entry)
	}
	return len(l.page) == l.limit, nil
}
