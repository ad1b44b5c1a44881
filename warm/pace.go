package warm

import (
	"cmp"
	"math"
	"time"
)

// Limits bound what a site's origin is asked for warming. Zero values mean the
// default.
type Limits struct {
	Concurrency int           // fetches under way at once, over all nodes: 8
	Rate        float64       // fetches begun in a second, over all nodes; 0: no limit
	Busy        int           // warming waits while so many fetches are under way at the origin, visitors' and its own: 64
	Timeout     time.Duration // for one fetch: a minute
}

// share returns one node's part. The parts of all nodes add up to the whole, so
// there may be none for some.
func (l Limits) share(rank, nodes int) Limits {
	l.Concurrency = cmp.Or(l.Concurrency, 8)
	l.Busy = cmp.Or(l.Busy, 64)
	l.Timeout = cmp.Or(l.Timeout, time.Minute)
	if nodes <= 1 {
		return l
	}
	part := l.Concurrency / nodes
	if rank < l.Concurrency%nodes {
		part++
	}
	l.Concurrency = part
	l.Rate /= float64(nodes)
	l.Busy = max(1, l.Busy/nodes)
	return l
}

// A Pace decides when one site's origin may be asked for one more page. It does
// nothing by itself and knows no clock; a Warmer feeds it and asks it.
//
// It begins with one fetch at a time, then two until it is known how long the
// origin takes, and grows with each that goes well: doubling to half of what it
// may, then by one each time all in the window went well. When the origin answers
// slower than it does otherwise, or fails, the window is halved, and for a while
// keeps below what was too much, because visitors pay for each look whether it
// still is. When it fails again and again it is down: one fetch at a time tries
// it, ever more rarely. What it does otherwise is what was measured while there
// was no warming to speak of; for visitors' fetches apart, because those are of
// other pages, and theirs are what must not suffer.
type Pace struct {
	window  float64 // fetches that may be under way; below 1 there are rests between them
	grown   bool    // it was halved once: no more doubling
	inside  int     // fetches under way
	own     meter
	theirs  meter     // visitors'
	failed  int       // in a row, whoever asked
	held    time.Time // nothing is begun before
	cut     time.Time // the window is not halved again before
	much    float64   // the window that was too much
	muchAt  time.Time // when it was halved last
	ended   time.Time // when a fetch was over last
	tokens  float64   // that Rate has given
	tokenAt time.Time
	tryIn   time.Duration // above 0 it is down: the time between two tries
}

const (
	leastWindow = 1. / 8
	known       = 8 // measurements by which it is known what is usual
	unknown     = 2 // the window until then
	recently    = 10 * time.Second
	oneCut      = 2 * time.Second // what is halved again within is so for the same reason
	bearable    = 0.75            // part of what was too much that is not
	downAfter   = 5               // failures in a row
	firstTry    = time.Second
	lastTry     = 30 * time.Second
	mostHeld    = 5 * time.Minute // that an origin may ask for
)

// NewPace returns a Pace for an origin nothing is known of.
func NewPace() *Pace { return &Pace{window: 1} }

// A Verdict is whether a fetch may begin, and if not why.
type Verdict uint8

// The verdicts.
const (
	Go      Verdict = iota // it may
	Full                   // as many are under way as may be
	Busy                   // visitors' fetches come first
	Resting                // it was slow, or asked to be left alone
	Paced                  // as many were begun as the rate allows
	Down                   // it fails
	NoShare                // other nodes have all there is
)

func (v Verdict) String() string {
	return [...]string{"ready", "full", "visitors first", "resting", "at its rate", "down", "left to other nodes"}[v]
}

// Ask tells whether a fetch may begin now, with l being this node's share and so
// many fetches of visitors under way; and if only time is in the way, how long.
func (p *Pace) Ask(now time.Time, l Limits, visiting int) (v Verdict, wait time.Duration) {
	switch {
	case l.Concurrency <= 0:
		return NoShare, 0
	case now.Before(p.held):
		if p.tryIn > 0 {
			return Down, p.held.Sub(now)
		}
		return Resting, p.held.Sub(now)
	case p.inside >= p.room(l):
		if p.tryIn > 0 {
			return Down, 0
		}
		return Full, 0
	case p.inside+visiting >= l.Busy:
		return Busy, 0
	}
	if l.Rate > 0 {
		if t := p.tokensAt(now, l); t < 1 {
			return Paced, time.Duration(math.Ceil((1 - t) / l.Rate * float64(time.Second)))
		}
	}
	return Go, 0
}

