package config

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// table sets what doc has for the table v at path.
func (l *loader) table(path string, v reflect.Value, doc map[string]any) {
	ks := fields(path, v)
	for _, name := range slices.Sorted(maps.Keys(doc)) {
		i := slices.IndexFunc(ks, func(k key) bool { return k.name() == name })
		if i < 0 {
			l.unknown(path, name, namesOf(ks))
			continue
		}
		k := ks[i]
		switch t := k.value.Type(); {
		case isLists(t):
			l.lists(k, doc[name])
		case !isTable(t):
			l.value(k, doc[name])
		default:
			switch sub := doc[name].(type) {
			case map[string]any:
				l.table(k.path, k.value, sub)
			case string:
				if k.path != "redis" {
					l.wrongf(k.path, "want a table, not %s", found(sub))
					continue
				}
				l.places["redis.url"] = l.placeOf("redis")
				l.table(k.path, k.value, map[string]any{"url": sub})
			case []any:
				l.wrongf(k.path, "want one table, written %s, not a list", header(k.path))
			default:
				l.wrongf(k.path, "want a table, not %s", found(sub))
			}
		}
	}
}

// unknown notes a key of the file that is none of the names its table has.
func (l *loader) unknown(path, name string, names []string) {
	hint := didYouMean(name, names, "`")
	if hint == "" {
		hint = l.elsewhere(path, name)
	}
	where := "at the top"
	if path != "" {
		where = "in " + header(path)
	}
	if hint == "" {
		hint = ", which has " + strings.Join(names, ", ")
	}
	at := join(path, name)
	l.problems = append(l.problems, &problem{at: l.placeOf(at), err: fmt.Errorf("unknown key `%s` %s%s", name, where, hint)})
}

// header is how the table at path begins in a file.
func header(path string) string {
	if strings.HasSuffix(path, "]") {
		return "[[" + index.ReplaceAllString(path, "") + "]]"
	}
	return "[" + index.ReplaceAllString(path, "") + "]"
}

// elsewhere is the hint for a name that is not in the table at path but in
// another.
func (l *loader) elsewhere(path, name string) string {
	byName := map[string]string{}
	for _, k := range Keys() {
		table, last := "", k.Name
		if i := strings.LastIndexByte(k.Name, '.'); i >= 0 {
			table, last = k.Name[:i], k.Name[i+1:]
		}
		if _, known := byName[last]; !known || strings.HasPrefix(path, "site[") {
			byName[last] = table // in a site rather its own tables, which come last
		}
	}
	c := nearest(name, slices.Sorted(maps.Keys(byName)))
	switch {
	case c == "":
		return ""
	case byName[c] == "":
		return fmt.Sprintf(", did you mean `%s`, which stands above all tables?", c)
	}
	return fmt.Sprintf(", did you mean `%s` in [%s]?", c, byName[c])
}

// value sets the value or list k from a value of the file.
func (l *loader) value(k key, v any) {
	if k.value.Kind() == reflect.Slice {
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		setList(k, list, func(i int, err error) { l.wrong(element(k.path, i), err) })
		return
	}
	text, err := textOf(k.value.Type(), v)
	if err == nil {
		err = setScalar(k, k.value, text)
	}
	if err != nil {
		l.wrong(k.path, err)
	}
}

// lists sets the lists of the table k by their names, each in place of one that
// was inherited.
func (l *loader) lists(k key, v any) {
	doc, ok := v.(map[string]any)
	if !ok {
		l.wrongf(k.path, "want a table, not %s", found(v))
		return
	}
	all := map[string][]string{}
	maps.Copy(all, k.value.Interface().(map[string][]string)) // the inherited one is not only this site's
	for _, name := range slices.Sorted(maps.Keys(doc)) {
		var list []string
		l.value(key{path: join(k.path, name), value: reflect.ValueOf(&list).Elem(), tag: k.tag}, doc[name])
		if name == "" || len(name) > 256 || strings.ContainsAny(name, "/:, ") {
			l.wrongf(join(k.path, name), `want a name such as "product", without white space, slash, colon or comma`)
		}
		all[name] = list
	}
	if len(all) > 0 {
		k.value.Set(reflect.ValueOf(all))
	}
}

// foreign are the variables that Kubernetes and Docker set in a container for
// services and links whose name begins with "surrogate".
var foreign = regexp.MustCompile(`_SERVICE_HOST$|_SERVICE_PORT(_.*)?$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`)

