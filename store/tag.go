package store

import (
	"slices"
	"strings"

	"github.com/dunglas/httpsfv"
)

// SplitTags splits the values of tag fields, or the tags of a purge, at white
// space and commas, several lines joined. Applied to both sides it can only
// ever purge too much. The results are not yet checked with CheckTag.
func SplitTags(values []string) []string {
	var tags []string
	for _, v := range values {
		for t := range strings.FieldsFuncSeq(v, func(r rune) bool {
			return r == ',' || r == ' ' || r == '\t' || r == '\r' || r == '\n' || r == '\v' || r == '\f'
		}) {
			tags = append(tags, t)
		}
	}
	return tags
}

// ParseGroups returns the members of a Cache-Groups or Cache-Group-Invalidation
// field: a list of strings (RFC 9875 section 2, RFC 9651). ok is false when the
// field is not such a list and must be ignored. Parameters are ignored, and so
// are members that are not strings.
func ParseGroups(values []string) (groups []string, ok bool) {
	list, err := httpsfv.UnmarshalList(values)
	if err != nil {
		return nil, false
	}
	for _, m := range list {
		if item, isItem := m.(httpsfv.Item); isItem {
			if s, isString := item.Value.(string); isString {
				groups = append(groups, s)
			}
		}
	}
	return groups, true
}

// TagRules bound what one response may be tagged with.
type TagRules struct {
	MaxTags  int // names of one entry, tags and deps together
	MaxBytes int // bytes of all its tag and dep fields together
}

// Names of one response, as TagRules accept them.
type TaggedNames struct {
	Tags, Deps NameList
	Count      int      // how many there were, once they were read
	Bytes      int      // of all the fields
	CatchAll   bool     // there were too many, or some were no tags: the entry must fall with every purge
	Bad        []string // some of those that were refused, for the log
}

// Names turns the fields of a response into what the entry carries. tags are
// the values of all tag fields but Cache-Groups, groups those of Cache-Groups,
// deps those of the dependency fields; key is the response's own. A group is
// carried scoped to the response's origin, as RFC 9875 section 2 has it, and as a plain
// tag too, for whoever purges it by name. A dep that is a URL is carried as
// URL name and, verbatim, as tag.
func (r TagRules) Names(key Key, rules *KeyRules, tags, groups, deps []string) TaggedNames {
	var out TaggedNames
	bytes := 0
	for _, vs := range [...][]string{tags, groups, deps} {
		for _, v := range vs {
			bytes += len(v)
		}
	}
	out.Bytes = bytes
	if r.MaxBytes > 0 && bytes > r.MaxBytes {
		out.CatchAll = true
		return out
	}
	var ts, ds []Name
	add := func(to *[]Name, t string) {
		if err := CheckTag(t); err != nil {
			out.CatchAll = true
			out.Bad = append(out.Bad, t)
			return
		}
		*to = append(*to, Name(t))
	}
	for _, t := range SplitTags(tags) {
		add(&ts, t)
	}
	if len(groups) > 0 {
		gs, ok := ParseGroups(groups)
		if !ok {
			gs = nil
		}
		for _, g := range gs {
			ts = append(ts, GroupName(key.Origin(), g))
			if CheckTag(g) == nil {
				ts = append(ts, Name(g))
			}
		}
	}
	for _, d := range SplitTags(deps) {
		if n, ok := DepURL(d, key, rules); ok {
			ds = append(ds, n)
		}
		add(&ds, d)
	}
	out.Count = len(ts) + len(ds)
	if r.MaxTags > 0 && out.Count > r.MaxTags {
		out.CatchAll = true
		return out
	}
	ds = slices.DeleteFunc(ds, func(n Name) bool { return n == URLName(key) })
	out.Tags, out.Deps = NamesOf(ts...), NamesOf(ds...)
	return out
}

// DepURL returns the URL name that a dep declared by the response at key means,
// if it is a URL at all: "/path" at the same host, or absolute.
func DepURL(dep string, key Key, rules *KeyRules) (Name, bool) {
	if !strings.HasPrefix(dep, "/") && !strings.HasPrefix(dep, "http://") && !strings.HasPrefix(dep, "https://") {
		return "", false
	}
	scheme, host, target, err := SplitURL(dep, key.Host())
	if err != nil {
		return "", false
	}
	if scheme == "" {
		scheme = key.Scheme()
	}
	return URLName(rules.Key(scheme, host, target)), true
}
