package proxy_test

import (
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/store"
	"surrogate/store/memstore"
)

// The property that all of this serves: whoever asks after a purge has been
// confirmed is never shown what it killed.
//
// A history is random. An origin answers with the version that a page has when
// it is asked, after a pause, with tags, deps and, for some pages, one variant
// for each value of X-Variant; at times it fails, breaks off, or answers a part.
// Editors raise the versions of what they are about to purge, by tag, URL,
// prefix, host, everything or an unsafe request, hard or soft; when the purge
// has returned, the new versions are promised. Readers ask, and are shown no
// less than what was promised when they asked; after a soft purge no less once
// the windows of stale answers have passed since. And no answer is older than
// all its windows together.
//
// A test that never fails shows nothing, so try these when touching fills or
// stores. Each must make it fail:
//
//	A  proxy.go, shares: return true where found.Ticket > f.ticket, so that
//	   whoever asks after a purge shares the fetch that began before it
//	B  memstore, Put: judge and store the entry with the sequence of now instead
//	   of its ticket, as if it had been fetched after all purges; first of all
//	   c := *e; c.Ticket = s.book.Seq(); e = &c
//	C  decide.go, freshUntil: return the end of the life, whatever Fell is
//	D  memstore, check: leave out graph.judge, so that a fetch which was under
//	   way when a page that it is made from fell is stored
//	E  decide.go, choose: leave out the case of f.Doubt
//
// A, B, C and E fail within ten seeds, B with nearly every one; D within two hundred.
// Removing only Put's verdict is no such mutation: Get compares again. Two
// guards, on purpose.
var (
	nostaleSeeds = flag.Int("nostale.seeds", nostaleDefault, "how many random histories to try")
	nostaleSeed  = flag.Uint64("nostale.seed", 0, "the first of them")
)

func TestNoStale(t *testing.T) {
	const lanes = 4
	for lane := range uint64(lanes) {
		t.Run(strconv.FormatUint(lane, 10), func(t *testing.T) {
			t.Parallel()
			for i := lane; i < uint64(*nostaleSeeds) && !t.Failed(); i += lanes {
				synctest.Test(t, func(t *testing.T) { newHistory(t, *nostaleSeed+i).play() })
			}
		})
	}
}

// A history is one random history.
type history struct {
	*house
	wired *wired
	t     *testing.T
	seed  uint64
	start time.Time
	pages []*page

	mu     sync.Mutex // guards what follows and the pages' changing fields
	lines  []line
	posted map[string]map[*page]int // what an unsafe request changed, by its name
	failed bool
}

// A page is one of the origin's pages.
type page struct {
	host, path string
	tags       []string // what it always carries
	deps       []string // tags, and URLs of other pages
	varies     bool
	ttl        time.Duration
	windows    time.Duration // the longer of its two windows
	control    string

	version  int
	since    map[int]time.Time // when a version came to be
	promised int
	soft     []softPromise
}

// A softPromise is what a soft purge at a time promises for when the windows
// have passed.
type softPromise struct {
	version int
	at      time.Time
}

// A line is one event of a history. about is nil for what concerns all pages.
type line struct {
	at    time.Duration
	about *page
	text  string
}

