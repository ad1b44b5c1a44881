package purge

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"surrogate/store"
)

// names turns what is asked for into the names that fall, each once, and into
// the words that a receipt shows. All that is wrong is added to ps.
func (p *Purger) names(r *Request, ps *problems) (names []store.Name, asked []string) {
	before := len(ps.list)
	for i, t := range r.Tags {
		if err := checkTag(t); err != nil {
			ps.add(at("tags", i), err.Error(), hintTags)
			continue
		}
		names, asked = append(names, store.Name(t)), append(asked, t)
	}
	each := func(member, word, hint string, list []string, name func(string) ([]store.Name, error)) {
		for i, s := range list {
			ns, err := name(s)
			if err != nil {
				ps.add(at(member, i), err.Error(), hint)
				continue
			}
			names, asked = append(names, ns...), append(asked, word+" "+s)
		}
	}
	each("keys", "key", hintKeys, r.Keys, keyNames)
	each("urls", "url", hintURLs, r.URLs, p.urlNames)
	each("prefixes", "prefix", hintPrefix, r.Prefixes, prefixNames)
	each("hosts", "host", hintHosts, r.Hosts, hostNames)
	if r.Everything {
		// Everything carries this one: the other names would add nothing.
		names, asked = []store.Name{store.AllName}, append(asked, "everything")
	}
	if len(names) == 0 && len(ps.list) == before && before == 0 {
		ps.add("", "it names nothing to purge", "at least one of tags, keys, urls, prefixes, hosts, everything")
	}
	if len(r.ID) > maxID || r.ID != "" && store.CheckTag(r.ID) != nil {
		ps.add("#/id", "not an id", "1 to 256 bytes of UTF-8 without white space or control characters")
	}
	if len(r.Why) > maxWhy {
		ps.add("#/why", fmt.Sprintf("it is %d bytes long", len(r.Why)), "at most 1024 bytes")
	}
	return unique(names), asked
}

// checkTag refuses what no response can be tagged with: it would miss without a
// word.
func checkTag(t string) error {
	if strings.Contains(t, ",") {
		return fmt.Errorf("%w: %.100q has a comma, which separates tags: no response can carry it", store.ErrBadTag, t)
	}
	return store.CheckTag(t)
}

func unique(names []store.Name) []store.Name {
	if len(names) < 2 {
		return names
	}
	seen := make(map[store.Name]struct{}, len(names))
	return slices.DeleteFunc(names, func(n store.Name) bool {
		if _, ok := seen[n]; ok {
			return true
		}
		seen[n] = struct{}{}
		return false
	})
}

var noRules store.KeyRules

var bothSchemes = [...]string{"https", "http"}

// schemes are those a URL written with scheme may have meant its host for: a
// default port is only that of its own scheme.
func schemes(scheme string) []string {
	if scheme != "" {
		return []string{scheme}
	}
	return bothSchemes[:]
}

func (p *Purger) urlNames(s string) ([]store.Name, error) {
	scheme, host, target, err := store.SplitURL(s, "")
	if err != nil {
		return nil, err
	}
	var names []store.Name
	for _, sch := range schemes(scheme) {
		rules := p.rules(store.CanonicalHost(sch, host))
		names = append(names, store.URLNames(rules.Key(sch, host, target))...)
	}
	return names, nil
}

// keyNames takes keys verbatim, and refuses what can be none: it would miss
// without a word.
func keyNames(s string) ([]store.Name, error) {
	scheme, host, target, err := store.SplitURL(s, "")
	if err != nil {
		return nil, err
	}
	for _, sch := range schemes(scheme) {
		k := noRules.Key(sch, host, target)
		if s == string(k) || s == k.URL() {
			return store.URLNames(k), nil
		}
	}
	k := noRules.Key(cmp.Or(scheme, "http"), host, target)
	return nil, fmt.Errorf("%w: %q is not in canonical form, which would be %q", store.ErrBadURL, s, k.URL())
}

// prefixNames leaves the query as it is: what follows a prefix is unknown, so
// its parameters cannot be ordered.
func prefixNames(s string) ([]store.Name, error) {
	if strings.HasSuffix(s, "*") {
		return nil, fmt.Errorf(`%w: a prefix needs no "*": %q`, store.ErrBadURL, s)
	}
	scheme, host, target, err := store.SplitURL(s, "")
	if err != nil {
		return nil, err
	}
	var names []store.Name
	for _, sch := range schemes(scheme) {
		k := noRules.Key(sch, host, target)
		names = append(names, store.PrefixName(k.URL()))
		if strings.Contains(k.URL(), "?") {
			names = append(names, store.SearchName(k)) // see store.URLNames
		}
	}
	return names, nil
}

func hostNames(s string) ([]store.Name, error) {
	if strings.ContainsAny(s, "/?#*") {
		return nil, fmt.Errorf("%w: %q is not a host alone", store.ErrBadURL, s)
	}
	_, host, _, err := store.SplitURL("http://"+s, "")
	if err != nil {
		return nil, err
	}
	var names []store.Name
	for _, sch := range bothSchemes {
		names = append(names, store.HostName(store.CanonicalHost(sch, host)))
	}
	return names, nil
}
