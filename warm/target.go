package warm

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"surrogate/store"
)

// maxURL is the longest URL that is warmed, in bytes: the proxy serves none with
// a longer target.
const maxURL = 16 << 10

const (
	hintURL      = "want http://host/path or https://host/path"
	hintRelative = "; a path alone, /path, needs a site or a base"
)

// target makes a job of a URL as people write it: absolute, or a path where
// home is the site that it belongs to. Only URLs of the site called only are
// taken, unless that is "". The job's URL is the key of the site's rules, so what
// the cache holds once is warmed once: without fragment, utm_… and the like.
func (in *Intake) target(raw string, home *home, only string) (store.Job, error) {
	if err := plainText(raw); err != nil {
		return store.Job{}, err
	}
	scheme, rest, absolute := strings.Cut(raw, "://")
	switch {
	case absolute && !strings.ContainsAny(scheme, "/?#"):
		if scheme = strings.ToLower(scheme); scheme != "http" && scheme != "https" {
			return store.Job{}, fmt.Errorf("the scheme %q cannot be warmed: %s", excerpt(scheme, 20), hintURL)
		}
		rest = scheme + "://" + rest
	case strings.HasPrefix(raw, "/") && !strings.HasPrefix(raw, "//"):
		if home == nil {
			return store.Job{}, errors.New("not a URL: " + hintURL + hintRelative)
		}
		base, err := home.base()
		if err != nil {
			return store.Job{}, err
		}
		rest = base + raw
	case strings.HasPrefix(raw, "//"):
		return store.Job{}, errors.New("not a URL: its scheme is missing: " + hintURL)
	default:
		return store.Job{}, errors.New("not a URL: " + hintURL + hintRelative)
	}
	scheme, host, path, err := store.SplitURL(asciiOnly(rest), "")
	if err != nil && hasUser(rest) {
		return store.Job{}, errors.New("it has a user or password, which warming does not send: leave them out")
	}
	if err != nil {
		return store.Job{}, errors.New("not a URL: its host is none: " + hintURL)
	}
	plan := in.o.Site(store.CanonicalHost(scheme, host))
	switch {
	case plan == nil:
		return store.Job{}, fmt.Errorf("no site serves the host %q", excerpt(host, 100))
	case only != "" && plan.Name != only:
		return store.Job{}, fmt.Errorf("the host %q is not the site %q, but %q", excerpt(host, 100), only, plan.Name)
	}
	if plan.Scheme != "" {
		scheme = plan.Scheme
	}
	return store.Job{Site: plan.Name, URL: string(plan.Key.Key(scheme, host, path))}, nil
}

// hasUser reports whether a URL has a user or a password in front of its host.
func hasUser(url string) bool {
	_, rest, _ := strings.Cut(url, "://")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	return strings.Contains(rest, "@")
}

// plainText refuses what cannot be part of any URL.
func plainText(s string) error {
	switch {
	case len(s) > maxURL:
		return fmt.Errorf("longer than %d bytes", maxURL)
	case !utf8.ValidString(s):
		return errors.New("not UTF-8")
	}
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == 0x7f {
			return fmt.Errorf("it has the control character %#02x", c)
		} else if c == ' ' {
			return errors.New("it has a space; in a URL that is %20")
		}
	}
	return nil
}

// asciiOnly percent-encodes what is not ASCII, as clients do before they ask. In
// a host that leaves something that is none.
func asciiOnly(s string) string {
	i := 0
	for i < len(s) && s[i] < utf8.RuneSelf {
		i++
	}
	if i == len(s) {
		return s
	}
	const hex = "0123456789ABCDEF"
	b := append(make([]byte, 0, len(s)+16), s[:i]...)
	for ; i < len(s); i++ {
		if c := s[i]; c >= utf8.RuneSelf {
			b = append(b, '%', hex[c>>4], hex[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b)
}

// excerpt is the beginning of s for a message: at most n bytes, printable.
func excerpt(s string, n int) string {
	cut := ""
	if len(s) > n {
		s, cut = s[:n], "…"
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return s + cut
}
