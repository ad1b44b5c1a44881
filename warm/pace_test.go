package warm_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"surrogate/warm"
)

// A paced is a Pace at work on an origin that is imagined, in imagined time.
type paced struct {
	*testing.T
	*warm.Pace
	now      time.Time
	limits   warm.Limits
	visiting int
	ends     []ending // under way, the first to be over first
	cost     func(under int) (time.Duration, bool)
	begun    int
	peak     int
	failed   int
}

type ending struct {
	at  time.Time
	end warm.End
}

func newPaced(t *testing.T, cost func(under int) (time.Duration, bool)) *paced {
	return &paced{T: t, Pace: warm.NewPace(), now: time.Unix(1e9, 0), limits: warm.Limits{Concurrency: 8, Busy: 64}, cost: cost}
}

// run lets it fetch as fast as it may for so long.
func (p *paced) run(d time.Duration) {
	until := p.now.Add(d)
	for {
		v, wait := p.Ask(p.now, p.limits, p.visiting)
		for v == warm.Go {
			p.Begin(p.now, p.limits)
			p.begun++
			took, failed := p.cost(len(p.ends) + 1 + p.visiting)
			p.ends = append(p.ends, ending{p.now.Add(took), warm.End{Asked: true, Failed: failed, Took: took}})
			slices.SortStableFunc(p.ends, func(a, b ending) int { return a.at.Compare(b.at) })
			p.peak = max(p.peak, len(p.ends))
			v, wait = p.Ask(p.now, p.limits, p.visiting)
		}
		next := until
		if wait > 0 {
			next = p.now.Add(wait)
		}
		if len(p.ends) > 0 && p.ends[0].at.Before(next) {
			next = p.ends[0].at
		}
		if !next.Before(until) {
			p.now = until
			return
		}
		p.now = next
		for len(p.ends) > 0 && !p.ends[0].at.After(p.now) {
			if p.ends[0].end.Failed {
				p.failed++
			}
			p.End(p.now, p.limits, p.ends[0].end)
			p.ends = p.ends[1:]
		}
	}
}

func (p *paced) between(what string, got, least, most int) {
	p.Helper()
	if got < least || got > most {
		p.Errorf("%s: %d, want %d to %d", what, got, least, most)
	}
}

func steady(d time.Duration) func(int) (time.Duration, bool) {
	return func(int) (time.Duration, bool) { return d, false }
}

func TestPaceRampsUpAndStaysBelow(t *testing.T) {
	p := newPaced(t, steady(200*time.Millisecond))
	p.run(100 * time.Millisecond)
	p.between("at first", p.begun, 1, 1)
	p.run(2 * time.Second)
	p.between("at once", p.peak, 6, 8)
	p.between("in two seconds", p.begun, 35, 80)
	p.run(10 * time.Second)
	p.between("at once", p.peak, 8, 8)
	p.between("in twelve seconds", p.begun, 430, 490)
}

// TestPaceLearnsFromPagesOnly: sitemaps and errors, which take next to nothing, do
// not make ordinary pages look slow afterwards. Fast pages may, for a while: the
// rest is found out to be ordinary when less does not make it faster.
func TestPaceLearnsFromPagesOnly(t *testing.T) {
	for _, c := range []struct {
		name  string
		other bool
		least int // fetches in the ten seconds after
	}{{"sitemaps", true, 170}, {"fast pages", false, 40}} {
		t.Run(c.name, func(t *testing.T) {
			p := newPaced(t, steady(300*time.Millisecond))
			for range 30 {
				p.Begin(p.now, p.limits)
				p.now = p.now.Add(time.Millisecond)
				p.End(p.now, p.limits, warm.End{Asked: true, Other: c.other, Took: time.Millisecond})
			}
			p.run(10 * time.Second)
			p.between("in ten seconds", p.begun, c.least, 270)
		})
	}
}

func TestPaceKeepsTheRate(t *testing.T) {
	for _, rate := range []float64{0.5, 3, 100} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			p := newPaced(t, steady(10*time.Millisecond))
			p.limits.Rate = rate
			p.run(100 * time.Second)
			p.between("in 100 s", p.begun, int(90*rate), int(100*rate)+11)
		})
	}
}

// TestPaceFindsWhatTheOriginBears: it answers slower the more it is asked beyond
// three at once.
func TestPaceFindsWhatTheOriginBears(t *testing.T) {
	p := newPaced(t, func(under int) (time.Duration, bool) {
		return 100 * time.Millisecond * time.Duration(max(under, 3)) / 3, false
	})
	p.run(5 * time.Second)
	before := p.begun
	p.peak = 0
	p.run(60 * time.Second)
	p.between("at once", p.peak, 3, 5)
	p.between("in a minute", p.begun-before, 900, 1900) // of 1800 that it can bear
}

// TestPaceBearsScatter: pages differ, and that alone is no reason to be slow.
func TestPaceBearsScatter(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	p := newPaced(t, func(int) (time.Duration, bool) {
		return time.Duration(50+r.IntN(300)) * time.Millisecond, false
	})
	p.run(time.Minute)
	p.between("in a minute", p.begun, 1500, 2500) // of 2400
}

