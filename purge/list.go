package purge

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"surrogate/store"
)

// An object is an entry as the lists show it.
type object struct {
	Key    store.Key `json:"key"`
	Vary   string    `json:"vary,omitempty"`
	Status int       `json:"status"`
	Age    int64     `json:"age"` // seconds
	TTL    int64     `json:"ttl"` // seconds left; negative when stale
	Bytes  int64     `json:"bytes"`
	Tags   []string  `json:"tags"`
	Deps   []string  `json:"deps,omitempty"`
}

func objectOf(e *store.Entry, now time.Time) object {
	o := object{
		Key: e.Key, Vary: e.Vary, Status: e.Status,
		Age: int64(now.Sub(e.Life.Born).Seconds()), TTL: int64(e.Life.Expires().Sub(now).Seconds()),
		Tags: []string{},
	}
	for n := range e.Tags.All() {
		o.Tags = append(o.Tags, n.String())
	}
	for n := range e.Deps.All() {
		o.Deps = append(o.Deps, n.String())
	}
	return o
}

// bodySize is the size of the body, which lists leave out: as its head says, or
// else what the URL holds in all.
func (p *Purger) bodySize(ctx context.Context, e *store.Entry) int64 {
	var n int64
	for _, part := range e.Parts {
		n += part.Len
	}
	if !e.Complete() {
		return n
	}
	if n, err := strconv.ParseInt(e.Head.Get("Content-Length"), 10, 64); err == nil {
		return n
	}
	c, err := p.store.Count(ctx, store.URLName(e.Key))
	if err != nil {
		return 0
	}
	return c.Bytes
}

// A page of objects.
type page struct {
	Name    string   `json:"name"`
	Entries int      `json:"entries"` // that carry it, purged ones included until they are swept
	Bytes   int64    `json:"bytes"`
	Cascade []string `json:"cascade,omitempty"` // names that would fall with it, at most maxListed
	Objects []object `json:"objects"`
	Cursor  string   `json:"cursor,omitempty"` // for the next page
}

// list answers with a page of what carries name and passes keep. Its route has
// the known parameters besides those of a page.
func (p *Purger) list(w http.ResponseWriter, r *http.Request, name store.Name, out page, keep func(*store.Entry) bool, known ...string) {
	var ps problems
	q := readQuery(r, &ps, append(known, "limit", "cursor")...)
	limit := readLimit(q, &ps)
	if err := ps.err(); err != nil {
		writeRefusal(w, err)
		return
	}
	count, err := p.count(r.Context(), name)
	if err != nil {
		writeProblem(w, http.StatusServiceUnavailable, "The store failed: "+err.Error(), nil)
		return
	}
	out.Name, out.Entries, out.Bytes, out.Objects = name.String(), count.Entries, count.Bytes, []object{}
	es, cursor, err := p.store.List(r.Context(), name, q.Get("cursor"), limit)
	if err != nil {
		writeProblem(w, http.StatusServiceUnavailable, "The store failed: "+err.Error(), nil)
		return
	}
	now := time.Now()
	for i := range es {
		if keep(&es[i]) {
			o := objectOf(&es[i], now)
			o.Bytes = p.bodySize(r.Context(), &es[i])
			out.Objects = append(out.Objects, o)
		}
	}
	out.Cursor = cursor
	writeJSON(w, http.StatusOK, out)
}

func everyEntry(*store.Entry) bool { return true }

func (p *Purger) serveTag(w http.ResponseWriter, r *http.Request, tag string) {
	name, err := p.nameOf(tag)
	if err != nil {
		writeProblem(w, http.StatusBadRequest, err.Error(), nil)
		return
	}
	p.list(w, r, name, page{}, everyEntry)
}

// nameOf is the name that s is, a tag or what receipts print for another:
// "url host/path". No tag has a space.
func (p *Purger) nameOf(s string) (store.Name, error) {
	var names []store.Name
	var err error
	switch word, rest, _ := strings.Cut(s, " "); {
	case rest == "":
		return store.Name(s), store.CheckTag(s)
	case word == "url" || word == "key":
		names, err = p.urlNames(rest)
	case word == "host":
		names, err = hostNames(rest)
	case word == "prefix":
		names, err = prefixNames(rest)
	default:
		err = fmt.Errorf("%w: %.100q; of other names there are url, host and prefix", store.ErrBadTag, s)
	}
	if err != nil {
		return "", err
	}
	return names[0], nil
}

// serveDeps lists what was made from a tag, an absolute URL or "url host/path", and the names
// that would fall with it.
func (p *Purger) serveDeps(w http.ResponseWriter, r *http.Request, s string) {
	if strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://") {
		s = "url " + s
	}
	name, err := p.nameOf(s)
	if err != nil {
		writeProblem(w, http.StatusBadRequest, err.Error(), nil)
		return
	}
	c := newCascade(p.store, p.o.MaxExpand, []store.Name{name})
	found, err := c.walk(r.Context(), []store.Name{name})
	if err != nil {
		status, _ := failure(err)
		writeProblem(w, status, err.Error(), nil)
		return
	}
	var out page
	for _, n := range found[:min(len(found), maxListed)] {
		out.Cascade = append(out.Cascade, n.String())
	}
	p.list(w, r, name, out, func(e *store.Entry) bool {
		for n := range e.Deps.All() {
			if n == name {
				return true
			}
		}
		return false
	})
}

// serveObjects lists everything, or what is under ?host= or ?url=.
func (p *Purger) serveObjects(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	names, err := []store.Name{store.AllName}, error(nil)
	if u := q.Get("url"); u != "" {
		names, err = p.urlNames(u)
	} else if h := q.Get("host"); h != "" {
		names, err = hostNames(h)
	}
	if err != nil {
		writeProblem(w, http.StatusBadRequest, err.Error(), nil)
		return
	}
	p.list(w, r, names[0], page{}, everyEntry, "host", "url")
}
