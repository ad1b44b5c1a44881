package proxy

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dunglas/httpsfv"

	"surrogate/store"
)

// A searchRule says in what two queries may differ without the response
// differing: what No-Vary-Search declares. The zero value lets them differ in
// nothing.
type searchRule struct {
	anyOrder bool     // the order of parameters with different names does not matter
	drop     []string // these parameters do not matter
	keepOnly bool     // only those in keep matter
	keep     []string
}

// parseNoVarySearch parses No-Vary-Search, a dictionary (RFC 9651) of key-order,
// params and except. ok is false when the field is absent, is not one, or makes
// no difference; then everything matters.
func parseNoVarySearch(values []string) (r searchRule, ok bool) {
	if len(values) == 0 {
		return searchRule{}, false
	}
	d, err := httpsfv.UnmarshalDictionary(values)
	if err != nil {
		return searchRule{}, false
	}
	if m, has := d.Get("key-order"); has {
		item, isItem := m.(httpsfv.Item)
		v, isBool := item.Value.(bool)
		if !isItem || !isBool {
			return searchRule{}, false
		}
		r.anyOrder = v
	}
	if m, has := d.Get("params"); has {
		if item, isItem := m.(httpsfv.Item); isItem {
			v, isBool := item.Value.(bool)
			if !isBool {
				return searchRule{}, false
			}
			r.keepOnly = v
		} else if r.drop, has = stringsOf(m); !has {
			return searchRule{}, false
		}
	}
	if m, has := d.Get("except"); has {
		if r.drop != nil {
			return searchRule{}, false
		}
		if r.keep, has = stringsOf(m); !has {
			return searchRule{}, false
		}
		r.keepOnly = true
	}
	return r, r.anyOrder || r.keepOnly || len(r.drop) > 0
}

// stringsOf returns the members of an inner list of strings.
func stringsOf(m httpsfv.Member) ([]string, bool) {
	l, ok := m.(httpsfv.InnerList)
	if !ok {
		return nil, false
	}
	out := make([]string, 0, len(l.Items))
	for _, i := range l.Items {
		s, ok := i.Value.(string)
		if !ok {
			return nil, false
		}
		out = append(out, s)
	}
	return out, true
}

// apply returns the key that stands for all keys that differ from k in nothing
// that matters.
func (r searchRule) apply(k store.Key) store.Key {
	base, query, ok := strings.Cut(string(k), "?")
	if !ok {
		return k
	}
	params := slices.DeleteFunc(strings.Split(query, "&"), func(p string) bool {
		name := paramName(p)
		return p == "" || r.keepOnly && !slices.Contains(r.keep, name) || slices.Contains(r.drop, name)
	})
	if len(params) == 0 {
		return store.Key(base)
	}
	if r.anyOrder {
		slices.SortStableFunc(params, func(a, b string) int { return strings.Compare(paramName(a), paramName(b)) })
	}
	return store.Key(base + "?" + strings.Join(params, "&"))
}

// paramName is the name of a parameter as application/x-www-form-urlencoded has
// it.
func paramName(p string) string {
	name, _, _ := strings.Cut(p, "=")
	if n, err := url.QueryUnescape(name); err == nil {
		return n
	}
	return name
}

// searches remembers what the responses of a path said of its queries, so that a
// request for the path finds its key. It is bounded; what it forgot is learnt
// again from the next response.
type searches struct {
	any   atomic.Bool  // there is, or was, a rule
	mu    sync.RWMutex // guards rules
	rules map[string]searchRule
}

const (
	maxSearches   = 1 << 16
	maxSearchPath = 1 << 10 // longer ones are not worth it
)

// key returns the key that k is stored under.
func (s *searches) key(k store.Key) store.Key {
	if !s.any.Load() || strings.IndexByte(string(k), '?') < 0 {
		return k
	}
	s.mu.RLock()
	r, ok := s.rules[pathOf(k)]
	s.mu.RUnlock()
	if !ok {
		return k
	}
	return r.apply(k)
}

// learn takes note of what a response for k that is kept says, and returns the
// key to keep it under. named is whether it stands for other URLs too.
func (s *searches) learn(k store.Key, h http.Header) (under store.Key, named bool) {
	r, ok := parseNoVarySearch(h["No-Vary-Search"])
	path := pathOf(k)
	if !ok {
		s.mu.RLock()
		_, had := s.rules[path]
		s.mu.RUnlock()
		if had {
			s.mu.Lock()
			delete(s.rules, path)
			s.mu.Unlock()
		}
		return k, false
	}
	if len(path) > maxSearchPath {
		return k, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.any.Store(true)
	if s.rules == nil {
		s.rules = make(map[string]searchRule)
	}
	if _, has := s.rules[path]; !has && len(s.rules) >= maxSearches {
		for old := range s.rules { // a random one
			delete(s.rules, old)
			break
		}
	}
	s.rules[path] = r
	return r.apply(k), true
}

func pathOf(k store.Key) string {
	base, _, _ := strings.Cut(string(k), "?")
	return base
}

// deps returns deps with, besides each URL, the one that it is stored under: a
// page may say that it is made of a URL which stands behind another.
func (s *searches) deps(deps store.NameList) store.NameList {
	s.mu.RLock()
	none := len(s.rules) == 0
	s.mu.RUnlock()
	if none || !strings.Contains(string(deps), "?") {
		return deps
	}
	var names []store.Name
	for n := range deps.All() {
		names = append(names, n)
		if u, ok := n.URL(); ok {
			for _, scheme := range []string{"http://", "https://"} {
				if k := store.Key(scheme + u); s.key(k) != k {
					names = append(names, store.URLName(s.key(k)))
				}
			}
		}
	}
	return store.NamesOf(names...)
}
