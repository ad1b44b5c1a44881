package warm

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"surrogate/store"
)

// A home is the site that the paths of an Ask belong to.
type home struct {
	*SitePlan
	base func() (string, error) // the scheme and host that they are completed with
}

// homeOf is the home that a site is to an Ask. Only where a path is to be
// completed it is looked what visitors ask for.
func (in *Intake) homeOf(s *SitePlan, base string) *home {
	return &home{s, sync.OnceValues(func() (string, error) {
		var asked map[string]float64
		if base == "" && s.Base == "" && in.o.Asked != nil {
			asked = in.o.Asked(s.Name)
		}
		return s.completes(base, asked)
	})}
}

// completes is what paths of a site are completed with: what whoever asks says,
// what is configured, what visitors ask for if that is one host, or the site's
// own. A wrong guess would be warmed in vain, so there is none where visitors have
// not asked yet, or for several hosts.
func (s *SitePlan) completes(said string, asked map[string]float64) (string, error) {
	switch {
	case said != "":
		return said, nil
	case s.Base != "":
		return s.Base, nil
	}
	all, byHost, most := 0.0, map[string]float64{}, map[string]string{}
	for origin, heat := range asked {
		host := store.Key(origin + "/").Host()
		all += heat
		byHost[host] += heat
		if before, there := most[host]; !there || heat > asked[before] || heat == asked[before] && origin > before {
			most[host] = origin
		}
	}
	// What is hardly ever asked for is health checks and scanners.
	maps.DeleteFunc(byHost, func(_ string, heat float64) bool { return heat < all/20 })
	for host := range byHost {
		if len(byHost) == 1 {
			return most[host], nil
		}
	}
	if s.Guess != "" {
		return s.Guess, nil
	}
	const ways = `: write URLs with their host, say which one is meant by "base":"https://host" or --base, or set warm.base of the site`
	if len(byHost) == 0 {
		return "", fmt.Errorf("the site %q takes every host, and nobody has asked for a page yet that would tell which this path is of%s", s.Name, ways)
	}
	hosts := slices.Sorted(maps.Keys(byHost))
	return "", fmt.Errorf("the site %q takes every host, and visitors ask for %s%s", s.Name, excerpt(strings.Join(hosts[:min(len(hosts), 3)], ", "), 200), ways)
}

// checkBase finds what is wrong with a base, and returns it as it is used, and
// its site.
func (in *Intake) checkBase(a *Ask, ps *problems) *SitePlan {
	base := strings.TrimSuffix(a.Base, "/")
	_, rest, _ := strings.Cut(base, "://")
	j, err := in.target(base+"/", nil, a.Site)
	switch {
	case err != nil:
		ps.add("#/base", err.Error(), "https://host")
		return nil
	case rest == "" || strings.ContainsAny(rest, "/?#"):
		ps.add("#/base", "more than a scheme and host", "https://host")
		return nil
	}
	a.Base = base
	return in.named(j.Site)
}
