package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"surrogate/config"
	"surrogate/purge"
	"surrogate/store"
	"surrogate/store/redisstore"
	"surrogate/warm"
)

// newQueue makes the queue of what is to be warmed: this process's own or, over
// a fleet, one for all.
func (n *node) newQueue(cfg *config.Config) (store.Queue, error) {
	w := &cfg.Warm
	if n.redis == nil {
		return warm.NewMemQueue(warm.MemQueueOptions{MaxJobs: w.Queue, MaxBytes: int64(w.QueueMemory), MaxURLs: w.MaxURLs, Lease: time.Duration(w.Lease)}), nil
	}
	q, err := n.redis.Queue(redisstore.QueueOptions{MaxJobs: w.Queue, MaxBytes: int64(w.QueueMemory), MaxURLs: w.MaxURLs, Lease: time.Duration(w.Lease)})
	if err != nil {
		return nil, fmt.Errorf("couldn't set the queue up: %w", err)
	}
	return q, nil
}

// tellQueued says what ends with the program: a queue is kept in Redis alone.
func (n *node) tellQueued() {
	if n.redis != nil {
		return
	}
	if s, err := n.queue.Stats(context.Background()); err == nil && s.Queued+s.Taken > 0 {
		n.log.Warn("what was queued to be warmed is not kept without Redis", "urls", s.Queued+s.Taken)
	}
}

// newIntake makes what takes in lists, sitemaps and crawls.
func (n *node) newIntake() *warm.Intake {
	o := warm.IntakeOptions{
		Queue: n.queue,
		Site: func(host string) *warm.SitePlan {
			if s := n.proxy.Site(host); s != nil {
				return n.sitePlans().byName[s.Name]
			}
			return nil
		},
		Sites: func() []*warm.SitePlan { return n.sitePlans().all },
		Fetch: func(ctx context.Context, url string, h http.Header) (*http.Response, error) {
			return inside(ctx, n.proxy, url, h)
		},
		Asked: n.askedOf, Waits: n.waits, Stopping: n.draining.Load,
		Log: n.log,
	}
	if n.redis != nil {
		o.Entities = fleetEntities{n.redis}
	}
	return warm.NewIntake(o)
}

// sitePlans are what the sites of a configuration say about warming.
type sitePlans struct {
	of     *config.Config
	all    []*warm.SitePlan
	byName map[string]*warm.SitePlan
}

// plansInForce is kept because it is asked for with every URL.
type plansInForce struct{ atomic.Pointer[sitePlans] }

func (n *node) sitePlans() *sitePlans {
	cfg := n.settings.Load()
	if p := n.plans.Load(); p != nil && p.of == cfg {
		return p
	}
	p := &sitePlans{of: cfg, byName: map[string]*warm.SitePlan{}}
	for i := range cfg.Sites {
		s := sitePlanOf(cfg, &cfg.Sites[i])
		p.all = append(p.all, s)
		p.byName[s.Name] = s
	}
	n.plans.Store(p)
	return p
}

func sitePlanOf(cfg *config.Config, s *config.Site) *warm.SitePlan {
	w := &s.Warm
	p := &warm.SitePlan{
		Name: s.Name, Key: siteOf(cfg, s).Key, Base: w.Base,
		Lists: w.Lists, Sitemaps: w.Sitemaps, Entities: w.Entities, OnStart: w.OnStart,
		Crawl: warm.CrawlPlan{From: w.Crawl.From, Depth: w.Crawl.Depth, MaxPages: w.Crawl.MaxPages, Assets: w.Crawl.Assets, Exclude: w.Crawl.Exclude},
	}
	p.Scheme, _, _ = strings.Cut(w.Base, "://")
	for _, h := range s.Hosts {
		if p.Guess == "" && !strings.HasPrefix(h, "*") {
			p.Guess = "http://" + h
			if s.RedirectHTTPS {
				p.Guess = "https://" + h
			}
		}
	}
	for _, text := range w.Schedule {
		if at, err := config.ParseSchedule(text); err == nil { // config accepts no other
			p.Schedule = append(p.Schedule, warm.Schedule{Every: time.Duration(at.Every), Days: at.Days, At: time.Duration(at.At)})
		}
	}
	return p
}

