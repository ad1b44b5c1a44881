package warm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"strings"

	"surrogate/store"
)

const (
	maxPageBytes = 16 << 20 // of a page that is looked through for links
	maxHops      = 10       // redirects one after the other
)

// asPage makes a job one whose links are followed. What is fewer links away
// comes first, so a page is met first by its shortest way.
func asPage(j *store.Job, depth int) {
	j.Depth = depth
	j.Heat = max(j.Heat, math.Ldexp(1, min(depth, 10)-11))
}

// Following returns what does a Warmer's jobs, given what does plain ones. It
// reads the sitemaps among them, follows redirects, and queues the links of the
// pages that are to be followed, before it returns: so a run cannot be over
// before they are in it.
func (in *Intake) Following(fetch func(context.Context, store.Job) Result) func(context.Context, store.Job) Result {
	return func(ctx context.Context, j store.Job) Result {
		if isSitemap(&j) {
			return in.sitemap(ctx, j)
		}
		r, last := in.redirected(ctx, j, judged(fetch(ctx, j)), fetch)
		if j.Depth > 0 && r.State != store.Failed && r.State != store.Again && last != nil {
			return in.crawled(ctx, j, r, last)
		}
		return r
	}
}

// judged is r, unless its answer is an error: nobody means such a page when he
// has it warmed, however long it may be kept.
func judged(r Result) Result {
	if r.Status >= 400 && r.State != store.Failed && r.State != store.Again {
		r.State, r.Why = store.Failed, fmt.Sprintf("answered %d", r.Status)
	}
	return r
}

// A landing is the page that a chain of redirects ends at.
type landing struct {
	url  string
	page *store.Entry // nil if it is not stored
}

// redirected follows the redirects that a job's URL answers with, as a visitor
// would be led: what they lead to on the same site is warmed too. It returns
// what came of all of it, and where it ended; nil where that is not on the site.
func (in *Intake) redirected(ctx context.Context, j store.Job, r Result, fetch func(context.Context, store.Job) Result) (Result, *landing) {
	way := []string{j.URL}
	for hop := r; ; {
		if hop.Next == "" {
			return r, &landing{way[len(way)-1], hop.Page}
		}
		next, err := in.target(hop.Next, nil, j.Site)
		if err != nil {
			return r, nil // it leads elsewhere, which is not ours to warm
		}
		for _, u := range way {
			if u == next.URL {
				return in.astray(r, "redirects in a loop", append(way, next.URL)), nil
			}
		}
		if way = append(way, next.URL); len(way) > maxHops+1 {
			return in.astray(r, fmt.Sprintf("more than %d redirects", maxHops), way), nil
		}
		next.Run, next.Vary, next.Pick, next.Force = j.Run, j.Vary, j.Pick, j.Force
		hop = judged(fetch(ctx, next))
		r.Bytes += hop.Bytes
		r.Took += hop.Took
		if hop.State == store.Failed || hop.State == store.Again {
			r.Outcome.State, r.After, r.Origin.Failed = hop.State, hop.After, hop.Origin.Failed
			r.Why = fmt.Sprintf("redirects to %s: %s", excerpt(next.URL, 200), hop.Why)
			return r, nil
		}
		if hop.State == store.Warmed && r.State == store.Fresh {
			r.State = store.Warmed // the redirect was there, and what it leads to was not
		}
		if hop.State == store.Unkept && r.State != store.Unkept {
			r.State, r.Why = store.Unkept, "redirects to what is not kept: "+hop.Why
		}
	}
}

// astray is the result of redirects that lead nowhere.
func (in *Intake) astray(r Result, what string, way []string) Result {
	if len(way) > 5 {
		way = append(append([]string{}, way[:4]...), "…", way[len(way)-1])
	}
	for i := range way {
		way[i] = excerpt(way[i], 200)
	}
	r.State, r.Why = store.Failed, what+": "+strings.Join(way, " → ")
	return r
}

// crawled queues the links of a page. Should that fail, or the page break off,
// it is to be done again: what was queued of it is not queued twice.
func (in *Intake) crawled(ctx context.Context, j store.Job, r Result, at *landing) Result {
	h, body, err := in.content(ctx, at)
	if err != nil {
		r.State, r.Why = troubled(err).State, "its links could not be read: "+err.Error()
		return r
	}
	if h == nil {
		return r // there are no links in it
	}
	defer body.Close()
	text, err := unpacked(h, transfer{body}, maxPageBytes)
	var links []link
	if err == nil {
		links, err = linksOf(at.url, h, text)
	}
	jobs := in.linked(&j, links)
	if err := in.queueLinks(ctx, &j, jobs); err != nil {
		r.State, r.Why = store.Again, "its links could not be queued: "+err.Error()
		return r
	}
	if err != nil {
		r.State, r.Why = troubled(err).State, "its links could not all be read: "+err.Error()
	}
	return r
}

