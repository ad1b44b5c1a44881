package purge

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"surrogate/store"
)

// A Change is something that happened to the data behind the pages.
type Change struct {
	Type   string         // what happened, such as "updated"; may be empty
	Entity string         // the kind of thing: "product"
	ID     string         // which one: "123"
	Tags   []string       // tags that fall, whatever the rules say
	Data   map[string]any // the rest, for templates
	Once   string         // identifies this change: a repetition purges nothing; empty for none
	By     string         // who says so, for the log
}

// A ChangeRule maps changes to tags. All rules that match a change apply
// together; the purge is soft only if all of them are.
type ChangeRule struct {
	Type   string // pattern of Change.Type as in path.Match; empty matches all
	Entity string // pattern of Change.Entity; empty matches all that have one
	// Tags are templates: {type}, {entity}, {id} and {data.some.member} are
	// replaced. A list gives a tag for each element. A template that needs what
	// a change does not have gives none, and the receipt notes it.
	Tags []string
	Soft bool
}

// Check reports what is wrong with a rule.
func (r *ChangeRule) Check() error {
	for _, pattern := range []string{r.Type, r.Entity} {
		if _, err := path.Match(pattern, ""); err != nil {
			return fmt.Errorf("pattern %q: %w", pattern, err)
		}
	}
	for _, t := range r.Tags {
		for rest := t; ; {
			_, after, found := strings.Cut(rest, "{")
			if !found {
				break
			}
			name, tail, closed := strings.Cut(after, "}")
			if !closed || name != "type" && name != "entity" && name != "id" && (len(name) < 6 || !strings.HasPrefix(name, "data.")) {
				return fmt.Errorf("template %q: {%s} is none of {type}, {entity}, {id}, {data.…}", t, name)
			}
			rest = tail
		}
	}
	return nil
}

func (r *ChangeRule) matches(c *Change) bool {
	match := func(pattern, s string) bool {
		ok, err := path.Match(pattern, s)
		return pattern == "" || err == nil && ok
	}
	return (r.Entity != "" || c.Entity != "") && match(r.Type, c.Type) && match(r.Entity, c.Entity)
}

// Change purges what a change of data takes with it: the tags it names itself
// and those that Options.Changes map it to. By default a change of "product"
// "123" falls on "product:123". A change that comes to nothing is no error; its
// receipt has a note.
func (p *Purger) Change(ctx context.Context, c Change) (Receipt, error) {
	p.counts.events.Inc()
	r, err := p.change(ctx, c)
	if err == nil && p.o.Changed != nil {
		r.Notes = append(slices.Clip(r.Notes), p.o.Changed(ctx, &c, &r)...)
	}
	return r, err
}

func (p *Purger) change(ctx context.Context, c Change) (Receipt, error) {
	tags, soft, notes, err := p.tagsOf(&c)
	if err != nil {
		p.counts.failed(err)
		return Receipt{}, err
	}
	if len(tags) == 0 {
		p.log.Info("change without effect", "type", c.Type, "entity", c.Entity, "id", c.ID, "by", c.By, "notes", notes)
		return Receipt{State: Swept, Mode: modeOf(soft), Asked: []string{}, Expanded: []string{}, Nodes: map[string]store.Seq{},
			Exact: true, Complete: true, Via: ByEvent, By: c.By, Notes: append(notes, "the change names no tag: nothing was purged")}, nil
	}
	names := make([]store.Name, len(tags))
	for i, t := range tags {
		names[i] = store.Name(t)
	}
	return p.raise(ctx, job{names: unique(names), asked: tags, soft: soft, id: c.Once, sameByID: true, by: c.By, via: ByEvent, notes: notes,
		own: store.Name(c.Entity + ":" + c.ID)})
}

// tagsOf applies the rules. A tag that is none is an error, not left out.
func (p *Purger) tagsOf(c *Change) (tags []string, soft bool, notes []string, err error) {
	var ps problems
	for i, t := range c.Tags {
		if err := checkTag(t); err != nil {
			ps.add(at("tags", i), err.Error(), hintTags)
		}
	}
	tags = append(tags, c.Tags...)
	matched := 0
	soft = true
	for i := range p.o.Changes {
		r := &p.o.Changes[i]
		if !r.matches(c) {
			continue
		}
		matched++
		soft = soft && r.Soft
		for _, template := range r.Tags {
			ts, missing := fill(template, c)
			if missing != "" {
				notes = append(notes, fmt.Sprintf("no tag from %q: the change has no %s", template, missing))
			}
			for _, t := range ts {
				if err := checkTag(t); err != nil {
					ps.add("", fmt.Sprintf("template %q: %v", template, err), hintTags)
				}
			}
			tags = append(tags, ts...)
		}
	}
	return tags, soft && matched > 0, notes, ps.err()
}

// fill puts a change's values into a template; several when a value is a list.
func fill(template string, c *Change) (tags []string, missing string) {
	before, after, found := strings.Cut(template, "{")
	if !found {
		return []string{template}, ""
	}
	name, tail, _ := strings.Cut(after, "}")
	values := c.values(name)
	if len(values) == 0 {
		return nil, name
	}
	tails, missing := fill(tail, c)
	for _, v := range values {
		for _, t := range tails {
			tags = append(tags, before+v+t)
		}
	}
	return tags, missing
}

// values returns what a placeholder stands for.
func (c *Change) values(name string) []string {
	switch name {
	case "type":
		return present(c.Type)
	case "entity":
		return present(c.Entity)
	case "id":
		return present(c.ID)
	}
	var v any = c.Data
	for member := range strings.SplitSeq(strings.TrimPrefix(name, "data."), ".") {
		m, _ := v.(map[string]any)
		v = m[member]
	}
	if list, ok := v.([]any); ok {
		var out []string
		for _, el := range list {
			out = append(out, present(text(el))...)
		}
		return out
	}
	return present(text(v))
}

func present(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// text is a scalar as people write it; "" for what is none.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number, bool, int, int64:
		return fmt.Sprint(v)
	case float64:
		b, _ := json.Marshal(v) // 42, not 4.2e+01
		return string(b)
	}
	return ""
}
