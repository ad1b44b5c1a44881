package warm

import (
	"cmp"
	"slices"
	"time"

	"surrogate/store"
)

// A SiteWait is why no page of a site is fetched now for warming.
type SiteWait struct {
	For  string `json:"for"`             // a Verdict's word
	Next int64  `json:"next_s,omitzero"` // in how many seconds it is tried again; 0 where that is not known, or under way
}

// Waits tells of each site that this node fetches nothing of now, why. One that
// has as many fetches under way as it may have, or is at its rate, does not wait.
func (w *Warmer) Waits() map[string]SiteWait {
	now := time.Now()
	sites := w.limits()
	rank, nodes := w.share()
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make(map[string]SiteWait)
	for name, l := range sites {
		p := w.pace(name)
		v, in := p.Ask(now, l.share(rank, nodes), w.visiting(name))
		if p.tryIn > 0 && v != NoShare {
			v = Down // also in the moment before the next try
		}
		switch v {
		case Busy, Resting, Down, NoShare:
			out[name] = SiteWait{v.String(), int64((in + time.Second - 1) / time.Second)}
		}
	}
	return out
}

// AllWait makes one of what several nodes say: a site waits where it does on all
// of them, and for what is most in its way. What one tries again soonest counts.
func AllWait(nodes ...map[string]SiteWait) map[string]SiteWait {
	out := make(map[string]SiteWait)
	if len(nodes) == 0 {
		return out
	}
	for site, all := range nodes[0] {
		everywhere := true
		for _, n := range nodes[1:] {
			x, waits := n[site]
			everywhere = everywhere && waits
			switch a, b := graver(x.For), graver(all.For); {
			case a > b:
				all = x
			case a == b:
				all.Next = min(all.Next, x.Next)
			}
		}
		if everywhere {
			out[site] = all
		}
	}
	return out
}

// graver puts what is in the way in an order. That others have it all is nothing,
// beside what the others say.
func graver(word string) int {
	return slices.Index([]string{NoShare.String(), Resting.String(), Busy.String(), Down.String()}, word)
}

// A Wait is what keeps URLs of one site of a run.
type Wait struct {
	Site string `json:"site"`
	Left int    `json:"left"` // URLs of the run that are to come
	SiteWait
}

// mostWaits is how many sites of a run are told.
const mostWaits = 20

// waitsOf is what keeps what is left of a run, most of it first.
func waitsOf(p *store.Progress, sites map[string]SiteWait) (out []Wait) {
	for site, left := range p.Left {
		if w, waits := sites[site]; waits && left > 0 {
			out = append(out, Wait{site, left, w})
		}
	}
	slices.SortFunc(out, func(a, b Wait) int { return cmp.Or(cmp.Compare(b.Left, a.Left), cmp.Compare(a.Site, b.Site)) })
	return out[:min(len(out), mostWaits)]
}
