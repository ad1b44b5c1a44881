package warm

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"surrogate/store"
)

// IntakeOptions are what an Intake works with. Entities, Fetch, Asked, Waits,
// Stopping and Log may be left out.
type IntakeOptions struct {
	Queue store.Queue // what it is all put into

	// Site returns the site that serves a host, which is as in a key, nil where
	// none does; Sites all of them. The configuration may change between calls.
	Site  func(host string) *SitePlan
	Sites func() []*SitePlan

	// Fetch asks the proxy in this process for a URL, as a client would, and
	// follows no redirect. It is used for what a redirect leads to, and where a
	// response came in a coding that this package cannot undo.
	Fetch func(ctx context.Context, url string, h http.Header) (*http.Response, error)

	// Entities keeps what was registered by entity at run time; in this process's
	// memory if nil.
	Entities Entities

	// Asked is how hot each scheme and host is that visitors ask a site for, such as
	// "https://shop.example". May be nil.
	Asked func(site string) map[string]float64

	// Waits tells what keeps sites from being warmed now, over all nodes. May be
	// nil.
	Waits func(ctx context.Context) map[string]SiteWait

	// Stopping says that whoever waits here is to wait no longer. May be nil.
	Stopping func() bool

	Log *slog.Logger
}

// A SitePlan is what a site's configuration says about what is to be warmed.
type SitePlan struct {
	Name string
	Key  store.KeyRules
	// Base is the scheme and host that its paths are completed with. Where it is
	// empty those are used that visitors ask for, or Guess, which may be empty too:
	// then paths cannot be completed.
	Base, Guess string
	// Scheme is what all its URLs are warmed with, however they are written; empty
	// to leave them as they are.
	Scheme string

	Lists    []string            // files with a URL or a path in each line
	Sitemaps []string            // URLs or paths; "/" for those that robots.txt names
	Entities map[string][]string // URL templates by entity
	Crawl    CrawlPlan
	OnStart  bool       // warm lists, sitemaps and crawl when the node starts
	Schedule []Schedule // and at these times
}

// A CrawlPlan says where crawling begins and what it leaves out.
type CrawlPlan struct {
	From     []string // URLs or paths
	Depth    int      // how many links away from those
	MaxPages int      // of one run; beyond, no more links are followed
	Assets   bool     // style sheets, scripts, images and fonts of pages too
	Exclude  []string // patterns of paths that are not followed; a trailing * matches any rest
}

// An Intake turns what somebody asks to have warmed into runs and jobs of a
// queue: lists, sitemaps, crawls, and what was registered for an entity. It
// starts nothing by itself; see RunSchedules. Its methods may be called from any
// goroutine.
//
// Sitemaps and pages to be crawled are jobs too, told by Job.Depth, so that in a
// fleet reading them is shared, and taken over when the node that was at it
// dies. Whoever does the jobs hands the responses to Follow.
type Intake struct {
	o     IntakeOptions
	queue store.Queue
	log   *slog.Logger

	mu       sync.Mutex        // guards the field below
	unsealed map[string]string // why by run: those that are to be sealed yet
}

// NewIntake returns an Intake.
func NewIntake(o IntakeOptions) *Intake {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Entities == nil {
		o.Entities = NewEntities()
	}
	return &Intake{o: o, queue: o.Queue, log: o.Log, unsealed: map[string]string{}}
}

// An Ask is what somebody wants warmed, in any of its forms together.
type Ask struct {
	ID   string // of the run: asked again, nothing is queued; empty for a new one
	Kind string // as in store.Run; empty to have it told by what is asked
	What string // as in store.Run; likewise
	By   string // who asks, for the log
	Site string // the name of the site that paths belong to, and URLs must; empty for any, and for URLs alone unless there is one site only

	Base string // the scheme and host that paths are completed with; empty for those of the site

	List     io.Reader // a URL or path in each line
	URLs     []string
	Sitemaps []string // URLs or paths; the root of a site stands for what its robots.txt names
	Crawl    []string // URLs or paths of pages whose links are followed
	Depth    int      // how many links away from those

	Patient bool // where the queue is full of this run's own URLs, wait for room instead of dropping more of them

	Force bool    // fetch even what is stored and fresh
	Heat  float64 // of its URLs; see Job.Heat
}

// An Answer is what became of an Ask.
type Answer struct {
	ID      string
	Created bool // false: a run with this ID was there already, and nothing was queued
	Differs bool // and that run was asked for something else, as its first 500 URLs show
	Added   int  // jobs queued
	Dropped int  // jobs that the queue had no room for
	Rejections
}

const (
	batch    = 500 // jobs queued at once
	maxDepth = 100 // of a crawl
)

// Warm queues what is asked. It returns a *RequestError, and has queued nothing,
// if something about a is wrong as a whole, or all that it names is. Single
// URLs that are wrong are left out, and told in the Answer and among the run's
// failures. An error of the queue, or of reading the list, leaves what was queued
// before it queued, and the Answer tells what that is.
func (in *Intake) Warm(ctx context.Context, a Ask) (Answer, error) {
	var ps problems
	home := in.check(&a, &ps)
	if err := ps.err(); err != nil {
		return Answer{}, err
	}
	ad := adder{in: in, patient: a.Patient, run: store.Run{ID: a.ID, Kind: a.kind(), What: a.what(), By: a.By, At: time.Now()}}
	err := in.addAll(ctx, &a, home, &ad)
	if err == nil && !ad.begun && len(ad.jobs) == 0 {
		return ad.answer, ad.answer.refused()
	}
	if err == nil {
		err = ad.flush(ctx, ad.patient)
	}
	return ad.answer, ad.end(ctx, err)
}

