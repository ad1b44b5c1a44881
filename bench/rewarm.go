package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

const (
	rushConcurrency = 8    // fetches for warming at once, as configured
	rushPages       = 100  // that are fetched again where nothing is configured
	rushHottest     = 100  // pages that are looked for
	rushArms        = 3    // for each kind of origin: nothing is fetched again, rushPages, or all
	rushRounds      = 3    // at most: each takes twenty seconds
	rushFill        = 1000 // pages a second that are stored beforehand
)

// A rushSize is what is purged, and who comes.
type rushSize struct {
	products  int           // of which one in inCategory is purged
	visited   int           // how often, before
	perSecond int           // visitors
	quiet     time.Duration // while they come before the purge
	after     time.Duration // while they are counted after it
}

// A rush is what visitors saw in the time after purges, and the origin, all rounds
// together, where it has so many workers and so much is fetched again.
type rush struct {
	workers int // 0 for no bound
	rewarm  int // pages

	came, waited           int             // visitors for products, and those of them who waited for the origin
	cameLater, waitedLater int             // the same after the first second
	own                    []time.Duration // what those waited for whom the origin was asked
	most                   int             // fetches for warming under way at once
	mostBack, allBack      []float64       // seconds until nine tenths of the hottest pages were back, or all, by round
}

func (r *rush) share() float64 { return 100 * float64(r.waited) / float64(max(1, r.came)) }

func (r *rush) shareLater() float64 {
	return 100 * float64(r.waitedLater) / float64(max(1, r.cameLater))
}

// take counts the visits of a round that were due after its purge.
func (r *rush) take(visits []visit, purged time.Time) error {
	for _, v := range visits {
		if v.due.Before(purged) {
			continue
		}
		if v.own() {
			if v.took < slowness {
				return fmt.Errorf("the origin takes %v, and was asked for an answer that came after %v", slowness, v.took)
			}
			r.own = append(r.own, v.took)
		}
		if v.anew {
			continue // nothing that is done after a purge helps him
		}
		later := v.due.Sub(purged) >= time.Second
		r.came++
		if later {
			r.cameLater++
		}
		if v.waits() {
			r.waited++
			if later {
				r.waitedLater++
			}
		}
	}
	return nil
}

// look takes in what a shop has counted since a purge.
func (r *rush) look(c shopCount, hottest []string) error {
	if warmed := c.Warming.Asked > 0; warmed != (r.rewarm > 0) {
		return fmt.Errorf("%d pages were fetched again; as configured, %d at most", c.Warming.Asked, r.rewarm)
	}
	r.most = max(r.most, c.Warming.Most)
	var back []float64
	for _, path := range hottest {
		at, is := c.Back[path]
		if !is {
			at = math.Inf(1)
		}
		back = append(back, at)
	}
	slices.Sort(back)
	r.mostBack = append(r.mostBack, back[(len(back)*9+9)/10-1])
	r.allBack = append(r.allBack, back[len(back)-1])
	return nil
}

// rewarming purges a category under a steady load of visitors, and counts those who
// wait for the origin then, with rewarming and without. All of that happens side by
// side, each with an origin and a surrogate of its own: what is measured is hundreds
// of milliseconds on cores that have little to do, and what disturbs one disturbs
// the others. Each round begins with programs that know nothing, and other visitors.
func (b *bench) rewarming(ctx context.Context) error {
	var rushes []*rush
	for _, workers := range []int{0, rushConcurrency} {
		for _, pages := range []int{0, rushPages, b.o.rush.products / inCategory} {
			rushes = append(rushes, &rush{workers: workers, rewarm: pages})
		}
	}
	rounds := min(b.o.rounds, rushRounds)
	for round := range rounds {
		b.say("round %d of %d: %d surrogates with an origin each", round+1, rounds, len(rushes))
		if err := b.rushRound(ctx, uint64(round), rushes); err != nil {
			return err
		}
	}
	b.rushes = rushes
	return nil
}

func (b *bench) rushRound(ctx context.Context, seed uint64, rushes []*rush) error {
	size := b.o.rush
	c := crowdOf(seed, size.products)
	before := c.asksFor(size.visited, false)
	coming := c.asksFor(int((size.quiet+size.after).Seconds()*float64(size.perSecond)), true)
	var started []*process
	var all []func() error
	for _, r := range rushes {
		shop, source, err := b.startPart(ctx, shopRole)
		if err != nil {
			return err
		}
		s, err := b.setting(surrogateName, shop, cacheMegabytes/8)
		if err != nil {
			return err
		}
		s.Rewarm, s.Concurrency = r.rewarm, rushConcurrency
		x, err := b.launchAs(ctx, surrogateName, s, b.both)
		if err != nil {
			return err
		}
		started = append(started, x.process, source)
		all = append(all, func() error { return b.rushOf(ctx, r, x, shop, c.hottest(rushHottest), before, coming) })
	}
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, one := range all {
		wg.Go(func() { errs[i] = one() })
	}
	wg.Wait()
	return errors.Join(errors.Join(errs...), b.end(started...))
}

// rushOf fills a cache and has it visited, so that what is hot is known, as well as
// how long the origin takes; and purges the category while visitors come.
func (b *bench) rushOf(ctx context.Context, r *rush, x *server, shop string, hottest, before, coming []string) error {
	size := b.o.rush
	products := make([]string, size.products)
	for i := range products {
		products[i] = productPath(i)
	}
	if _, err := come(ctx, x.addr, rushFill, products); err != nil {
		return err
	}
	if err := fill(ctx, x.addr, len(before), func(i int) string { return before[i] }); err != nil {
		return err
	}
	if err := countAnew(shop, r.workers); err != nil {
		return err
	}
	var purged time.Time
	var purgeErr error
	var wg sync.WaitGroup
	wg.Go(func() {
		if purgeErr = sleep(ctx, size.quiet); purgeErr == nil {
			purgeErr = countAnew(shop, r.workers)
		}
		if purgeErr == nil {
			purged, purgeErr = purgeCategory(x, size.products/inCategory)
		}
	})
	visits, err := come(ctx, x.addr, size.perSecond, coming)
	wg.Wait()
	if err = errors.Join(err, purgeErr); err != nil {
		return err
	}
	count, err := countOf(shop)
	if err != nil {
		return err
	}
	return errors.Join(r.take(visits, purged), r.look(count, hottest))
}

// purgeCategory purges it, so many pages, and says when that was in force.
func purgeCategory(x *server, pages int) (time.Time, error) {
	c, err := dial(x.addr)
	if err != nil {
		return time.Time{}, err
	}
	defer c.Close()
	a, err := c.do(x.purge(category))
	if want := fmt.Appendf(nil, `"invalidated":%d,`, pages); err == nil && !bytes.Contains(a.body, want) {
		err = fmt.Errorf("a purge of %d pages is answered %d, %s", pages, a.status, a.body)
	}
	return time.Now(), err
}

// meanOf is the mean of times, in ms.
func meanOf(took []time.Duration) float64 {
	var sum time.Duration
	for _, d := range took {
		sum += d
	}
	return float64(sum.Nanoseconds()) / 1e6 / float64(max(1, len(took)))
}
