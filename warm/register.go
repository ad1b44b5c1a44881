package warm

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"surrogate/store"
)

// A Registration is a list of URL templates for an entity, of one site.
type Registration struct {
	Site string   `json:"site"`
	URLs []string `json:"urls"`
}

// Entities keep what was registered at run time, by entity. All methods may be
// called at once from any goroutine.
type Entities interface {
	// Get returns the registration of an entity; nil if there is none.
	Get(ctx context.Context, entity string) (*Registration, error)
	// All returns all of them.
	All(ctx context.Context) (map[string]Registration, error)
	// Set replaces the registration of an entity; nil ends it.
	Set(ctx context.Context, entity string, r *Registration) error
}

// Bounds of what is registered.
const (
	MaxEntities  = 10_000
	maxTemplates = 1000 // of an entity
	maxEntity    = 256  // bytes of its name
)

// ErrEntities refuses a registration because there are as many as may be.
var ErrEntities = fmt.Errorf("there are %d entities already", MaxEntities)

// NewEntities returns Entities in this process's memory: they are gone when it
// ends.
func NewEntities() Entities { return &entities{all: map[string]Registration{}} }

type entities struct {
	mu  sync.Mutex // guards the field below
	all map[string]Registration
}

func (e *entities) Get(_ context.Context, entity string) (*Registration, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r, ok := e.all[entity]; ok {
		return &r, nil
	}
	return nil, nil
}

func (e *entities) All(context.Context) (map[string]Registration, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.all), nil
}

func (e *entities) Set(_ context.Context, entity string, r *Registration) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r == nil {
		delete(e.all, entity)
		return nil
	}
	if _, there := e.all[entity]; !there && len(e.all) >= MaxEntities {
		return ErrEntities
	}
	e.all[entity] = *r
	return nil
}

// Changed queues what is registered for the entities of changes that came
// together, as one run for each site, and returns remarks for whoever reported
// them: which URLs could not be made, and why. once names the changes, so that
// what is reported again is warmed once; empty for none.
func (in *Intake) Changed(ctx context.Context, changes []Change, once, by string) (notes []string, err error) {
	asks, notes := in.asksOf(ctx, changes)
	var errs []error
	for _, a := range asks {
		a.By = by
		if once != "" {
			a.ID = "event-" + once + "-" + a.Site
		}
		answer, err := in.Warm(ctx, a)
		if re, bad := errors.AsType[*RequestError](err); bad {
			notes = append(notes, "not warmed: "+re.Error())
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for i := range answer.First {
			notes = append(notes, "not warmed: "+answer.First[i].String())
		}
	}
	return notes, errors.Join(errs...)
}

// maxNotes is how many remarks whoever reported a change is given.
const maxNotes = 20

// asksOf is what changes come to, for each site.
func (in *Intake) asksOf(ctx context.Context, changes []Change) (asks []Ask, notes []string) {
	known := map[string][]Registration{}
	for i := range changes {
		c := &changes[i]
		registered, ok := known[c.Entity]
		if !ok && c.Entity != "" {
			var err error
			if registered, err = in.registered(ctx, c.Entity); err != nil {
				notes = append(notes, "what is registered for warming at run time could not be looked up: "+err.Error())
			}
			known[c.Entity] = registered
		}
		for _, r := range registered {
			urls, left := filled(r, c)
			notes = append(notes, left[:min(len(left), max(0, maxNotes-len(notes)))]...)
			if len(urls) == 0 {
				continue
			}
			at := slices.IndexFunc(asks, func(a Ask) bool { return a.Site == r.Site })
			if at < 0 {
				at = len(asks)
				asks = append(asks, Ask{Kind: "event", What: c.Entity + ":" + c.ID, Site: r.Site, Heat: 1})
			} else if what := c.Entity + ":" + c.ID; !strings.HasSuffix(asks[at].What, what) && len(asks[at].What) < 200 {
				asks[at].What += " " + what
			}
			asks[at].URLs = append(asks[at].URLs, urls...)
		}
	}
	return asks, notes
}

// registered returns what is registered for an entity: by the configuration of
// each site, and at run time.
func (in *Intake) registered(ctx context.Context, entity string) ([]Registration, error) {
	var all []Registration
	for _, s := range in.o.Sites() {
		if urls := s.Entities[entity]; len(urls) > 0 {
			all = append(all, Registration{s.Name, slices.Clone(urls)})
		}
	}
	r, err := in.o.Entities.Get(ctx, entity)
	if r != nil {
		if i := slices.IndexFunc(all, func(o Registration) bool { return o.Site == r.Site }); i >= 0 {
			all[i].URLs = append(all[i].URLs, r.URLs...)
		} else {
			all = append(all, *r)
		}
	}
	return all, err
}

// filled fills a registration's templates; notes say which could not be.
func filled(r Registration, c *Change) (urls, notes []string) {
	for _, text := range r.URLs {
		t, err := ParseTemplate(text)
		var made []string
		if err == nil {
			made, err = t.Fill(c)
		}
		if err != nil {
			notes = append(notes, fmt.Sprintf("nothing to warm from %q: %v", text, err))
		}
		urls = append(urls, made...)
	}
	return urls, notes
}

// ChangeOf is the change that a purge of a tag stands for: "product:123" is
// product 123. ok is false for what names no entity.
func ChangeOf(name store.Name) (c Change, ok bool) {
	entity, id, ok := strings.Cut(name.String(), ":")
	if !ok || entity == "" || id == "" || strings.ContainsAny(entity, " /") {
		return Change{}, false
	}
	return Change{Type: "purged", Entity: entity, ID: id}, true
}

// checkEntity and checkRegistration find what is wrong with a registration.
func checkEntity(entity string) error {
	if entity == "" || len(entity) > maxEntity || plainText(entity) != nil || strings.ContainsAny(entity, "/:,") {
		return fmt.Errorf("want 1 to %d bytes without white space, slash, colon or comma", maxEntity)
	}
	return nil
}

func (in *Intake) checkRegistration(r *Registration, ps *problems) {
	sites := in.o.Sites()
	if r.Site == "" && len(sites) == 1 {
		r.Site = sites[0].Name
	}
	if in.named(r.Site) == nil {
		ps.add("#/site", fmt.Sprintf("there is no site %q", excerpt(r.Site, 100)), in.siteNames())
	}
	if n := len(r.URLs); n == 0 || n > maxTemplates {
		ps.add("#/urls", fmt.Sprintf("%d templates", n), fmt.Sprintf("1 to %d", maxTemplates))
	}
	for i, u := range r.URLs[:min(len(r.URLs), maxTemplates)] {
		if _, err := ParseTemplate(u); err != nil {
			ps.add(at("urls", i), fmt.Sprintf("%q: %v", excerpt(u, 200), err), "a path or URL with {id}, {entity}, {type}, {data.…}")
		}
	}
}
