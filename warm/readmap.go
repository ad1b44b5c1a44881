package warm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"surrogate/store"
)

// maxIndexes is how many indexes may stand above a sitemap. The protocol has
// one; some applications write two.
const maxIndexes = 3

// A job whose Depth is below zero is a sitemap: -1 says that it may not be an
// index any more.
func isSitemap(j *store.Job) bool { return j.Depth < 0 }

// asSitemap makes a job a sitemap, or robots.txt if it is the root of a site:
// before any page, because a sitemap tells how much there is.
func asSitemap(j *store.Job) {
	if key := store.Key(j.URL); key.Target() == "/" {
		j.URL = key.Origin() + "/robots.txt"
	}
	j.Depth = -1 - maxIndexes
	j.Heat = max(j.Heat, 2)
}

// newness is the heat of something that changed at mod: 1 today, half that a day
// later, a quarter three days later and so on, and least of all if it does not
// say. What changed last is most likely asked for first.
func newness(mod, now time.Time) float64 {
	if mod.IsZero() {
		return 1.0 / (1 << 14)
	}
	days := max(0, now.Sub(mod).Hours()/24)
	return 1 / (1 + days)
}

// sitemap reads one sitemap, index or robots.txt and queues what it names. It is
// asked for with no-cache: what is warmed is what is there now.
func (in *Intake) sitemap(ctx context.Context, j store.Job) (r Result) {
	began := time.Now()
	defer func() { r.Took = time.Since(began) }()
	resp, at, err := in.fetchSitemap(ctx, &j)
	r.Origin = End{Asked: true, Other: true, Took: time.Since(began)}
	if err != nil {
		bad := troubled(err)
		bad.Origin = r.Origin
		bad.Origin.Failed = bad.State == store.Again
		return bad
	}
	defer resp.Body.Close()
	r.Status = resp.StatusCode
	read := &counted{r: transfer{resp.Body}}
	s := sitemapReading{in: in, ctx: ctx, j: &j, at: at, now: began}
	err = s.read(resp, read)
	r.Bytes = read.n
	if err == nil {
		err = s.flush()
	} else if flushed := s.flush(); flushed != nil {
		err = flushed
	}
	if err != nil || s.Count > 0 {
		bad := troubled(err)
		r.Origin.Failed = errors.As(err, new(brokeOff))
		r.State, r.Why = bad.State, s.summary(err)
		return r
	}
	r.State = store.Warmed
	return r
}

// again is an error that may pass.
type again struct{ error }

func (e again) Unwrap() error { return e.error }

// brokeOff is the error of a response that did not come to its end.
type brokeOff struct{ error }

func (e brokeOff) Error() string { return "its transfer broke off: " + e.error.Error() }
func (e brokeOff) Unwrap() error { return e.error }

// A transfer is a response as it comes. That it breaks off may pass, unlike what
// is wrong with what it brings.
type transfer struct{ io.Reader }

func (t transfer) Read(b []byte) (int, error) {
	n, err := t.Reader.Read(b)
	if err != nil && err != io.EOF {
		err = again{brokeOff{err}}
	}
	return n, err
}

// troubled is what came of a sitemap that could not be read.
func troubled(err error) (r Result) {
	r.State = store.Failed
	if err != nil {
		r.Why = err.Error()
	}
	if _, passes := errors.AsType[again](err); passes {
		r.State = store.Again
	}
	return r
}

// fetchSitemap asks for a sitemap and follows its redirects within the site.
func (in *Intake) fetchSitemap(ctx context.Context, j *store.Job) (*http.Response, string, error) {
	if in.o.Fetch == nil {
		return nil, "", errors.New("sitemaps cannot be read here")
	}
	at := j.URL
	way := []string{at}
	for {
		resp, err := in.o.Fetch(ctx, at, http.Header{"Accept-Encoding": {"gzip"}, "Cache-Control": {"no-cache"}})
		if err != nil {
			return nil, "", again{err}
		}
		location := resp.Header.Get("Location")
		switch {
		case resp.StatusCode/100 == 3 && location != "":
		case failsForNow(resp.StatusCode):
			resp.Body.Close()
			return nil, "", again{fmt.Errorf("answered %d", resp.StatusCode)}
		default:
			return resp, at, nil
		}
		resp.Body.Close()
		next, err := in.beside(at, location, j.Site)
		if err != nil {
			return nil, "", fmt.Errorf("redirects to %q: %w", excerpt(location, 200), err)
		}
		looped := slices.Contains(way, next.URL)
		if way = append(way, next.URL); looped || len(way) > maxHops+1 {
			var r Result
			return nil, "", errors.New(in.astray(r, "redirects in a loop", way).Why)
		}
		at = next.URL
	}
}

// failsForNow reports whether a status says that it may be another one later.
func failsForNow(status int) bool { return status >= 500 || status == http.StatusTooManyRequests }

// beside makes a job of a reference in what is at the URL at.
func (in *Intake) beside(at, ref, site string) (store.Job, error) {
	base, err := url.Parse(at)
	if err != nil {
		return store.Job{}, err
	}
	to, err := base.Parse(ref)
	if err != nil {
		return store.Job{}, errors.New("not a URL")
	}
	return in.target(to.String(), nil, site)
}

