package fleet

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A page is one of the origin's pages.
type page struct {
	host, path string
	tags       []string // what it always carries
	deps       []string // tags, and URLs of other pages
	varies     bool
	uncached   bool // may not be stored
	swr        time.Duration
	control    string

	version atomic.Int64 // what the origin answers

	mu       sync.Mutex // guards what follows
	promised int64      // by the hard purges that are confirmed
	soft     []softPromise
	log      []event
	purges   []touch
}

// A softPromise is what a soft purge promises for from when on the page may no
// longer be shown stale.
type softPromise struct {
	version int64
	from    time.Time
}

func (p *page) url() string { return "http://" + p.host + p.path }

// floor is the least version that whoever asks now may be shown.
func (p *page) floor(now time.Time) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.soft = slices.DeleteFunc(p.soft, func(s softPromise) bool {
		due := !now.Before(s.from)
		if due {
			p.promised = max(p.promised, s.version)
		}
		return due
	})
	return p.promised
}

// promise raises the floor.
func (p *page) promise(version int64, soft bool) {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if soft {
		p.soft = append(p.soft, softPromise{version, now.Add(p.swr)})
	} else {
		p.promised = max(p.promised, version)
	}
}

// Tags are few, so that a purge takes several pages.
const tags = 8

// newPages makes the pages of a seed, on two hosts and under two prefixes.
func newPages(r *rand.Rand) []*page {
	var pages []*page
	for i := range 36 {
		p := &page{
			host:   []string{"shop.example", "other.example"}[i%2],
			path:   fmt.Sprintf("/%s/%d", []string{"x", "y"}[i/2%2], i),
			varies: r.IntN(3) == 0, uncached: i >= 33,
		}
		if r.IntN(3) == 0 {
			p.swr = time.Second
		}
		// Most outlive every fault: what is shown too long is shown because of a
		// purge that was not heard. Some are revalidated all the time.
		ttl := []int{1, 60, 3600}[r.IntN(3)]
		p.control = fmt.Sprintf("max-age=%d, stale-while-revalidate=%d", ttl, int(p.swr.Seconds()))
		if p.uncached {
			p.control = "no-store"
		}
		for n := range tags {
			if r.IntN(5) == 0 {
				p.tags = append(p.tags, fmt.Sprintf("t%d", n))
			}
			if r.IntN(10) == 0 {
				p.deps = append(p.deps, fmt.Sprintf("t%d", n))
			}
		}
		p.version.Store(1)
		pages = append(pages, p)
	}
	for _, p := range pages {
		for r.IntN(3) == 0 {
			if q := pages[r.IntN(len(pages))]; q != p && !q.uncached && !slices.Contains(p.deps, q.url()) {
				p.deps = append(p.deps, q.url())
			}
		}
	}
	return pages
}

// content is the body of a version: as long for every one.
func content(p *page, version int64, variant string) string {
	return fmt.Sprintf("version %08d of %s for %q.", version, p.url(), variant)
}

// etag names a version.
func etag(version int64, variant string) string { return fmt.Sprintf(`"%d.%s"`, version, variant) }

// versionOf reads what etag wrote.
func versionOf(etag, variant string) (int64, error) {
	s, ok := strings.CutSuffix(strings.Trim(etag, `"`), "."+variant)
	if !ok {
		return 0, fmt.Errorf("the ETag is %q, the variant asked for %q", etag, variant)
	}
	return strconv.ParseInt(s, 10, 64)
}

// serve lets the origin answer for pages.
func (f *fleet) serve(pages ...*page) {
	for _, p := range pages {
		f.at.Store(p.host+p.path, p)
	}
}

// origin answers for all pages with the version that a page has when it is
// asked, after a pause: an answer that is on its way while an editor purges.
func (f *fleet) origin(node string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, ok := f.at.Load(r.Host + r.URL.Path)
		if !ok {
			http.NotFound(w, r)
			return
		}
		p := at.(*page)
		version := p.version.Load()
		variant := ""
		h := w.Header()
		if p.varies {
			variant = r.Header.Get("X-Variant")
			h.Set("Vary", "X-Variant")
		}
		h.Set("Etag", etag(version, variant))
		h.Set("Cache-Control", p.control)
		h.Set("Surrogate-Key", strings.Join(p.tags, " "))
		if len(p.deps) > 0 {
			h.Set("Surrogate-Depends", strings.Join(p.deps, " "))
		}
		status := http.StatusOK
		if r.Header.Get("If-None-Match") == etag(version, variant) {
			status = http.StatusNotModified
		}
		p.note(event{at: f.now(), node: node, version: version, status: status, how: "fetch"})
		time.Sleep(thinking()) // this is what an origin does
		w.WriteHeader(status)
		if status == http.StatusOK && r.Method != http.MethodHead {
			fmt.Fprint(w, content(p, version, variant))
		}
	})
}

// thinking is how long the origin takes: often nothing, at times long.
func thinking() time.Duration {
	switch n := rand.IntN(100); {
	case n < 50:
		return 0
	case n < 90:
		return time.Duration(rand.IntN(4000)) * time.Microsecond
	case n < 98:
		return 20 * time.Millisecond
	default:
		return 150 * time.Millisecond
	}
}