// fleetEntities are what was registered by entity, in Redis.
type fleetEntities struct{ redis *redisstore.Store }

func (f fleetEntities) Get(ctx context.Context, entity string) (*warm.Registration, error) {
	says, err := f.redis.Entity(ctx, entity)
	if err != nil || says == nil {
		return nil, err
	}
	var r warm.Registration
	if err := json.Unmarshal(says, &r); err != nil {
		return nil, fmt.Errorf("what is registered for %q cannot be read: %w", entity, err)
	}
	return &r, nil
}

func (f fleetEntities) All(ctx context.Context) (map[string]warm.Registration, error) {
	all, err := f.redis.Entities(ctx)
	out := make(map[string]warm.Registration, len(all))
	for entity, says := range all {
		var r warm.Registration
		if json.Unmarshal([]byte(says), &r) == nil {
			out[entity] = r
		}
	}
	return out, err
}

func (f fleetEntities) Set(ctx context.Context, entity string, r *warm.Registration) error {
	if r == nil {
		return f.redis.SetEntity(ctx, entity, nil)
	}
	all, err := f.redis.Entities(ctx)
	if err != nil {
		return err
	}
	if _, there := all[entity]; !there && len(all) >= warm.MaxEntities {
		return warm.ErrEntities
	}
	says, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return f.redis.SetEntity(ctx, entity, says)
}

// changed queues what is registered for the entity of a change that was
// reported, for whoever reported it to be told what of that could not be done.
func (n *node) changed(ctx context.Context, c *purge.Change, r *purge.Receipt) []string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	notes, err := n.intake.Changed(ctx, []warm.Change{{Type: c.Type, Entity: c.Entity, ID: c.ID, Data: c.Data}}, r.ID, c.By)
	if err != nil {
		n.log.Error("could not warm what is registered for a change", "entity", c.Entity, "id", c.ID, "error", err)
		notes = append(notes, "what is registered for warming could not be queued: "+err.Error())
	}
	return notes
}

// maxPurged is how many purges wait for what is registered for their tags to be
// queued; beyond, that is left out.
const maxPurged = 1000

// purged notes the tags of a purge, for warmPurged; it must not hold up the
// purge.
func (n *node) purged(names []store.Name, r *purge.Receipt) {
	var changes []warm.Change
	for _, name := range names {
		if c, ok := warm.ChangeOf(name); ok {
			changes = append(changes, c)
		}
	}
	if len(changes) == 0 {
		return
	}
	select {
	case n.fellTags <- fellTags{changes, r.ID, r.By}:
	default:
		n.log.Warn("too many purges at once: what is registered for warming by entity is left out", "purge", r.ID, "tags", len(changes))
	}
}

// fellTags are the tags of a purge that may name entities.
type fellTags struct {
	changes []warm.Change
	id, by  string
}

// warmPurged queues what is registered for the entities whose tags were purged,
// until ctx ends.
func (n *node) warmPurged(ctx context.Context) {
	for {
		select {
		case f := <-n.fellTags:
			if _, err := n.intake.Changed(ctx, f.changes, "purge-"+f.id, f.by); err != nil && ctx.Err() == nil {
				n.log.Error("could not warm what is registered for purged tags", "purge", f.id, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// sitesWarm is the limits of each site's warming. Its connections are its own, so
// that no visitor waits for one; but together they are to be no more than those
// that the origins may have.
func sitesWarm(cfg *config.Config) map[string]warm.Limits {
	out := make(map[string]warm.Limits, len(cfg.Sites))
	for i := range cfg.Sites {
		w := &cfg.Sites[i].Warm
		l := warm.Limits{Concurrency: w.Concurrency, Rate: w.Rate, Busy: w.Busy, Timeout: time.Duration(w.Timeout)}
		if most := cfg.Sites[i].Fill.MaxConns * len(cfg.Sites[i].Origins); most > 0 {
			l.Concurrency, l.Busy = min(l.Concurrency, most), min(l.Busy, most)
		}
		out[cfg.Sites[i].Name] = l
	}
	return out
}