// Room is how many more fetches may begin now, were there no visitors.
func (p *Pace) Room(now time.Time, l Limits) int {
	n := p.room(l) - p.inside
	if l.Rate > 0 {
		n = min(n, int(p.tokensAt(now, l)))
	}
	return max(0, n)
}

func (p *Pace) room(l Limits) int {
	if p.tryIn > 0 {
		return min(1, l.Concurrency)
	}
	return min(max(1, int(p.window)), l.Concurrency)
}

// tokensAt is what the rate has given, at most what is given in a tenth of a
// second: enough not to be late, too little for a burst.
func (p *Pace) tokensAt(now time.Time, l Limits) float64 {
	most := max(1, l.Rate/10)
	if p.tokenAt.IsZero() {
		return most
	}
	return min(most, p.tokens+now.Sub(p.tokenAt).Seconds()*l.Rate)
}

// Begin notes that a fetch begins.
func (p *Pace) Begin(now time.Time, l Limits) {
	if p.inside == 0 && now.Sub(p.ended) > recently && p.tryIn == 0 {
		// Whatever slowed or failed since then was not for warming.
		p.window, p.grown, p.muchAt = max(1, p.window), false, time.Time{}
	}
	p.inside++
	if p.own.n == 0 && p.theirs.n > known {
		p.own = p.theirs // the same pages, more or less
	}
	if l.Rate > 0 {
		p.tokens, p.tokenAt = p.tokensAt(now, l)-1, now
	}
}

// An End is what came of a fetch that was begun.
type End struct {
	Asked  bool          // the origin was asked by it; false if there was no need, or a visitor's fetch did it
	Other  bool          // it was no page, but a sitemap or an error: how long it took says nothing of pages
	Failed bool          // no answer, or one that says the origin is unwell
	Took   time.Duration // until the head of the answer
	After  time.Duration // how long the origin wants to be left alone
}

// End notes that a fetch is over.
func (p *Pace) End(now time.Time, l Limits, e End) {
	alone := p.inside <= 1
	p.inside--
	p.ended = now
	if !e.Asked {
		if l.Rate > 0 {
			p.tokens++
		}
		return
	}
	switch {
	case e.Failed:
		p.fail(now)
	default:
		p.well()
		if e.Other {
			break
		}
		within := time.Minute
		if p.window <= 1 {
			within = 4 * e.Took // less cannot be asked: if it is slow still, it is not for that
		}
		p.own.add(now, e.Took, alone, within)
		switch {
		case p.own.above(1):
			p.halve(now)
		case p.own.above(0.4) || p.theirs.above(0.15) && now.Sub(p.theirs.at) < recently:
			// As it is, but no more.
		default:
			p.grow(now, l)
		}
	}
	rest := min(e.After, mostHeld)
	if p.window < 1 && p.tryIn == 0 {
		rest = max(rest, time.Duration((1/p.window-1)*p.own.lately))
	}
	p.hold(now, rest)
}

// Visitor notes how a visitor's fetch went.
func (p *Pace) Visitor(now time.Time, took time.Duration, failed bool) {
	if failed {
		p.fail(now)
		return
	}
	p.well()
	p.theirs.add(now, took, p.inside == 0, 10*time.Minute)
	if p.theirs.above(0.3) { // before they are slowed by a tenth
		p.halve(now)
	}
}

func (p *Pace) hold(now time.Time, d time.Duration) {
	if until := now.Add(d); d > 0 && until.After(p.held) {
		p.held = until
	}
}

func (p *Pace) fail(now time.Time) {
	p.failed++
	if p.failed < downAfter {
		p.halve(now)
		return
	}
	if now.Before(p.held) && p.tryIn > 0 {
		return // what began before it was known to be down
	}
	p.tryIn = min(max(firstTry, 2*p.tryIn), lastTry)
	p.hold(now, p.tryIn)
}

// well notes a success: whatever was is over.
func (p *Pace) well() {
	p.failed = 0
	if p.tryIn > 0 {
		p.tryIn, p.held, p.window, p.grown = 0, time.Time{}, 1, false
	}
}