// environment applies the SURROGATE_ variables, empty ones left out.
func (l *loader) environment(vars map[string]string) {
	byName := map[string]key{}
	for _, k := range settable(l.cfg) {
		byName[variable(k.path)] = k
	}
	byName["SURROGATE_REDIS"] = byName["SURROGATE_REDIS_URL"]
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		k, ok := byName[name]
		switch {
		case ok:
			l.override(k, place{name: name}, vars[name])
		case name == "SURROGATE_CONFIG":
		case name == "SURROGATE_ORIGIN":
			l.origin(place{name: name}, strings.Split(vars[name], ","))
		case !foreign.MatchString(name):
			names := append(slices.Collect(maps.Keys(byName)), "SURROGATE_CONFIG", "SURROGATE_ORIGIN")
			slices.Sort(names)
			l.problems = append(l.problems, &problem{err: fmt.Errorf("unknown variable %s%s", name, didYouMean(name, names, ""))})
		}
	}
}

// Flags are the settings that a command line can carry. They come last and win.
type Flags struct {
	Config string   // file to read; "" for what SURROGATE_CONFIG names, or none
	Origin []string // origins of the only site, in place of what the file has
	Listen []string // in place of listen
	// In place of the keys of these names; nil where not given.
	Admin, AdminToken, Redis *string
	// "key=value" for any key that Keys gives a variable: "cache.memory=1GiB".
	// Lists are separated by commas.
	Set []string
}

// Bind makes fs set f: --config, --origin and --listen, which may be repeated,
// --admin, --admin-token, --redis, and --set, which may be repeated.
func (f *Flags) Bind(fs *flag.FlagSet) {
	list := func(name, usage string, to *[]string) {
		fs.Func(name, usage, func(s string) error { *to = append(*to, s); return nil })
	}
	optional := func(name, usage string, to **string) {
		fs.Func(name, usage, func(s string) error { *to = &s; return nil })
	}
	fs.StringVar(&f.Config, "config", f.Config, "read the configuration from this `file`")
	list("origin", "forward requests to this `URL`; several are balanced", &f.Origin)
	list("listen", "serve on this `address` (default :8080); may be repeated", &f.Listen)
	optional("admin", "serve the admin API on this `address` (default 127.0.0.1:8081)", &f.Admin)
	optional("admin-token", "`token` that the admin API asks for", &f.AdminToken)
	optional("redis", "share entries and purges through the Redis at this `URL`", &f.Redis)
	list("set", "set any key of the configuration, as `key=value`; may be repeated", &f.Set)
}

// flags applies f.
func (l *loader) flags(f Flags) {
	if len(f.Origin) > 0 {
		l.origin(place{name: "--origin"}, f.Origin)
	}
	byPath := map[string]key{}
	for _, k := range settable(l.cfg) {
		byPath[k.path] = k
	}
	byPath["redis"] = byPath["redis.url"]
	if len(f.Listen) > 0 {
		l.override(byPath["listen"], place{name: "--listen"}, strings.Join(f.Listen, ","))
	}
	for _, v := range []struct {
		path, flag string
		value      *string
	}{{"admin", "--admin", f.Admin}, {"admin_token", "--admin-token", f.AdminToken}, {"redis", "--redis", f.Redis}} {
		if v.value != nil {
			l.override(byPath[v.path], place{name: v.flag}, *v.value)
		}
	}
	for _, s := range f.Set {
		name, value, ok := strings.Cut(s, "=")
		at := place{name: "--set " + name}
		k, known := byPath[name]
		switch {
		case !ok:
			l.problems = append(l.problems, &problem{at: at, err: errors.New("want key=value")})
		case known:
			l.override(k, at, value)
		default:
			l.problems = append(l.problems, &problem{at: at, err: fmt.Errorf("unknown key%s", notSettable(name, byPath))})
		}
	}
}

// notSettable is the hint for what follows --set and is no key of byPath.
func notSettable(name string, byPath map[string]key) string {
	if rest, ok := strings.CutPrefix(name, "site."); ok {
		if _, ok := byPath["defaults."+rest]; ok {
			return "; the keys of one site are set in the file, those of all sites by defaults." + rest
		}
		return "; the keys of one site are set in the file"
	}
	return didYouMean(name, slices.Sorted(maps.Keys(byPath)), "")
}

// override sets k from the text of a variable or a flag.
func (l *loader) override(k key, at place, text string) {
	l.setAt(k.path, at)
	setText(k, text, func(_ int, err error) { l.wrong(k.path, err) })
}

// setAt notes that the key at path was set anew.
func (l *loader) setAt(path string, at place) {
	maps.DeleteFunc(l.places, func(p string, _ place) bool { return strings.HasPrefix(p, path+"[") })
	l.places[path] = at
}
