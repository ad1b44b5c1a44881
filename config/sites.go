package config

import (
	"fmt"
	"reflect"
	"strings"
)

// sites adds the sites of the file, each beginning with the defaults as file,
// environment and flags have left them.
func (l *loader) sites(v any) {
	list, ok := v.([]any)
	if !ok {
		l.wrongf("site", "want a list of tables, each begun with [[site]], not %s", found(v))
		return
	}
	for i, v := range list {
		path := element("site", i)
		doc, ok := v.(map[string]any)
		if !ok {
			l.wrongf(path, "want a table, not %s", found(v))
			continue
		}
		s := Site{Policy: l.cfg.Defaults}
		l.table(path, reflect.ValueOf(&s).Elem(), doc)
		l.keepOrDrop(path, &s.Policy)
		l.cfg.Sites = append(l.cfg.Sites, s)
	}
}

// keepOrDrop lets key.keep, where it was set at this level, take the place of
// an inherited key.drop, and the other way round.
func (l *loader) keepOrDrop(path string, p *Policy) {
	keep, drop := path+".key.keep", path+".key.drop"
	switch k := &p.Key; {
	case len(k.Keep) == 0 || len(k.Drop) == 0:
	case l.isSet(keep) && l.isSet(drop):
		l.wrongf(keep, "set either keep or drop (%s), not both", l.placeOf(drop))
	case l.isSet(drop):
		k.Keep = nil
	default:
		k.Drop = nil
	}
}

// origin takes the origins that a variable or a flag gives.
func (l *loader) origin(at place, urls []string) {
	k := key{value: reflect.ValueOf(&l.origins).Elem()}
	setText(k, strings.Join(urls, ","), func(_ int, err error) {
		l.problems = append(l.problems, &problem{at: at, path: "site[0].origins", err: err})
	})
	l.originsFrom = at
}

// giveOrigins gives the origins of a variable or a flag to the only site, which
// it makes where the file has none.
func (l *loader) giveOrigins() {
	if l.originsFrom.name == "" {
		return
	}
	switch len(l.cfg.Sites) {
	case 0:
		l.cfg.Sites = []Site{{Policy: l.cfg.Defaults}}
		fallthrough
	case 1:
		l.cfg.Sites[0].Origins = l.origins
		l.setAt("site[0].origins", l.originsFrom)
	default:
		l.problems = append(l.problems, &problem{at: l.originsFrom,
			err: fmt.Errorf("the file has %d sites, and this replaces the origins of one; set them there", len(l.cfg.Sites))})
	}
}
