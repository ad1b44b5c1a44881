package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// A Source is where a configuration comes from.
type Source struct {
	Env   []string // "NAME=value" as os.Environ has them; others than SURROGATE_… are passed over
	Flags Flags
}

// Load reads a configuration and checks it. The error joins all that is wrong,
// each part beginning with where: "proxy.toml:3:1: ", a variable or a flag.
func Load(src Source) (*Config, error) {
	vars := map[string]string{}
	for _, v := range src.Env {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "SURROGATE_") && value != "" {
			vars[name] = value
		}
	}
	file := cmp.Or(src.Flags.Config, vars["SURROGATE_CONFIG"])
	if file == "" {
		return assemble("", nil, vars, src.Flags)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("couldn't read the configuration: %w", err)
	}
	return assemble(file, data, vars, src.Flags)
}

// assemble makes a Config of a file's content, the SURROGATE_ variables and the
// flags.
func assemble(file string, data []byte, vars map[string]string, f Flags) (*Config, error) {
	doc, places, err := readDocument(file, data)
	if err != nil {
		return nil, err
	}
	l := &loader{cfg: Default(), file: file, places: places}
	sites, listed := doc["site"]
	delete(doc, "site")

	l.table("", reflect.ValueOf(l.cfg).Elem(), doc)
	l.environment(vars)
	l.flags(f)
	l.keepOrDrop("defaults", &l.cfg.Defaults)
	if listed {
		l.sites(sites)
	}
	l.giveOrigins()
	l.validate()
	if len(l.problems) > 0 {
		return nil, joined(l.problems)
	}
	return l.cfg, nil
}

// A loader puts a Config together and collects what is wrong.
type loader struct {
	cfg      *Config
	file     string           // its name, "" for none
	places   map[string]place // of every key that is set
	problems []*problem

	origins     []*url.URL // from the environment or a flag, for the only site
	originsFrom place
}

// A problem is one mistake.
type problem struct {
	at   place
	path string // of the key
	err  error
}

var index = regexp.MustCompile(`\[\d+\]`)

func (p *problem) Error() string {
	msg := p.err.Error()
	if p.path != "" && (p.at.line > 0 || p.at.name == "") {
		msg = index.ReplaceAllString(p.path, "") + ": " + msg // people count no elements
	}
	if p.at.name != "" {
		msg = p.at.String() + ": " + msg
	}
	return msg
}

// joined sorts problems by where they are: in the file, the environment, flags.
func joined(ps []*problem) error {
	slices.SortStableFunc(ps, func(a, b *problem) int {
		if (a.at.line > 0) != (b.at.line > 0) {
			return cmp.Compare(b.at.line, a.at.line)
		}
		return cmp.Or(cmp.Compare(a.at.line, b.at.line), cmp.Compare(a.at.col, b.at.col))
	})
	errs := make([]error, len(ps))
	for i, p := range ps {
		errs[i] = p
	}
	return errors.Join(errs...)
}

// wrong notes that what stands at path is wrong.
func (l *loader) wrong(path string, err error) {
	l.problems = append(l.problems, &problem{l.placeOf(path), path, err})
}

func (l *loader) wrongf(path, format string, args ...any) {
	l.wrong(path, fmt.Errorf(format, args...))
}

// placeOf is the place of path, or else of the nearest thing around it.
func (l *loader) placeOf(path string) place {
	for path != "" {
		if at, ok := l.places[path]; ok {
			return at
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return place{}
}

// isSet reports whether something other than the defaults set the key.
func (l *loader) isSet(path string) bool {
	_, ok := l.places[path]
	return ok
}

// isWrong reports whether something is known to be wrong with the key or an
// element of it, so that what follows from that need not be said.
func (l *loader) isWrong(path string) bool {
	return slices.ContainsFunc(l.problems, func(p *problem) bool {
		return p.path == path || strings.HasPrefix(p.path, path+"[")
	})
}