// check finds what is wrong with a as a whole.
func (in *Intake) check(a *Ask, ps *problems) *home {
	var site *SitePlan
	if a.Site != "" {
		if site = in.named(a.Site); site == nil {
			ps.add("#/site", fmt.Sprintf("there is no site %q", excerpt(a.Site, 100)), in.siteNames())
			return nil
		}
	} else if all := in.o.Sites(); len(all) == 1 {
		site = all[0] // there is no doubt whose a path is
	}
	if a.Base != "" {
		site = in.checkBase(a, ps)
	}
	if a.Depth < 0 || a.Depth > maxDepth {
		ps.add("#/crawl/depth", "not a number of links", fmt.Sprintf("a whole number from 0 to %d", maxDepth))
	}
	if a.List == nil && len(a.URLs)+len(a.Sitemaps)+len(a.Crawl) == 0 {
		ps.add("", "it names nothing to warm", "urls, sitemap or crawl")
	}
	if site == nil {
		return nil
	}
	return in.homeOf(site, a.Base)
}

func (in *Intake) named(name string) *SitePlan {
	for _, s := range in.o.Sites() {
		if s.Name == name {
			return s
		}
	}
	return nil
}

func (in *Intake) siteNames() string {
	var names []string
	for _, s := range in.o.Sites() {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}

// addAll queues all that a names, its sitemaps first: they tell how much there
// is.
func (in *Intake) addAll(ctx context.Context, a *Ask, home *home, ad *adder) error {
	add := func(pointer, raw string, prepare func(j *store.Job)) error {
		j, err := in.target(strings.TrimSpace(raw), home, a.Site)
		if err != nil {
			ad.answer.add(Rejection{Pointer: pointer, Detail: err.Error(), Excerpt: raw})
			return nil
		}
		j.Force, j.Heat = a.Force, a.Heat
		if prepare != nil {
			prepare(&j)
		}
		return ad.add(ctx, j)
	}
	for i, s := range a.Sitemaps {
		if err := add(at("sitemap", i), s, asSitemap); err != nil {
			return err
		}
	}
	for i, s := range a.Crawl {
		if err := add(at("crawl/from", i), s, func(j *store.Job) { asPage(j, a.Depth) }); err != nil {
			return err
		}
	}
	for i, s := range a.URLs {
		if err := add(at("urls", i), s, nil); err != nil {
			return err
		}
	}
	if a.List == nil {
		return nil
	}
	for l, err := range linesOf(a.List) {
		if err != nil {
			return &brokenList{l.number, err}
		}
		var j store.Job
		if err = l.err; err == nil {
			j, err = in.target(l.text, home, a.Site)
		}
		if err != nil {
			ad.answer.add(Rejection{Line: l.number, Detail: err.Error(), Excerpt: l.text})
			continue
		}
		j.Force, j.Heat = a.Force, a.Heat
		if err := ad.add(ctx, j); err != nil {
			return err
		}
	}
	return nil
}

// kind is store.Run.Kind of an Ask that does not say.
func (a *Ask) kind() string {
	lists := a.List != nil || len(a.URLs) > 0
	switch {
	case a.Kind != "":
		return a.Kind
	case !lists && len(a.Crawl) == 0:
		return "sitemap"
	case !lists && len(a.Sitemaps) == 0:
		return "crawl"
	}
	return "list"
}

// what is store.Run.What of an Ask that does not say.
func (a *Ask) what() string {
	if a.What != "" {
		return excerpt(a.What, 1024)
	}
	var parts []string
	if n := len(a.URLs); n == 1 {
		parts = append(parts, a.URLs[0])
	} else if n > 1 {
		parts = append(parts, fmt.Sprintf("%d URLs", n))
	}
	if a.List != nil {
		parts = append(parts, "a list")
	}
	parts = append(parts, a.Sitemaps...)
	for _, c := range a.Crawl {
		links := fmt.Sprintf("%d links", a.Depth)
		if a.Depth == 1 {
			links = "1 link"
		}
		parts = append(parts, c+" and "+links+" further")
	}
	return excerpt(strings.Join(parts, ", "), 1024)
}

// refused is the error for an Ask of which nothing was understood.
func (a *Answer) refused() error {
	var ps problems
	for _, r := range a.First {
		where := r.Pointer
		if r.Line > 0 {
			where = fmt.Sprintf("line %d", r.Line)
		}
		ps.add(where, fmt.Sprintf("%q: %s", r.Excerpt, r.Detail), "")
	}
	if ps.more += a.Count - len(a.First); a.Count == 0 {
		ps.add("", "the list is empty", "a URL in each line")
	}
	return ps.err()
}

// A brokenList is a list that did not come to its end.
type brokenList struct {
	line int
	err  error
}

func (e *brokenList) Error() string {
	return fmt.Sprintf("the list broke off in line %d: %v", e.line, e.err)
}
func (e *brokenList) Unwrap() error { return e.err }
