package redisstore

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"surrogate/store"
	"surrogate/store/fences"
)

// data is the state of the data plane.
type data struct {
	varies varies
	budget edgeBudget

	refused, swept atomic.Uint64
}

func (d *data) init(*Store) {}

// ready says in which incarnation a call takes place.
func (s *Store) ready(ctx context.Context) (*incarnation, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	inc := s.inc.Load()
	if inc == nil {
		return nil, errNotReady
	}
	return inc, nil
}

// Get implements store.Store. A hit is one round trip where the node knows, or
// guesses, what the key's entries vary by; large bodies take one for each chunk
// more.
//
// What it returns is compared with the fences that this node has heard, after
// it was read. The ticket is taken before.
func (s *Store) Get(ctx context.Context, key store.Key, ask store.Fields) (store.Found, error) {
	inc, err := s.ready(ctx)
	if err != nil {
		return store.Found{}, err
	}
	f := store.Found{Ticket: s.heard()}
	at := placeOf(key)
	wants := true
	if w, ok := ask.(store.WantsBody); ok {
		wants = w.WantsBody()
	}
	// A body in chunks may be replaced while it is read. Then there is a newer one.
	for range 2 {
		k, body, err := s.look(ctx, inc, at, key, ask, wants, &f.Vary)
		if err != nil {
			return store.Found{}, fmt.Errorf("redisstore: get %s: %w", key, err)
		}
		if k == nil || !s.show(k, &f) {
			break
		}
		switch {
		case !wants:
			f.Bodyless = true
			if k.Parts == nil {
				k.Size = int64(k.body)
			}
		case k.chunked:
			if k.Body, err = s.readBody(ctx, inc, at.url, &k.version, k.body); err != nil {
				return store.Found{}, fmt.Errorf("redisstore: get %s: %w", key, err)
			}
			if k.Body == nil {
				f.Fell, f.Doubt = time.Time{}, false
				continue
			}
		case len(body) != k.body:
			return f, nil
		default:
			k.Body = unsafe.Slice(unsafe.StringData(body), len(body))
		}
		f.Hit, f.Entry = true, k.Entry
		return f, nil
	}
	f.Fell, f.Doubt = time.Time{}, false
	return f, nil
}

// look reads the entry that ask selects, nil for none. vary is what the key is
// known by.
func (s *Store) look(ctx context.Context, inc *incarnation, at place, key store.Key, ask store.Fields, wants bool, vary *string) (*kept, string, error) {
	name := inc.entries(at)
	guess := s.data.varies.get(at)
	// A key whose Vary changes as often as it is read is a miss.
	for range 4 {
		pick, alt := store.PickOf(guess, ask), store.AltPick(guess, ask)
		mine := pickIDOf(pick)
		fields := make([]string, 2, 4)
		fields[0], fields[1] = "v", mine.field("m")
		if wants {
			fields = append(fields, mine.field("b"))
		}
		if alt != "" {
			fields = append(fields, pickIDOf(alt).field("a"))
		}
		vals, err := s.fields(ctx, name, fields)
		if err != nil {
			return nil, "", err
		}
		known, ok := vals[0].(string)
		if !ok {
			if guess != "" {
				s.data.varies.set(at, "")
			}
			return nil, "", nil
		}
		if known != guess {
			guess = known
			s.data.varies.set(at, known)
			continue
		}
		*vary = known
		if k := read(vals[1], key, func(k *kept) bool { return k.Pick == pick }); k != nil {
			body, _ := vals[min(2, len(vals)-1)].(string)
			return k, body, nil
		}
		second, ok := vals[len(vals)-1].(string)
		if alt == "" || !ok || len(second) != len(pickID{}) {
			return nil, "", nil
		}
		fields = append(fields[:0], "v", "m"+second)
		if wants {
			fields = append(fields, "b"+second)
		}
		if vals, err = s.fields(ctx, name, fields); err != nil {
			return nil, "", err
		}
		k := read(vals[1], key, func(k *kept) bool { return k.Vary == guess && k.Alt == alt })
		if k == nil {
			return nil, "", nil
		}
		body, _ := vals[len(vals)-1].(string)
		return k, body, nil
	}
	return nil, "", nil
}

// fields reads fields of one hash.
func (s *Store) fields(ctx context.Context, name string, fields []string) ([]any, error) {
	var vals []any
	err := s.guardAt(ctx, "read", name, func(ctx context.Context) (err error) {
		vals, err = s.rdb.HMGet(ctx, name, fields...).Result()
		return err
	})
	return vals, err
}

// read decodes a meta. One that does not decode, such as one of another
// version's, is a miss.
func read(meta any, key store.Key, ok func(k *kept) bool) *kept {
	text, is := meta.(string)
	if !is {
		return nil
	}
	k, err := decode(text)
	if err != nil || k.Key != key || !ok(&k) {
		return nil
	}
	return &k
}

// show decides whether an entry may be shown, and fills in what f says about
// it.
func (s *Store) show(k *kept, f *store.Found) bool {
	if k.dead(time.Now()) {
		return false
	}
	// Asked before the fences are looked at: a node that is deaf may learn of a
	// fall and hear again a moment later. The other way round this would miss the
	// fall and have no doubt.
	hears := s.Hears()
	v := fences.Verdict{Ticket: k.Ticket}
	s.book.Judge(&k.Entry, &v)
	if v.Dead {
		return false
	}
	if v.Fell != 0 {
		f.Fell = time.Unix(0, v.Fell)
	}
	f.Doubt = k.Ticket < s.book.Floor() || !hears
	return true
}

// lookAll reads all entries at some places, without their bodies, in one round trip.
func (s *Store) lookAll(ctx context.Context, inc *incarnation, at []place) ([][]kept, error) {
	calls := make([]call, len(at))
	for i, p := range at {
		calls[i] = call{script: lookScript, keys: []string{inc.entries(p)}}
	}
	err := s.guardPatient(ctx, "look", func(ctx context.Context) error { return s.eval(ctx, calls) })
	if err != nil {
		return nil, err
	}
	out := make([][]kept, len(at))
	for i := range calls {
		for _, m := range calls[i].reply() {
			if text, ok := m.(string); ok {
				if k, err := decode(text); err == nil {
					out[i] = append(out[i], k)
				}
			}
		}
	}
	return out, nil
}
