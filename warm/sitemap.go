package warm

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Bounds of a sitemap, those of the protocol (sitemaps.org) where it has any.
const (
	maxSitemapBytes = 50 << 20 // uncompressed
	maxSitemapURLs  = 50_000   // of a sitemap, and sitemaps of an index
	maxToken        = 1 << 20  // bytes of one element's text, comment or the like
	maxNesting      = 16       // elements in elements; a sitemap with extensions has seven
)

// A found is one URL that a sitemap, a feed or robots.txt names.
type found struct {
	loc     string
	mod     time.Time // when it last changed; zero where it does not say
	sitemap bool      // it is a sitemap itself
	bad     error     // why it is no URL, if that is known; loc is its beginning then
}

// errTooMany says that a sitemap has more URLs than a sitemap may have.
var errTooMany = fmt.Errorf("it names more than %d URLs, the most that a sitemap may have; the rest is left out", maxSitemapURLs)

// readSitemap hands what a sitemap names to yield, in its order, until that
// fails: a urlset or a sitemapindex in XML, an RSS or Atom feed, or a list of
// URLs. Elements of other namespaces (image, video, news, xhtml) are passed over.
// What came before an error was handed on.
func readSitemap(r io.Reader, yield func(found) error) error {
	n := 0
	counting := func(f found) error {
		if n++; n > maxSitemapURLs {
			return errTooMany
		}
		return yield(f)
	}
	b := bufio.NewReaderSize(r, 4096)
	start, err := b.Peek(512)
	if err != nil && err != io.EOF {
		return err
	}
	if len(bytes.TrimSpace(start)) == 0 {
		return errors.New("it is empty")
	}
	if isXML(start) {
		return readSitemapXML(b, counting)
	}
	for l, err := range linesOf(b) {
		if err == nil {
			err = counting(found{loc: l.text, bad: l.err})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isXML tells XML, in any encoding, from a list of URLs, by its first bytes.
func isXML(start []byte) bool {
	start = bytes.TrimPrefix(start, []byte("\xef\xbb\xbf"))
	return bytes.HasPrefix(bytes.TrimLeft(start, " \t\r\n"), []byte("<")) || utf16Order(start) != nil
}

// names are where a document of a kind has its URLs: entry in root, and in that
// the location and the date of its last change.
type names struct {
	entry, loc, mod string
	sitemap         bool
}

var (
	sitemapSpaces = []string{"http://www.sitemaps.org/schemas/sitemap/", "https://www.sitemaps.org/schemas/sitemap/", "http://www.google.com/schemas/sitemap/"}

	kinds = map[string]names{
		"urlset":       {entry: "url", loc: "loc", mod: "lastmod"},
		"sitemapindex": {entry: "sitemap", loc: "loc", mod: "lastmod", sitemap: true},
		"rss":          {entry: "item", loc: "link", mod: "pubDate"},
		"feed":         {entry: "entry", loc: "link", mod: "updated"},
	}
)

// readSitemapXML reads the XML kinds. Entities that a document defines are not
// known, and so an error: nothing is expanded.
func readSitemapXML(r io.Reader, yield func(found) error) error {
	frugal := &frugal{r: r}
	text, err := inUTF8(frugal)
	if err != nil {
		return err
	}
	dec := xml.NewDecoder(text)
	dec.CharsetReader = charset
	p := sitemapParser{}
	for {
		frugal.n = 0
		tok, err := dec.Token()
		switch {
		case err == io.EOF:
			if p.root == "" {
				return errors.New("it is empty")
			}
			return nil
		case err != nil:
			return reworded(err)
		}
		switch t := tok.(type) {
		case xml.StartElement:
			err = p.start(t)
		case xml.CharData:
			if p.into != nil {
				if len(*p.into)+len(t) > maxURL {
					p.bad, *p.into = fmt.Errorf("a URL of more than %d bytes", maxURL), excerpt(*p.into+string(t), 200)
					p.into = nil
					continue
				}
				*p.into += string(t)
			}
		case xml.EndElement:
			err = p.end(yield)
		}
		if err != nil {
			return err
		}
	}
}

// reworded makes an error of the decoder one about the sitemap.
func reworded(err error) error {
	if syntax, ok := errors.AsType[*xml.SyntaxError](err); ok {
		return fmt.Errorf("not well-formed XML in line %d: %s", syntax.Line, syntax.Msg)
	}
	return err
}

// A sitemapParser is where in a document one is.
type sitemapParser struct {
	kind      names
	root      string
	depth     int
	entry     int // the depth of the entry that one is in; 0 outside
	loc, mod  string
	into      *string // what text belongs to; nil for nothing
	intoDepth int
	bad       error // what is wrong with the entry
}

func (p *sitemapParser) start(t xml.StartElement) error {
	if p.depth++; p.depth > maxNesting {
		return fmt.Errorf("elements nested deeper than %d", maxNesting)
	}
	name := t.Name.Local
	if p.depth == 1 {
		kind, known := kinds[name]
		if !known {
			return fmt.Errorf("not a sitemap: it begins with <%s>", excerpt(name, 50))
		}
		p.kind, p.root = kind, name
		return nil
	}
	if p.foreign(t.Name.Space) {
		return nil
	}
	switch {
	case p.entry == 0 && name == p.kind.entry:
		p.entry, p.loc, p.mod, p.bad = p.depth, "", "", nil
	case p.entry == 0 || p.depth != p.entry+1:
	case name == p.kind.loc && p.root == "feed":
		p.loc = atomLink(t, p.loc)
	case name == p.kind.loc:
		p.loc, p.into, p.intoDepth = "", &p.loc, p.depth
	case name == p.kind.mod, p.root == "feed" && name == "published" && p.mod == "":
		p.mod, p.into, p.intoDepth = "", &p.mod, p.depth
	}
	return nil
}

// foreign reports whether an element is of a namespace that says nothing about
// what is to be warmed. Documents that forget to name theirs are understood.
func (p *sitemapParser) foreign(space string) bool {
	switch {
	case space == "":
		return false
	case p.root == "rss":
		return true
	case p.root == "feed":
		return space != "http://www.w3.org/2005/Atom"
	}
	for _, s := range sitemapSpaces {
		if strings.HasPrefix(space, s) {
			return false
		}
	}
	return true
}

// atomLink is the link of an entry, given the one found before: what is not
// another thing than the page (RFC 4287, section 4.2.7.2).
func atomLink(t xml.StartElement, before string) string {
	href, rel := "", "alternate"
	for _, a := range t.Attr {
		switch a.Name.Local {
		case "href":
			href = a.Value
		case "rel":
			rel = a.Value
		}
	}
	if rel == "alternate" && before == "" {
		return href
	}
	return before
}

func (p *sitemapParser) end(yield func(found) error) (err error) {
	if p.into != nil && p.depth == p.intoDepth {
		p.into = nil
	}
	if p.entry > 0 && p.depth == p.entry {
		p.entry = 0
		if loc := strings.TrimSpace(p.loc); loc != "" {
			err = yield(found{loc: loc, mod: parseDate(strings.TrimSpace(p.mod)), sitemap: p.kind.sitemap, bad: p.bad})
		}
	}
	p.depth--
	return err
}

// parseDate reads a date as sitemaps (W3C Datetime), Atom (RFC 3339) and RSS
// (RFC 822) write it; the zero time if it is none.
func parseDate(s string) time.Time {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02", "2006-01", "2006",
		time.RFC1123Z, time.RFC1123, "Mon, 2 Jan 2006 15:04:05 -0700", "Mon, 2 Jan 2006 15:04:05 MST", "2006-01-02 15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	return time.Time{}
}

// A frugal reader fails where one token takes more than maxToken: the decoder
// holds a token as a whole.
type frugal struct {
	r io.Reader
	n int // bytes since the last token; the decoder reads some ahead
}

func (f *frugal) Read(b []byte) (int, error) {
	n, err := f.r.Read(b)
	if f.n += n; f.n > maxToken {
		return 0, fmt.Errorf("an element of more than %d bytes", maxToken)
	}
	return n, err
}

// robotsSitemaps hands on the sitemaps that a robots.txt names (RFC 9309 leaves
// them to sitemaps.org).
func robotsSitemaps(r io.Reader, yield func(found) error) error {
	for l, err := range linesOf(r) {
		if err != nil {
			return err
		}
		name, value, ok := strings.Cut(l.text, ":")
		if !ok || l.err != nil || !strings.EqualFold(strings.TrimSpace(name), "Sitemap") {
			continue
		}
		value, _, _ = strings.Cut(value, " #")
		if err := yield(found{loc: strings.TrimSpace(value), sitemap: true}); err != nil {
			return err
		}
	}
	return nil
}
