package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"

	"surrogate/store"
)

// A site is a Site made ready for requests.
type site struct {
	Site
	origin *origin
	// warming is the origin again, with connections of its own: no visitor waits
	// for one that warming has.
	warming  *origin
	upgrader *httputil.ReverseProxy
	hidden   map[string]bool // fields, in canonical form, that are not passed on to clients
	hiding   []string        // those fields
	tagged   []string        // TagFields without Cache-Groups, canonical
	groups   bool            // TagFields has Cache-Groups
	deps     []string        // DepFields, canonical
	counts   *siteCounts
	picks    codingPicks
}

const cacheGroups = "Cache-Groups"

// A siteTable finds the site of a host. It is never changed, only replaced.
type siteTable struct {
	exact  map[string]*site
	suffix map[string]*site // by ".shop.example" for "*.shop.example"
	any    *site
	all    []*site
}

func (p *Proxy) newSiteTable(sites []Site) (*siteTable, error) {
	t := &siteTable{exact: map[string]*site{}, suffix: map[string]*site{}}
	var errs []error
	if len(sites) == 0 {
		errs = append(errs, errors.New("proxy: there is no site"))
	}
	for _, c := range sites {
		if len(c.Origins) == 0 {
			errs = append(errs, fmt.Errorf("proxy: site %q has no origin", c.Name))
			continue
		}
		s := p.newSite(c)
		t.all = append(t.all, s)
		if len(c.Hosts) == 0 {
			if t.any != nil {
				errs = append(errs, fmt.Errorf("proxy: sites %q and %q both take every host", t.any.Name, c.Name))
			}
			t.any = s
		}
		for _, h := range c.Hosts {
			m, h := t.exact, store.CanonicalHost("http", h)
			if rest, ok := strings.CutPrefix(h, "*"); ok {
				m, h = t.suffix, rest
			}
			if other := m[h]; other != nil {
				errs = append(errs, fmt.Errorf("proxy: sites %q and %q both have the host %q", other.Name, c.Name, h))
			}
			m[h] = s
		}
	}
	return t, errors.Join(errs...)
}

func (p *Proxy) newSite(c Site) *site {
	c.Fill = c.Fill.withDefaults()
	if c.MaxObject == 0 {
		c.MaxObject = 32 << 20
	}
	s := &site{Site: c, hidden: map[string]bool{}, counts: p.counts.site(c.Name)}
	for _, f := range c.TagFields {
		f = http.CanonicalHeaderKey(f)
		if f == cacheGroups {
			s.groups = true
		} else {
			s.tagged = append(s.tagged, f)
		}
		s.hidden[f] = !c.KeepTags
	}
	for _, f := range c.DepFields {
		f = http.CanonicalHeaderKey(f)
		s.deps = append(s.deps, f)
		s.hidden[f] = !c.KeepTags
	}
	for _, f := range slices.Concat(c.StripFields, []string{"Surrogate-Control", "Cache-Group-Invalidation"}) {
		s.hidden[http.CanonicalHeaderKey(f)] = true
	}
	for f, hidden := range s.hidden {
		if hidden {
			s.hiding = append(s.hiding, f)
		}
	}
	s.origin = p.newOrigin(s)
	s.warming = p.apart(s, s.origin)
	s.upgrader = p.newUpgrader(s)
	return s
}

// find returns the site of a Host field, nil when there is none: the exact
// host, with its port and then without, the longest wildcard, the site that
// takes every host.
func (t *siteTable) find(host string) *site {
	if len(t.exact) == 0 && len(t.suffix) == 0 {
		return t.any
	}
	host = strings.ToLower(host)
	for {
		name := strings.TrimSuffix(host, ".")
		if s := t.exact[name]; s != nil {
			return s
		}
		for rest := name; ; {
			i := strings.IndexByte(rest, '.')
			if i < 0 {
				break
			}
			rest = rest[i:]
			if s := t.suffix[rest]; s != nil {
				return s
			}
			rest = rest[1:]
		}
		i := strings.LastIndexByte(host, ':')
		if i < 0 || strings.HasSuffix(host, "]") {
			return t.any
		}
		host = host[:i]
	}
}

// Site is the site that serves a host, nil when none does. Nobody may write to
// it.
func (p *Proxy) Site(host string) *Site {
	if s := p.sites.Load().find(host); s != nil {
		return &s.Site
	}
	return nil
}

// closeIdle closes the connections that the sites' origins keep.
func (t *siteTable) closeIdle() {
	for _, s := range t.all {
		s.origin.CloseIdleConnections()
		s.warming.CloseIdleConnections()
	}
}
