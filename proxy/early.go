package proxy

import (
	"math"
	"time"

	"surrogate/store"
)

// wantsEarly decides whether a request for a fresh entry refreshes it ahead of
// time: where the site wants that, for what is asked for often enough.
func (p *Proxy) wantsEarly(s *site, f *store.Found, now time.Time) bool {
	if s.Early <= 0 {
		return false
	}
	heat := 0.0
	if p.heat != nil {
		if freshUntil(f).Sub(now) > f.Entry.Life.TTL/2 {
			return false // whatever its heat
		}
		if heat = p.heat(f.Entry.Key); heat < s.EarlyHeat {
			return false
		}
	}
	return earlyRefresh(f, now, s.Early, heat, randFloat())
}

// earlyRefresh decides by the XFetch rule of Vattani, Chierichetti and
// Lowenstein: each request refreshes with a chance that grows as the end comes
// near, the earlier the longer a fetch takes. beta 0 never does. rnd is in [0, 1).
//
// The rule leaves it to the crowd that somebody comes in time, and lets the
// fetch itself end too late. So where heat is known, in requests a minute, the
// fetch is begun early enough to be over, and the fewer come the earlier: with a
// beta of 1 some request of the last three expected ones does it in 19 of 20
// cases, and nearly always where many come during one fetch. Nothing is refreshed
// in the first half of its life.
func earlyRefresh(f *store.Found, now time.Time, beta, heat, rnd float64) bool {
	if beta <= 0 || f.Entry.Cost <= 0 {
		return false
	}
	cost := float64(f.Entry.Cost)
	gap := cost * beta * -math.Log(1-rnd)
	if heat > 0 {
		gap = cost + beta*(cost+3*float64(time.Minute)/heat)*-math.Log(1-rnd)
		gap = min(gap, float64(f.Entry.Life.TTL)/2)
	}
	return float64(freshUntil(f).Sub(now)) <= gap
}
