package warm

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"
)

// A Schedule says when something is warmed again: every so often, or on some
// days at a time. All nodes of a fleet come to the same moments: periods are
// counted from the beginning of 1970, and times of day are UTC.
type Schedule struct {
	Every time.Duration // above 0: every so often, and the rest does not count
	Days  [7]bool       // from Sunday
	At    time.Duration // after midnight
}

// Next is the first moment after t.
func (s *Schedule) Next(t time.Time) time.Time {
	t = t.UTC()
	if s.Every > 0 {
		return time.Unix(0, 0).UTC().Add(t.Sub(time.Unix(0, 0)).Truncate(s.Every) + s.Every)
	}
	midnight := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
	for day := range 8 {
		at := midnight.AddDate(0, 0, day).Add(s.At)
		if s.Days[at.Weekday()] && at.After(t) {
			return at
		}
	}
	return time.Time{} // on no day
}

// startsTogether is how far apart nodes may start that warm what is to be warmed
// on start once between them.
const startsTogether = time.Minute

// RunSchedules warms what sites have configured: once now for those that want
// it on start, and then by their schedules, until ctx ends. Each time has a run
// of its own, named after the site and the moment, so of a fleet's nodes the
// first that comes to it begins it and the others find it there. Meanwhile it
// seals the runs that the queue could not be told of.
func (in *Intake) RunSchedules(ctx context.Context) error {
	var all sync.WaitGroup
	defer all.Wait()
	now := time.Now().Round(0) // as the wall clock has it
	for _, s := range in.o.Sites() {
		if s.OnStart {
			moment := now.Truncate(startsTogether)
			all.Go(func() { in.planned(ctx, s, "start", moment) })
		}
	}
	for {
		at, due := in.nextOf(now)
		if !sleepUntil(ctx, at) {
			return nil
		}
		in.sealLeft(ctx)
		if late := time.Since(at); late > time.Hour {
			at, due = time.Now(), false // the machine slept: what it slept through is not made up for
		}
		for _, s := range in.o.Sites() {
			if due && slices.ContainsFunc(s.Schedule, func(p Schedule) bool { return p.Next(now).Equal(at) }) {
				all.Go(func() { in.planned(ctx, s, "schedule", at) })
			}
		}
		now = at
	}
}

// lookAgain is how often the configuration is looked at, which may have changed.
const lookAgain = time.Minute

// nextOf is when to look next: at the next moment of any site's schedule, which
// is due then, or soon.
func (in *Intake) nextOf(now time.Time) (at time.Time, due bool) {
	at = now.Add(lookAgain)
	for _, s := range in.o.Sites() {
		for i := range s.Schedule {
			if next := s.Schedule[i].Next(now); !next.IsZero() && !next.After(at) {
				at, due = next, true
			}
		}
	}
	return at, due
}

// sleepUntil waits until a moment and reports false if ctx ended.
func sleepUntil(ctx context.Context, at time.Time) bool {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// planned warms what a site has configured: each list, and its sitemaps and
// crawls together.
func (in *Intake) planned(ctx context.Context, s *SitePlan, kind string, at time.Time) {
	id := fmt.Sprintf("%s-%s-%s", kind, s.Name, at.UTC().Format("20060102T150405"))
	warm := func(a Ask) {
		a.Kind, a.By, a.Site, a.Patient = kind, "the configuration", s.Name, true
		if _, err := in.Warm(ctx, a); err != nil && ctx.Err() == nil {
			in.log.Error("could not warm as configured", "run", a.ID, "what", a.what(), "error", err)
		}
	}
	for i, file := range s.Lists {
		f, err := os.Open(file)
		if err != nil {
			in.log.Error("could not read a list", "site", s.Name, "error", err)
			continue
		}
		warm(Ask{ID: fmt.Sprintf("%s-list%d", id, i+1), What: file, List: f})
		f.Close()
	}
	if len(s.Sitemaps)+len(s.Crawl.From) > 0 {
		warm(Ask{ID: id, Sitemaps: s.Sitemaps, Crawl: s.Crawl.From, Depth: s.Crawl.Depth})
	}
}
