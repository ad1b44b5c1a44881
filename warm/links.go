package warm

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/html"
)

// maxLinks is how many links of one page are followed.
const maxLinks = 10_000

// A link is what a page refers to.
type link struct {
	url   string // absolute
	asset bool   // a part of the page, not another one
}

// linksOf returns what an HTML page at the URL page refers to, each once, in
// its order. Links that say nofollow are left out, and all of a page's that says
// so itself, in a meta element or X-Robots-Tag; its assets are not. A base
// element counts. Style sheets are not looked into. What could be read before an
// error is returned.
func linksOf(page string, h http.Header, r io.Reader) ([]link, error) {
	base, err := url.Parse(page)
	if err != nil {
		return nil, err
	}
	l := linkReader{base: base, seen: map[string]bool{}, nofollow: saysNofollow(strings.Join(h.Values("X-Robots-Tag"), ","))}
	z := html.NewTokenizer(r)
	z.SetMaxBuf(maxToken)
	for len(l.links) < maxLinks {
		switch z.Next() {
		case html.ErrorToken:
			if z.Err() == io.EOF {
				err = nil
			} else {
				err = z.Err()
			}
			return l.followed(), err
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			if n := string(name); elements[n] && more {
				l.element(n, attributes(z))
			}
		}
	}
	return l.followed(), nil
}

// elements are those that refer to something, or say how to.
var elements = map[string]bool{
	"a": true, "area": true, "link": true, "base": true, "meta": true, "frame": true, "iframe": true,
	"img": true, "source": true, "script": true, "video": true, "audio": true, "track": true, "embed": true, "input": true,
}

// attributes are those of an element that matter, the first of a name.
func attributes(z *html.Tokenizer) map[string]string {
	attrs := map[string]string{}
	for more := true; more; {
		var name, value []byte
		name, value, more = z.TagAttr()
		if _, twice := attrs[string(name)]; !twice && len(attrs) < 50 {
			attrs[string(name)] = string(value)
		}
	}
	return attrs
}

// A linkReader collects the links of a page.
type linkReader struct {
	base     *url.URL
	based    bool // a base element was seen: the first counts
	nofollow bool // the page says so
	seen     map[string]bool
	links    []link
}

func (l *linkReader) followed() []link {
	if l.nofollow {
		return slices.DeleteFunc(l.links, func(k link) bool { return !k.asset })
	}
	return l.links
}

func (l *linkReader) element(name string, attrs map[string]string) {
	switch name {
	case "base":
		if u, ok := l.resolve(attrs["href"]); ok && !l.based {
			l.base, l.based = u, true
		}
	case "meta":
		switch {
		case strings.EqualFold(attrs["name"], "robots"):
			l.nofollow = l.nofollow || saysNofollow(attrs["content"])
		case strings.EqualFold(attrs["http-equiv"], "refresh"):
			if _, to, ok := cutFold(attrs["content"], "url="); ok {
				l.add(strings.Trim(strings.TrimSpace(to), `"'`), false)
			}
		}
	case "a", "area":
		if !hasWord(attrs["rel"], "nofollow") {
			l.add(attrs["href"], false)
		}
	case "frame", "iframe":
		l.add(attrs["src"], false)
	case "link":
		l.linkElement(attrs)
	case "input":
		if strings.EqualFold(attrs["type"], "image") {
			l.add(attrs["src"], true)
		}
	default:
		l.add(attrs["src"], true)
		l.add(attrs["poster"], true)
		for _, u := range srcset(attrs["srcset"]) {
			l.add(u, true)
		}
	}
}

// linkElement looks at what relation a link element says.
func (l *linkReader) linkElement(attrs map[string]string) {
	for rel := range strings.FieldsSeq(strings.ToLower(attrs["rel"])) {
		switch rel {
		case "canonical", "next", "prev", "amphtml":
			l.add(attrs["href"], false)
		case "alternate":
			if t := attrs["type"]; attrs["hreflang"] != "" && (t == "" || strings.HasPrefix(t, "text/html")) {
				l.add(attrs["href"], false)
			}
		case "preload":
			for _, u := range srcset(attrs["imagesrcset"]) {
				l.add(u, true)
			}
			l.add(attrs["href"], true)
		case "stylesheet", "modulepreload", "icon", "apple-touch-icon", "mask-icon", "manifest":
			l.add(attrs["href"], true)
		}
	}
}

func (l *linkReader) add(href string, asset bool) {
	u, ok := l.resolve(href)
	if !ok {
		return
	}
	s := u.String()
	if len(s) > maxURL || l.seen[s] {
		return
	}
	l.seen[s] = true
	l.links = append(l.links, link{s, asset})
}

// resolve makes a reference absolute as browsers do (URL Standard, section 4.4):
// white space around it and line breaks in it do not count. ok is false for what
// is not to be asked for over HTTP, and for a mere fragment.
func (l *linkReader) resolve(href string) (u *url.URL, ok bool) {
	href = strings.Trim(href, " \t\r\n\f")
	if strings.ContainsAny(href, "\t\r\n") {
		href = strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(href)
	}
	if href == "" || href[0] == '#' || len(href) > maxURL {
		return nil, false
	}
	u, err := l.base.Parse(href)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, false
	}
	u.Fragment, u.RawFragment = "", ""
	if u.Path == "" {
		u.Path = "/"
	}
	return u, true
}

// srcset returns the URLs of a list of images: URLs and descriptors, separated
// by commas; a URL may have commas inside, and none at its end (HTML, section
// 4.8.4.2).
func srcset(s string) []string {
	var urls []string
	for {
		s = strings.TrimLeft(s, ", \t\r\n\f")
		if s == "" || len(urls) == 100 {
			return urls
		}
		end := strings.IndexAny(s, " \t\r\n\f")
		if end < 0 {
			end = len(s)
		}
		u := s[:end]
		s = s[end:]
		if trimmed := strings.TrimRight(u, ","); trimmed != u {
			urls = append(urls, trimmed)
			continue
		}
		urls = append(urls, u)
		if _, rest, more := strings.Cut(s, ","); more {
			s = rest
		} else {
			s = ""
		}
	}
}

// saysNofollow reads the words of a robots meta element or X-Robots-Tag. Those
// for one crawler by name are not for this one.
func saysNofollow(content string) bool {
	for word := range strings.SplitSeq(strings.ToLower(content), ",") {
		if w := strings.TrimSpace(word); w == "nofollow" || w == "none" {
			return true
		}
	}
	return false
}

func hasWord(list, word string) bool {
	return slices.ContainsFunc(strings.Fields(list), func(w string) bool { return strings.EqualFold(w, word) })
}

// cutFold is strings.Cut regardless of case; sep is in lower case and ASCII.
func cutFold(s, sep string) (before, after string, found bool) {
	i := bytes.Index(bytes.ToLower([]byte(s)), []byte(sep))
	if i < 0 || i+len(sep) > len(s) {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