func newHistory(t *testing.T, seed uint64) *history {
	r := rand.New(rand.NewPCG(seed, 0))
	h := &history{house: newHouseOn(t, slog.New(slog.DiscardHandler), memstore.New(dimensions(r))), t: t, seed: seed, start: time.Now(), posted: make(map[string]map[*page]int)}
	for i := range 6 {
		p := &page{
			host: []string{shopHost, "other.example"}[i/4], path: fmt.Sprintf("/%s/%d", []string{"x", "y"}[i%2], i),
			varies: r.IntN(3) == 0, version: 1, promised: 1, since: map[int]time.Time{1: h.start},
			ttl: []time.Duration{2, 5, 30}[r.IntN(3)] * time.Second,
		}
		swr, sie := r.IntN(2)*2*r.IntN(2), r.IntN(2)*3*r.IntN(2)
		p.windows = time.Duration(max(swr, sie)) * time.Second
		p.control = fmt.Sprintf("max-age=%d, stale-while-revalidate=%d, stale-if-error=%d", int(p.ttl.Seconds()), swr, sie)
		for n := range 4 {
			if r.IntN(3) == 0 {
				p.tags = append(p.tags, fmt.Sprintf("t%d", n))
			}
			if r.IntN(5) == 0 {
				p.deps = append(p.deps, fmt.Sprintf("t%d", n))
			}
		}
		h.pages = append(h.pages, p)
	}
	for _, p := range h.pages {
		for r.IntN(2) == 0 {
			if q := h.pages[r.IntN(len(h.pages))]; q != p && !slices.Contains(p.deps, q.url()) {
				p.deps = append(p.deps, q.url())
			}
		}
	}
	h.origin.answer = h.answerer(rand.New(rand.NewPCG(seed, 1)))
	h.wired = newWired(h.house, true)
	return h
}

// dimensions are those of a store that is now and then too small: for its
// entries, so that some are evicted; for its fences, so that some are forgotten
// and what is older is doubted.
func dimensions(r *rand.Rand) memstore.Options {
	opt := memstore.Options{MaxBytes: 64 << 20}
	if r.IntN(4) == 0 {
		opt.MaxBytes = 3 << 10
	}
	if r.IntN(4) == 0 {
		opt.MaxFences, opt.MaxPrefixes, opt.MaxPicks = 1+r.IntN(6), 1, 1
	}
	return opt
}

func (p *page) url() string { return "http://" + p.host + p.path }

// note adds an event.
func (h *history) note(about *page, format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.noteLocked(about, format, args...)
}

func (h *history) noteLocked(about *page, format string, args ...any) {
	h.lines = append(h.lines, line{time.Since(h.start), about, fmt.Sprintf(format, args...)})
}

// play lets actors loose and checks that nothing promised was broken.
func (h *history) play() {
	var wg sync.WaitGroup
	for id := range uint64(5) {
		wg.Go(func() { h.read(id, rand.New(rand.NewPCG(h.seed, 100+id))) })
	}
	for id := range uint64(2) {
		wg.Go(func() { h.edit(id, rand.New(rand.NewPCG(h.seed, 200+id))) })
	}
	wg.Wait()
	h.wired.close()
	for _, w := range h.wired.idle {
		w.Close()
	}
	h.close()
}

// rest lets a random time pass, often none.
func rest(r *rand.Rand) {
	if d := []int{0, 0, 0, 0, 1, 1, 2, 3, 5, 10, 30}[r.IntN(11)]; d > 0 {
		time.Sleep(time.Duration(d) * 100 * time.Millisecond)
	}
}

// read asks for pages and checks the answers.
func (h *history) read(id uint64, r *rand.Rand) {
	for n := range 24 {
		rest(r)
		h.visit(fmt.Sprintf("r%d.%d", id, n), h.pages[r.IntN(len(h.pages))], r)
	}
}