// content is what a page holds, as it is stored or else asked for anew: h is nil
// if that is no HTML.
func (in *Intake) content(ctx context.Context, at *landing) (h http.Header, body io.ReadCloser, err error) {
	if e := at.page; e != nil && e.Complete() {
		h := e.Head.Header()
		if !isHTML(e.Status, h) {
			return nil, nil, nil
		}
		if _, err := unpacked(h, bytes.NewReader(e.Body), maxPageBytes); len(e.Body) > 0 && !errors.Is(err, errCoding) {
			return h, io.NopCloser(bytes.NewReader(e.Body)), nil
		}
	}
	if in.o.Fetch == nil {
		return nil, nil, errors.New("it is not stored")
	}
	resp, err := in.o.Fetch(ctx, at.url, http.Header{"Accept": {"text/html"}, "Accept-Encoding": {"gzip"}})
	if err != nil {
		return nil, nil, again{err}
	}
	if failsForNow(resp.StatusCode) {
		resp.Body.Close()
		return nil, nil, again{fmt.Errorf("answered %d", resp.StatusCode)}
	}
	if !isHTML(resp.StatusCode, resp.Header) {
		resp.Body.Close()
		return nil, nil, nil
	}
	return resp.Header, resp.Body, nil
}

func isHTML(status int, h http.Header) bool {
	mediaType, _, _ := mime.ParseMediaType(h.Get("Content-Type"))
	return status == http.StatusOK && (mediaType == "text/html" || mediaType == "application/xhtml+xml")
}

// linked makes jobs of the links of j's page that stay on its site and are not
// excluded.
func (in *Intake) linked(j *store.Job, links []link) []store.Job {
	plan := in.named(j.Site)
	if plan == nil {
		return nil
	}
	var jobs []store.Job
	for _, l := range links {
		if l.asset && !plan.Crawl.Assets {
			continue
		}
		next, err := in.target(l.url, nil, j.Site)
		if err != nil || excluded(plan.Crawl.Exclude, store.Key(next.URL).Target()) {
			continue
		}
		next.Force = j.Force
		if !l.asset {
			asPage(&next, j.Depth-1)
		}
		jobs = append(jobs, next)
	}
	return jobs
}

// excluded reports whether one of the patterns matches a path and query: all of
// it, or its beginning for a pattern that ends in *.
func excluded(patterns []string, target string) bool {
	path, _, _ := strings.Cut(target, "?")
	for _, p := range patterns {
		if prefix, ok := strings.CutSuffix(p, "*"); ok && strings.HasPrefix(target, prefix) || p == target || p == path {
			return true
		}
	}
	return false
}

// queueLinks adds jobs to j's run, as many as the bound on its pages leaves room
// for.
func (in *Intake) queueLinks(ctx context.Context, j *store.Job, jobs []store.Job) error {
	if len(jobs) == 0 {
		return nil
	}
	if plan := in.named(j.Site); plan != nil && plan.Crawl.MaxPages > 0 {
		p, err := in.queue.Progress(ctx, j.Run)
		if err != nil {
			return err
		}
		if room := max(0, plan.Crawl.MaxPages-p.Total); room < len(jobs) {
			in.log.Warn("crawl has as many pages as it may: links are left out", "run", j.Run, "page", j.URL, "left_out", len(jobs)-room)
			if p.Sealed {
				// Sealed again it tells that, unless it has something to tell.
				why := fmt.Sprintf("the crawl has as many pages as it may, %d (crawl.max_pages): further links were left out", plan.Crawl.MaxPages)
				if err := in.queue.Seal(ctx, j.Run, why); err != nil {
					return err
				}
			}
			jobs = jobs[:room]
		}
	}
	return in.more(ctx, j.Run, jobs)
}

// more adds jobs to a run that is being worked at. One that was cancelled takes
// none, and that is no error.
func (in *Intake) more(ctx context.Context, run string, jobs []store.Job) error {
	for len(jobs) > 0 {
		n := min(len(jobs), batch)
		if _, _, err := in.queue.Add(ctx, run, jobs[:n]); err != nil && !errors.Is(err, store.ErrRunOver) {
			return err
		}
		jobs = jobs[n:]
	}
	return nil
}