// grow widens a window that was used to the full: what was not tried says
// nothing.
func (p *Pace) grow(now time.Time, l Limits) {
	switch {
	case p.inside+1 < int(p.window/2):
		return
	case p.window < 1:
		p.window = min(1, 2*p.window)
	case now.Sub(p.muchAt) < recently && p.window+1 > bearable*p.much:
		return
	case p.grown || p.window >= float64(l.Concurrency)/2:
		p.window += 1 / p.window
	default:
		p.window++
	}
	p.window = min(p.window, float64(max(1, l.Concurrency)))
	if p.own.n <= known {
		p.window = min(p.window, unknown)
	}
}

// halve halves the window, once for all that was under way together.
func (p *Pace) halve(now time.Time) {
	p.grown = true
	if now.Before(p.cut) {
		return
	}
	if now.Sub(p.muchAt) > oneCut {
		p.much = p.window
	}
	p.muchAt = now
	p.window = max(leastWindow, p.window/2)
	p.cut = now.Add(time.Duration(max(p.own.lately, p.theirs.lately)))
	p.own.again()
}

// A PaceState is what a Pace is at.
type PaceState struct {
	Site      string  `json:"site"`
	State     string  `json:"state"`      // a Verdict's word: ready, full, visitors first, resting, at its rate, down, left to other nodes
	Window    float64 `json:"window"`     // fetches that may be under way; below 1 with rests between them
	UnderWay  int     `json:"under_way"`  // fetches that are
	Failed    int     `json:"failed"`     // failures in a row
	UsualMS   float64 `json:"usual_ms"`   // how long the origin takes otherwise
	LatelyMS  float64 `json:"lately_ms"`  // and lately, when asked for warming
	VisitorMS float64 `json:"visitor_ms"` // and lately, when asked for visitors
}

// State tells what the Pace is at.
func (p *Pace) State(now time.Time, l Limits, visiting int) PaceState {
	v, _ := p.Ask(now, l, visiting)
	ms := func(d float64) float64 { return math.Round(d/float64(time.Microsecond)) / 1000 }
	return PaceState{
		State: v.String(), Window: math.Round(min(p.window, float64(l.Concurrency))*100) / 100, UnderWay: p.inside, Failed: p.failed,
		UsualMS: ms(p.own.usually), LatelyMS: ms(p.own.lately), VisitorMS: ms(p.theirs.lately),
	}
}

// A meter tells whether something takes longer than it does otherwise.
type meter struct {
	n        int
	lately   float64 // the mean of about the last eight, in nanoseconds
	usually  float64 // what the mean is without warming
	scatters float64 // how far single ones are from it, without warming
	at       time.Time
}

// add takes a measurement. Only what is measured without warming beside it may
// make slower what is usual, over the time that it takes to get used to it; what
// warming itself makes slow must not become usual. Getting faster counts at once.
func (m *meter) add(now time.Time, took time.Duration, alone bool, within time.Duration) {
	x := float64(took)
	since := now.Sub(m.at)
	m.at = now
	if m.n++; m.n == 1 {
		m.lately, m.usually = x, x
		return
	}
	if alone || m.n <= known {
		m.scatters += (math.Abs(x-m.lately) - m.scatters) / float64(min(m.n, 16))
	}
	m.lately += (x - m.lately) / float64(min(m.n, 8))
	switch {
	case m.n <= known:
		m.usually = m.lately
	case m.lately < m.usually:
		m.usually += (m.lately - m.usually) / 16
	case alone:
		m.usually += (m.lately - m.usually) * min(1, float64(since)/float64(within))
	}
}

// above reports whether it takes longer than usual by more than part of what is
// allowed for: a quarter, ten milliseconds, and chance, for the mean of eight
// scatters about a quarter as much as one of them. Of visitors less is allowed,
// and what is no reason yet to do less is one to do no more.
func (m *meter) above(part float64) bool {
	return m.n > known && m.lately > m.usually+part*(m.usually/4+float64(10*time.Millisecond)+m.scatters)
}

// again forgets that it was slow: what was done about it has to show first.
func (m *meter) again() { m.lately = min(m.lately, m.usually) }
