package warm

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"surrogate/store"
)

// A Hot is a key and how hot it is, in requests a minute.
type Hot struct {
	Key   store.Key
	Heat  float64
	Picks []HotPick // those that visitors asked for, the hottest first
}

// A HotPick is one pick of a hot key.
type HotPick struct {
	Vary string
	Pick store.Pick
	Heat float64
}

// Of is how hot a key is, in requests a minute; 0 if it is not known.
func (h *Heat) Of(key store.Key, at time.Time) float64 {
	if pg := h.page(key); pg != nil {
		return float64(h.countAll(pg, h.tickOf(at)) * h.scale)
	}
	return 0
}

func (h *Heat) page(key store.Key) *page {
	_, b, tag := h.place(key)
	return b.find(key, tag)
}

// Look returns how hot a key is and with which picks; ok is false if it is not
// known.
func (h *Heat) Look(key store.Key, at time.Time) (hot Hot, ok bool) {
	pg := h.page(key)
	if pg == nil {
		return Hot{}, false
	}
	return h.hot(pg, h.tickOf(at)), true
}

func (h *Heat) hot(pg *page, now uint32) Hot {
	out := Hot{Key: pg.key}
	for _, x := range *pg.picks.Load() {
		p := HotPick{x.vary, x.pick, float64(h.count(x, now) * h.scale)}
		out.Heat += p.Heat
		out.Picks = append(out.Picks, p)
	}
	slices.SortFunc(out.Picks, func(a, b HotPick) int { return cmp.Compare(b.Heat, a.Heat) })
	return out
}

// Hottest returns the n hottest of keys, the hottest first. What is not known
// is left out.
func (h *Heat) Hottest(keys iter.Seq[store.Key], n int, at time.Time) []Hot {
	return h.best(func(yield func(*page) bool) {
		for k := range keys {
			if pg := h.page(k); pg != nil && !yield(pg) {
				return
			}
		}
	}, n, h.tickOf(at))
}

// Top returns the n hottest of all, the hottest first. It looks at every key.
func (h *Heat) Top(n int, at time.Time) []Hot { return h.best(h.pages, n, h.tickOf(at)) }

func (h *Heat) pages(yield func(*page) bool) {
	for i := range h.shards {
		s := &h.shards[i]
		for j := range s.buckets {
			for k := range s.buckets[j].pages {
				if pg := s.buckets[j].pages[k].Load(); pg != nil && !yield(pg) {
					return
				}
			}
		}
	}
}

func (h *Heat) best(pages iter.Seq[*page], n int, now uint32) []Hot {
	if n <= 0 {
		return nil
	}
	var best coldestFirst[*page]
	for pg := range pages {
		best.add(pg, float64(h.countAll(pg, now)*h.scale), n)
	}
	out := make([]Hot, 0, len(best))
	for _, x := range best.sorted() {
		out = append(out, h.hot(x.of, now))
	}
	return out
}

// Held is how many keys are known and the memory they take, in bytes.
func (h *Heat) Held() (keys int, bytes int64) {
	for i := range h.shards {
		s := &h.shards[i]
		s.mu.Lock()
		keys, bytes = keys+s.keys, bytes+s.bytes
		s.mu.Unlock()
	}
	return keys, bytes
}

// A coldestFirst is a heap of the hottest of many.
type coldestFirst[T any] []heated[T]

type heated[T any] struct {
	of   T
	heat float64
}

// add adds x if it is among the n hottest, and returns what had to go for it, if
// anything: x itself where it is not.
func (c *coldestFirst[T]) add(x T, heat float64, n int) (out T, gone bool) {
	q := *c
	if len(q) < n {
		q = append(q, heated[T]{x, heat})
		for i := len(q) - 1; i > 0 && q[i].heat < q[(i-1)/2].heat; i = (i - 1) / 2 {
			q[i], q[(i-1)/2] = q[(i-1)/2], q[i]
		}
		*c = q
		return out, false
	}
	if n <= 0 || heat <= q[0].heat {
		return x, true
	}
	out, q[0] = q[0].of, heated[T]{x, heat}
	for i := 0; ; {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(q); child++ {
			if q[child].heat < q[least].heat {
				least = child
			}
		}
		if least == i {
			return out, true
		}
		q[i], q[least] = q[least], q[i]
		i = least
	}
}

// sorted is what it holds, the hottest first. The heap is none afterwards.
func (c coldestFirst[T]) sorted() []heated[T] {
	slices.SortFunc(c, func(a, b heated[T]) int { return cmp.Compare(b.heat, a.heat) })
	return c
}
