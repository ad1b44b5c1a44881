package purge

import (
	"context"
	"slices"
	"strings"

	"surrogate/store"
)

const (
	maxNoted  = 10  // hosts that a note lists
	maxLooked = 200 // entries that it looks at for them
)

// missed is the note of a purge by hand that took nothing, which may be a slip
// of the hand; none for others. Where a host was named that nothing is stored
// under, it lists some that have something.
func (p *Purger) missed(ctx context.Context, j *job, names []store.Name, r *Receipt) []string {
	if r.Entries > 0 || !r.Exact || j.via != ByAPI {
		return nil
	}
	note := "nothing stored carries it"
	if len(j.asked) > 1 {
		note = "nothing stored carries any of them"
	}
	if !p.knowsHost(ctx, names) {
		note += "; " + p.someHosts(ctx)
	}
	return []string{note}
}

// knowsHost reports whether something is stored under one of the hosts that
// names are of, or they are of none.
func (p *Purger) knowsHost(ctx context.Context, names []store.Name) bool {
	known := true
	for _, n := range names[:min(len(names), maxLooked)] {
		host, ok := hostOf(n)
		if !ok {
			continue
		}
		if c, err := p.store.Count(ctx, store.HostName(host)); err != nil || c.Entries > 0 {
			return true
		}
		known = false
	}
	return known
}

// hostOf is the host that a name is of.
func hostOf(n store.Name) (string, bool) {
	if n == store.AllName {
		return "", true
	}
	if host, ok := n.Host(); ok {
		return host, true
	}
	url, ok := n.URL()
	if !ok {
		url, ok = n.Prefix()
	}
	host, _, _ := strings.Cut(url, "/")
	return host, ok
}

// someHosts tells which hosts something is stored under.
func (p *Purger) someHosts(ctx context.Context) string {
	es, _, err := p.store.List(ctx, store.AllName, "", maxLooked)
	switch {
	case err != nil:
		return "the store failed: " + err.Error()
	case len(es) == 0:
		return "the cache is empty"
	}
	var hosts []string
	for i := range es {
		hosts = append(hosts, es[i].Key.Host())
	}
	slices.Sort(hosts)
	hosts = slices.Compact(hosts)
	s := "hosts in the cache: " + strings.Join(hosts[:min(len(hosts), maxNoted)], ", ")
	if len(hosts) > maxNoted || len(es) == maxLooked {
		s += " and perhaps others"
	}
	return s
}