func (h *history) visit(name string, p *page, r *rand.Rand) {
	header := map[string][]string{}
	variant := ""
	if p.varies {
		variant = []string{"a", "b"}[r.IntN(2)]
		header["X-Variant"] = []string{variant}
	}
	method, takesStale := "GET", false
	switch r.IntN(20) {
	case 0:
		method = "HEAD"
	case 1:
		header["Cache-Control"] = []string{"no-cache"}
	case 2:
		header["Cache-Control"], takesStale = []string{"max-stale=1"}, true
	case 3, 4:
		header["Range"] = []string{[]string{"bytes=0-7", "bytes=8-", "bytes=4-11"}[r.IntN(3)]}
	}
	h.mu.Lock()
	asked := time.Now()
	promised := p.promised
	for _, s := range p.soft {
		// Who takes what is stale takes what fell softly, too.
		if !asked.Before(s.at.Add(p.windows)) && !takesStale {
			promised = max(promised, s.version)
		}
	}
	h.noteLocked(p, "%s %s %v &%s      # at least %d", strings.ToLower(method), p.url(), header, name, promised)
	h.mu.Unlock()
	way := h.public
	if r.IntN(2) == 0 {
		way = h.wired // where hits are answered inline
	}
	v := send(h.t, way, method, "http", p.host, p.path, header, "", visitor)
	if r.IntN(12) == 0 {
		time.Sleep(time.Duration(r.IntN(5)) * 100 * time.Millisecond)
		v.leave()
	}
	<-v.done
	h.check(name, p, v, variant, asked, promised)
}

// check compares an answer with what was promised.
func (h *history) check(name string, p *page, v *visit, variant string, asked time.Time, promised int) {
	aborted, panicked := v.broke()
	code, body := v.code(), v.content()
	h.mu.Lock()
	defer h.mu.Unlock()
	if panicked != nil {
		h.violated(p, "%s: the proxy panicked: %v", name, panicked)
		return
	}
	if code != 200 && code != 206 {
		h.noteLocked(p, "%s: status %d", name, code)
		return
	}
	shown, err := strconv.Atoi(strings.Join(v.values("X-Version"), ","))
	h.noteLocked(p, "%s: version %d, %s", name, shown, ourStatus(v))
	want := content(p, shown, variant)
	if code == 206 {
		var from, to, size int
		if _, err := fmt.Sscanf(strings.Join(v.values("Content-Range"), ","), "bytes %d-%d/%d", &from, &to, &size); err != nil || to >= len(want) {
			h.violated(p, "%s: Content-Range is %q", name, v.values("Content-Range"))
			return
		}
		want = want[from : to+1]
	}
	over := asked.Sub(p.since[shown+1]) // by how much the next version is older than the question
	switch {
	case err != nil:
		h.violated(p, "%s: X-Version: %v", name, err)
	case shown < promised:
		h.violated(p, "%s was shown version %d, and %d was promised when it asked", name, shown, promised)
	case v.method == "GET" && !strings.HasPrefix(want, body) || v.method == "GET" && !aborted && v.ctx.Err() == nil && body != want:
		h.violated(p, "%s was shown %q for %q", name, body, want)
	case !p.since[shown+1].IsZero() && over > p.ttl+max(p.windows, time.Second)+slowest:
		h.violated(p, "%s was shown version %d, which was replaced %v ago", name, shown, over)
	}
}

// slowest is the longest that a fetch can take from when the origin looked at
// the page to when the answer is here.
const slowest = 4 * time.Second

// violated fails the test with the history of one page. h.mu is held.
func (h *history) violated(p *page, format string, args ...any) {
	if h.failed {
		return
	}
	h.failed = true
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d (-nostale.seed=%d -nostale.seeds=1): %s\n", h.seed, h.seed, fmt.Sprintf(format, args...))
	for _, q := range h.pages {
		fmt.Fprintf(&b, "# %s: tags %v deps %v, varies: %v, %s\n", q.url(), q.tags, q.deps, q.varies, q.control)
	}
	last := time.Duration(0)
	for _, l := range h.lines {
		if l.about != nil && l.about != p {
			continue
		}
		if l.at > last {
			fmt.Fprintf(&b, "sleep %v\n", l.at-last)
			last = l.at
		}
		b.WriteString(l.text + "\n")
	}
	h.t.Error(b.String())
}

// content is the body of a version: as long for every one.
func content(p *page, version int, variant string) string {
	return fmt.Sprintf("version %06d of %s for %q.", version, p.path, variant)
}

// key is the key of a page.
func (p *page) key() store.Key { return store.Key(p.url()) }