// A sitemapReading is the reading of one sitemap.
type sitemapReading struct {
	in  *Intake
	ctx context.Context
	j   *store.Job
	at  string // where it was found in the end
	now time.Time

	jobs  []store.Job
	maps  []found // what an index names, to be queued newest first
	named int
	known int // sitemaps that the run has had already
	Rejections
}

func (s *sitemapReading) read(resp *http.Response, body io.Reader) error {
	robots := store.Key(s.j.URL).Target() == "/robots.txt"
	if resp.StatusCode != http.StatusOK {
		if robots && resp.StatusCode/100 == 4 {
			return s.fallback()
		}
		return fmt.Errorf("answered %d", resp.StatusCode)
	}
	text, err := unpacked(resp.Header, body, maxSitemapBytes)
	if err != nil {
		return err
	}
	if !robots {
		return readSitemap(text, s.found)
	}
	if err := robotsSitemaps(text, s.found); err != nil || s.named > 0 {
		return err
	}
	return s.fallback()
}

// fallback is for a site whose robots.txt names no sitemap: there is a usual
// place.
func (s *sitemapReading) fallback() error {
	return s.found(found{loc: store.Key(s.j.URL).Origin() + "/sitemap.xml", sitemap: true})
}

// found takes one URL that the sitemap names.
func (s *sitemapReading) found(f found) error {
	s.named++
	if f.sitemap {
		if s.j.Depth >= -1 {
			return fmt.Errorf("an index in an index, %d deep: that is as deep as it may be", maxIndexes+1)
		}
		s.maps = append(s.maps, f)
		return nil
	}
	next, ok := s.target(f)
	if !ok {
		return nil
	}
	next.Heat = newness(f.mod, s.now)
	if s.jobs = append(s.jobs, next); len(s.jobs) < batch {
		return nil
	}
	return s.queue()
}

// target makes a job of a location. Feeds have them relative at times.
func (s *sitemapReading) target(f found) (store.Job, bool) {
	var next store.Job
	loc, err := f.loc, f.bad
	if err != nil {
		s.add(Rejection{Detail: err.Error(), Excerpt: loc})
		return store.Job{}, false
	}
	next, err = s.in.target(loc, nil, s.j.Site)
	if err != nil && !strings.Contains(loc, "://") && plainText(loc) == nil {
		next, err = s.in.beside(s.at, loc, s.j.Site)
	}
	if err != nil {
		s.add(Rejection{Detail: err.Error(), Excerpt: loc})
		return store.Job{}, false
	}
	next.Force = s.j.Force
	return next, true
}

// flush queues what is left: of an index its sitemaps, the newest first.
func (s *sitemapReading) flush() error {
	slices.SortStableFunc(s.maps, func(a, b found) int { return b.mod.Compare(a.mod) })
	for _, f := range s.maps {
		next, ok := s.target(f)
		if !ok {
			continue
		}
		if next.URL == s.j.URL || next.URL == s.at {
			s.add(Rejection{Detail: "it names itself", Excerpt: f.loc})
			continue
		}
		next.Depth, next.Heat = s.j.Depth+1, 2+newness(f.mod, s.now)
		s.jobs = append(s.jobs, next)
	}
	maps := len(s.maps) > 0
	s.maps = nil
	for chunk := range slices.Chunk(s.jobs, batch) {
		added, dropped, err := s.in.queue.Add(s.ctx, s.j.Run, chunk)
		if err = notOver(err); err != nil {
			return again{fmt.Errorf("couldn't queue what it names: %w", err)}
		}
		if maps {
			s.known += len(chunk) - added - dropped
		}
	}
	s.jobs = s.jobs[:0]
	if s.known > 0 && s.j.Taken == 0 { // else it was read before, in part
		s.in.log.Info("an index names sitemaps that were read already: a loop, or named twice", "run", s.j.Run, "sitemap", s.j.URL, "known", s.known)
	}
	return nil
}

// queue queues pages.
func (s *sitemapReading) queue() error {
	_, _, err := s.in.queue.Add(s.ctx, s.j.Run, s.jobs)
	s.jobs = s.jobs[:0]
	if err = notOver(err); err != nil {
		return again{fmt.Errorf("couldn't queue what it names: %w", err)}
	}
	return nil
}

// notOver is err, unless that says that the run was cancelled.
func notOver(err error) error {
	if errors.Is(err, store.ErrRunOver) {
		return nil
	}
	return err
}

// summary says what of a sitemap was left out, and why.
func (s *sitemapReading) summary(err error) string {
	var parts []string
	if err != nil {
		parts = append(parts, err.Error())
	}
	if s.Count > 0 {
		parts = append(parts, fmt.Sprintf("%d of the %d URLs that it names are left out: %s", s.Count, s.named, strings.ReplaceAll(s.told(5), "\n", "; ")))
	}
	return strings.Join(parts, "; ")
}
