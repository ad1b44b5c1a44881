package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// An event is one read or fetch of a page.
type event struct {
	at, took time.Duration
	node     string
	how      string // "fetch", or how a read was answered
	status   int
	version  int64
	floor    int64 // what a read had to be shown at least
}

// A touch is a purge that covers a page.
type touch struct {
	p       *purge
	version int64 // what it promises of the page
	sure    bool  // whether it promises it for certain, not only if the receipt names it
}

// keep bounds the events of a page that are kept for the message of a failure.
const keep = 3000

// note adds an event to a page's history.
func (p *page) note(e event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.log) >= 2*keep {
		p.log = append(p.log[:0], p.log[keep:]...)
	}
	p.log = append(p.log, e)
}

// A diary has what concerns all pages: the faults.
type diary struct {
	mu    sync.Mutex // guards lines
	lines []entry
}

type entry struct {
	at   time.Duration
	text string
}

func (f *fleet) now() time.Duration { return time.Since(f.began) }

// say notes what happens to the fleet.
func (f *fleet) say(format string, args ...any) {
	f.diary.mu.Lock()
	defer f.diary.mu.Unlock()
	f.diary.lines = append(f.diary.lines, entry{f.now(), "== " + fmt.Sprintf(format, args...)})
}

// violated fails the test with the history of one page, around the purge that
// promised what was not kept.
func (f *fleet) violated(p *page, e event, format string, args ...any) {
	f.failMu.Lock()
	defer f.failMu.Unlock()
	f.violations++
	if f.violations > f.tellAtMost {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "violation %d at %.6fs, seed %d (-fleet.seed=%d): %s\n", f.violations, e.at.Seconds(), f.seed, f.seed, fmt.Sprintf(format, args...))
	fmt.Fprintf(&b, "%s: tags %v, deps %v, varies %v, %s\n", p.url(), p.tags, p.deps, p.varies, p.control)
	for _, l := range f.tell(p, e) {
		fmt.Fprintf(&b, "%12.6fs %s\n", l.at.Seconds(), l.text)
	}
	f.complain(b.String())
}

// mostTold bounds what is told of a history.
const mostTold = 400

// tell returns the history of a page up to an event, from a second before the
// purge that the event ought to have known of.
func (f *fleet) tell(p *page, last event) []entry {
	var out []entry
	from := last.at - 3*time.Second
	p.mu.Lock()
	for _, t := range p.purges {
		if t.version == last.floor {
			from = min(from, t.p.asked-time.Second)
		}
	}
	for _, t := range p.purges {
		out = append(out, t.entries()...)
	}
	for _, e := range p.log {
		out = append(out, e.entry())
	}
	p.mu.Unlock()
	f.diary.mu.Lock()
	for i, l := range f.diary.lines {
		if l.at < from && i < len(f.diary.lines)-12 {
			continue
		}
		l.at = max(l.at, from)
		out = append(out, l)
	}
	f.diary.mu.Unlock()
	out = slices.DeleteFunc(out, func(l entry) bool { return l.at < from || l.at > last.at+last.took+time.Second })
	slices.SortStableFunc(out, func(a, b entry) int { return cmp.Compare(a.at, b.at) })
	if over := len(out) - mostTold; over > 0 {
		out = append([]entry{{from, fmt.Sprintf("… %d lines left out", over)}}, out[over:]...)
	}
	return out
}

func (e *event) entry() entry {
	if e.how == "fetch" {
		return entry{e.at, fmt.Sprintf("%s asks the origin: %d, version %d", e.node, e.status, e.version)}
	}
	text := fmt.Sprintf("%s shows version %d (at least %d), %s, after %v", e.node, e.version, e.floor, e.how, e.took.Round(10*time.Microsecond))
	if e.version < e.floor {
		text += "   <<<"
	}
	return entry{e.at, text}
}

func (t *touch) entries() []entry {
	p := t.p
	p.mu.Lock()
	defer p.mu.Unlock()
	promises := fmt.Sprintf("for version %d", t.version)
	if !t.sure {
		promises += " if the receipt says so"
	}
	out := []entry{{p.asked, fmt.Sprintf("%s at %s: %s %s", p.name, p.node, p.what, promises)}}
	if p.answered > 0 {
		out = append(out, entry{p.answered, fmt.Sprintf("%s answered %s", p.name, p.answer)})
	}
	if p.confirmed > 0 {
		out = append(out, entry{p.confirmed, fmt.Sprintf("%s confirmed %s", p.name, p.by)})
	}
	return out
}
