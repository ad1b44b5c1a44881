package config

import (
	"errors"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// checkBase accepts a scheme and host.
func checkBase(s string) (string, error) {
	u, err := parseOrigin(s)
	if err != nil {
		return "", errors.New(`want "https://host" or "http://host", with the port where clients write one`)
	}
	switch {
	case u.Scheme == "http":
		u.Host = strings.TrimSuffix(u.Host, ":80")
	default:
		u.Host = strings.TrimSuffix(u.Host, ":443")
	}
	return u.String(), nil
}

// checkTarget accepts a path, or a URL with its host.
func checkTarget(s string) (string, error) {
	want := errors.New(`want a path such as "/sitemap.xml", or a URL`)
	if strings.HasPrefix(s, "//") || only(s, func(c byte) bool { return c > ' ' && c != 0x7f }, "") != nil {
		return "", want
	}
	if strings.HasPrefix(s, "/") {
		return s, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return "", want
	}
	return s, nil
}

// places are what a template may have in braces.
var places = regexp.MustCompile(`\{\+?(type|entity|id|data(\.[^.{}]+)+)\}`)

// checkTemplate accepts a path or URL with places for what an event says.
func checkTemplate(s string) (string, error) {
	if strings.ContainsAny(places.ReplaceAllString(s, ""), "{}") {
		return "", errors.New("want {type}, {entity}, {id} and {data.…} in braces, and nothing else")
	}
	if strings.HasPrefix(s, "{+data.") {
		return s, nil
	}
	if _, err := checkTarget(places.ReplaceAllString(s, "x")); err != nil {
		return "", errors.New(`want a path such as "/products/{id}", or a URL`)
	}
	return s, nil
}

// validateBase sees to it that the paths of a site can be completed.
func (l *loader) validateBase(path string, s *Site) {
	w := &s.Warm
	if w.Base != "" {
		return
	}
	for _, h := range s.Hosts {
		if !strings.HasPrefix(h, "*") {
			return
		}
	}
	relative := func(list []string) bool {
		return slices.ContainsFunc(list, func(u string) bool { return !strings.HasPrefix(u, "http") })
	}
	entities := slices.ContainsFunc(slices.Collect(maps.Values(w.Entities)), relative)
	if entities || relative(w.Sitemaps) || relative(w.Crawl.From) {
		l.wrongf(path+".warm.base", `the site has no host of its own, and paths to be warmed: set base = "https://shop.example"`)
	}
}

// validateTargets refuses URLs of hosts that are not the site's: what a site
// warms are pages of its own. What it inherits may be meant for another.
func (l *loader) validateTargets(path string, s *Site, targets []string) {
	if !l.isSet(path) {
		return
	}
	for i, t := range targets {
		if u, err := url.Parse(t); err == nil && u.Host != "" && !s.serves(u) {
			l.wrongf(element(path, i), "%q is not of this site, whose hosts are %s", t, strings.Join(s.Hosts, ", "))
		}
	}
}

// serves reports whether the host of a URL is one of the site's.
func (s *Site) serves(u *url.URL) bool {
	name := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	return len(s.Hosts) == 0 || slices.ContainsFunc(s.Hosts, func(h string) bool {
		rest, wild := strings.CutPrefix(h, "*")
		return wild && strings.HasSuffix(name, rest) || h == name || h == name+":"+u.Port()
	})
}

// A Schedule is when something happens again: every so often or, if Every is 0,
// on Days at a time of day.
type Schedule struct {
	Every Duration
	Days  [7]bool  // from Sunday
	At    Duration // after midnight
}

// ParseSchedule reads a schedule: "every 6h", "hourly", "daily 04:00" or
// "mon thu 04:00".
func ParseSchedule(s string) (Schedule, error) {
	want := errors.New(`want "every 6h", "hourly", "daily 04:00" or "mon thu 04:00"`)
	words := strings.Fields(strings.ToLower(s))
	switch {
	case len(words) == 1 && words[0] == "hourly":
		return Schedule{Every: Duration(time.Hour)}, nil
	case len(words) < 2:
		return Schedule{}, want
	case len(words) == 2 && words[0] == "every":
		d, err := ParseDuration(words[1])
		if err != nil {
			return Schedule{}, want
		}
		if d < Duration(time.Minute) {
			return Schedule{}, errors.New("want at least a minute in between")
		}
		return Schedule{Every: d}, nil
	}
	days, last := words[:len(words)-1], words[len(words)-1]
	at, err := time.Parse("15:04", last)
	if err != nil {
		return Schedule{}, want
	}
	out := Schedule{At: Duration(at.Sub(at.Truncate(24 * time.Hour)))}
	if len(days) == 1 && days[0] == "daily" {
		out.Days = [7]bool{true, true, true, true, true, true, true}
		return out, nil
	}
	for _, day := range days {
		i := strings.Index("sunmontuewedthufrisat", day)
		if len(day) != 3 || i < 0 || i%3 != 0 {
			return Schedule{}, want
		}
		out.Days[i/3] = true
	}
	return out, nil
}