// TestPaceYieldsToVisitors: their fetches take longer while there is warming.
func TestPaceYieldsToVisitors(t *testing.T) {
	p := newPaced(t, steady(100*time.Millisecond))
	for range 50 {
		p.Visitor(p.now, 200*time.Millisecond, false)
	}
	p.run(2 * time.Second)
	for range 20 {
		p.Visitor(p.now, 300*time.Millisecond, false)
		p.now = p.now.Add(300 * time.Millisecond)
		p.run(0)
	}
	before := p.begun
	for range 100 { // still slow
		p.Visitor(p.now, 300*time.Millisecond, false)
		p.run(100 * time.Millisecond)
	}
	p.between("in ten seconds", p.begun-before, 1, 40) // of 800
	for range 50 {
		p.Visitor(p.now, 200*time.Millisecond, false)
	}
	before = p.begun
	p.run(10 * time.Second)
	p.between("in ten seconds without visitors", p.begun-before, 400, 800)
}

func TestPaceWaitsWhileManyVisitorsFetch(t *testing.T) {
	p := newPaced(t, steady(100*time.Millisecond))
	p.limits.Busy = 10
	p.visiting = 10
	p.run(time.Second)
	p.between("begun", p.begun, 0, 0)
	if v, _ := p.Ask(p.now, p.limits, p.visiting); v != warm.Busy {
		t.Errorf("it says %v", v)
	}
	p.visiting = 7
	p.run(2 * time.Second)
	p.between("at once", p.peak, 3, 3)
}

func TestPacePausesWhileDown(t *testing.T) {
	down := true
	p := newPaced(t, func(int) (time.Duration, bool) { return 50 * time.Millisecond, down })
	p.run(10 * time.Minute)
	p.between("tries in ten minutes", p.begun, 15, 40)
	p.between("at once", p.peak, 1, 1)
	if v, wait := p.Ask(p.now, p.limits, 0); v != warm.Down || wait > 30*time.Second {
		t.Errorf("it says %v, %v", v, wait)
	}
	down = false
	p.Visitor(p.now, 50*time.Millisecond, false) // a visitor finds it up again
	p.begun = 0
	p.run(5 * time.Second)
	p.between("in five seconds", p.begun, 500, 800)
	// Now and then a page fails, and that is no reason to stop.
	n := 0
	p.cost = func(int) (time.Duration, bool) { n++; return 50 * time.Millisecond, n%10 == 0 }
	p.begun = 0
	p.run(10 * time.Second)
	p.between("of which a tenth fails", p.begun, 200, 1600)
}

func TestPaceLeavesAlone(t *testing.T) {
	p := newPaced(t, steady(50*time.Millisecond))
	p.run(time.Second)
	p.Begin(p.now, p.limits)
	p.End(p.now, p.limits, warm.End{Asked: true, Failed: true, After: time.Minute})
	p.begun = 0
	p.run(59 * time.Second)
	p.between("while asked to leave alone", p.begun, 0, 0)
	p.run(2 * time.Second)
	p.between("afterwards", p.begun, 1, 160)
}

func TestPaceForNothing(t *testing.T) {
	p := newPaced(t, nil)
	p.limits.Rate = 1
	for range 100 { // what is fresh costs the origin nothing
		if v, _ := p.Ask(p.now, p.limits, 0); v != warm.Go {
			t.Fatalf("it says %v", v)
		}
		p.Begin(p.now, p.limits)
		p.End(p.now, p.limits, warm.End{})
	}
}

func TestShares(t *testing.T) {
	for _, nodes := range []int{1, 2, 3, 5, 12} {
		sum, rate := 0, 0.
		for rank := range nodes {
			l := warm.Share(warm.Limits{Concurrency: 8, Rate: 30}, rank, nodes)
			sum += l.Concurrency
			rate += l.Rate
		}
		if sum != 8 || rate < 29.9 || rate > 30.1 {
			t.Errorf("%d nodes fetch %d at once, %g a second", nodes, sum, rate)
		}
	}
	p := newPaced(t, nil)
	p.limits = warm.Share(warm.Limits{Concurrency: 2}, 2, 3)
	if v, _ := p.Ask(p.now, p.limits, 0); v != warm.NoShare {
		t.Errorf("without a share it says %v", v)
	}
}

// TestPaceLeavesWhatWasTooMuch: an origin has eight workers, and whoever comes
// when all have something to do waits in line.
func TestPaceLeavesWhatWasTooMuch(t *testing.T) {
	inLine := 0
	p := newPaced(t, func(under int) (time.Duration, bool) {
		inLine += min(1, max(0, under-8))
		return 200 * time.Millisecond * time.Duration(max(under, 8)) / 8, false
	})
	p.limits.Concurrency = 32
	p.run(20 * time.Second)
	inLine = 0
	before := p.begun
	p.run(60 * time.Second)
	p.between("in a minute", p.begun-before, 1300, 2400) // of 2400 that it can do
	p.between("of those in line", inLine, 0, 700)
}

// TestPaceForgetsWhatWasNotItsDoing: visitors' fetches slow down, and fail, while
// nothing is warmed.
func TestPaceForgetsWhatWasNotItsDoing(t *testing.T) {
	p := newPaced(t, steady(200*time.Millisecond))
	for i := range 200 {
		took := 200 * time.Millisecond
		if i/20%2 == 1 {
			took *= 2
		}
		p.Visitor(p.now, took, i%50 == 49)
		p.now = p.now.Add(100 * time.Millisecond)
	}
	for range 20 {
		p.Visitor(p.now, 200*time.Millisecond, false)
	}
	p.run(2 * time.Second)
	p.between("in two seconds", p.begun, 35, 80)
	p.between("at once", p.peak, 6, 8)
}
