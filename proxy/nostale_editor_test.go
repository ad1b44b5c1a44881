package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"surrogate/purge"
)

// edit raises versions and purges.
func (h *history) edit(id uint64, r *rand.Rand) {
	for n := range 10 {
		rest(r)
		rest(r)
		if r.IntN(6) == 0 {
			h.post(fmt.Sprintf("e%d.%d", id, n), h.pages[r.IntN(len(h.pages))])
			continue
		}
		h.purge(fmt.Sprintf("e%d.%d", id, n), r)
	}
}

// purge chooses what to purge, raises the versions of what that covers, purges
// and makes the promise.
func (h *history) purge(name string, r *rand.Rand) {
	p := h.pages[r.IntN(len(h.pages))]
	req := purge.Request{Soft: r.IntN(4) == 0}
	covers := func(*page) bool { return true }
	switch r.IntN(12) {
	case 0:
		req.Everything = true
	case 1:
		req.Hosts = []string{p.host}
		covers = func(q *page) bool { return q.host == p.host }
	case 2:
		req.Prefixes = []string{p.host + p.path[:3]}
		covers = func(q *page) bool { return q.host == p.host && strings.HasPrefix(q.path, p.path[:3]) }
	case 3, 4:
		req.URLs = []string{p.url()}
		covers = func(q *page) bool { return q == p || slices.Contains(q.deps, p.url()) }
	case 5:
		req.Keys = []string{string(p.key())}
		covers = func(q *page) bool { return q == p || slices.Contains(q.deps, p.url()) }
	default:
		tag := fmt.Sprintf("t%d", r.IntN(4))
		req.Tags = []string{tag}
		covers = func(q *page) bool { return slices.Contains(q.tags, tag) || slices.Contains(q.deps, tag) }
	}
	changed := h.raise(covers)
	receipt, err := h.purger.Purge(context.Background(), req)
	if err != nil {
		h.t.Errorf("seed %d: purge %+v: %v", h.seed, req, err)
		return
	}
	h.promise(changed, req.Soft)
	h.note(nil, "%s: %s %v at %d, fell too: %v", name, receipt.Mode, receipt.Asked, receipt.Seq, receipt.Expanded)
}

// raise gives a new version to the pages covered and to all that is made from
// them. Those that are made from a page which is not stored cannot fall by its
// tags, which nobody knows, and are left out.
//
// The versions are raised first, then it is looked whether a page is stored: if
// it falls by another's purge after that, what is made from it falls then, and
// has its new version.
func (h *history) raise(covers func(*page) bool) map[*page]int {
	changed := make(map[*page]int)
	add := func(p *page) {
		h.mu.Lock()
		defer h.mu.Unlock()
		p.version++
		p.since[p.version] = time.Now()
		changed[p] = p.version
		h.noteLocked(p, "# %s is version %d", p.path, p.version)
	}
	for _, p := range h.pages {
		if covers(p) {
			add(p)
		}
	}
	for again := true; again; {
		again = false
		for _, p := range h.pages {
			if _, ok := changed[p]; ok {
				continue
			}
			for q := range changed {
				if slices.Contains(p.deps, q.url()) && h.stored(q) {
					add(p)
					// Once more: it may have fallen before the version rose.
					if !h.stored(q) {
						delete(changed, p)
						continue
					}
					again = true
					break
				}
			}
		}
	}
	return changed
}

// stored reports whether a page is stored in some variant.
func (h *history) stored(p *page) bool {
	for _, variant := range []string{"a", "b"} {
		f, err := h.store.Get(context.Background(), p.key(), http.Header{"X-Variant": {variant}})
		if err == nil && f.Hit {
			return true
		}
	}
	return false
}

// promise says that versions are in force.
func (h *history) promise(changed map[*page]int, soft bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for p, version := range changed {
		if soft {
			p.soft = append(p.soft, softPromise{version, now})
		} else {
			p.promised = max(p.promised, version)
		}
	}
}

// post changes a page by an unsafe request.
func (h *history) post(name string, p *page) {
	changed := make(map[*page]int)
	v := send(h.t, h.public, "POST", "http", p.host, p.path, http.Header{"X-Changes": {name}, "X-Variant": {"a"}}, "x", visitor)
	<-v.done
	h.mu.Lock()
	if v.code() == http.StatusNoContent || v.code() == http.StatusOK {
		for _, q := range h.pages {
			if n, ok := h.posted[name][q]; ok {
				changed[q] = n
			}
		}
	}
	h.noteLocked(nil, "%s: post %s, status %d", name, p.url(), v.code())
	h.mu.Unlock()
	h.promise(changed, false)
}

// answerer is the origin of a history.
func (h *history) answerer(r *rand.Rand) func(*http.Request, int) (*reply, error) {
	return func(req *http.Request, n int) (*reply, error) {
		i := slices.IndexFunc(h.pages, func(p *page) bool { return p.host == req.Host && p.path == targetOf(req) })
		if i < 0 {
			return nil, errors.New("no such page: " + req.Host + targetOf(req))
		}
		p := h.pages[i]
		rep := &reply{cut: -1, status: 200, header: make(http.Header), hang: time.Duration([]int{0, 0, 1, 2, 5, 15}[r.IntN(6)]) * 100 * time.Millisecond}
		h.mu.Lock()
		defer h.mu.Unlock()
		if req.Method == "POST" {
			rep.status = http.StatusNoContent
			name := req.Header.Get("X-Changes")
			h.posted[name] = make(map[*page]int)
			for _, q := range h.pages {
				if q == p || slices.Contains(q.deps, p.url()) {
					q.version++
					q.since[q.version] = time.Now()
					h.posted[name][q] = q.version
				}
			}
			if r.IntN(2) == 0 {
				// The answer is what a GET would be given, and says so.
				p.write(rep, req, r)
				rep.status = http.StatusOK
				rep.header.Set("Content-Location", p.path)
			}
			return rep, nil
		}
		switch r.IntN(25) {
		case 0:
			rep.refuse = true
			return rep, nil
		case 1:
			rep.status = 503
			h.noteLocked(p, "# fetch %d of %s: 503 after %v", n, p.path, rep.hang)
			return rep, nil
		case 2:
			rep.cut = r.IntN(20)
		}
		if r.IntN(4) == 0 {
			rep.pause = time.Duration(r.IntN(10)) * 100 * time.Millisecond
		}
		p.write(rep, req, r)
		h.noteLocked(p, "# fetch %d of %s: %d with version %d after %v and %v, %v", n, p.path, rep.status, p.version, rep.hang, rep.pause, req.Header["If-None-Match"])
		return rep, nil
	}
}

// write writes the page's current version, or what was asked of it.
func (p *page) write(rep *reply, req *http.Request, r *rand.Rand) {
	variant := ""
	if p.varies {
		variant = req.Header.Get("X-Variant")
		rep.header.Set("Vary", "X-Variant")
	}
	tag := fmt.Sprintf(`"%d%s"`, p.version, variant)
	rep.header.Set("Etag", tag)
	rep.header.Set("X-Version", fmt.Sprint(p.version))
	rep.header.Set("Content-Type", "text/plain") // without one it is not answered inline
	rep.header.Set("Cache-Control", p.control)
	rep.header.Set("Surrogate-Key", strings.Join(append(slices.Clone(p.tags), fmt.Sprintf("v%d", p.version%3)), " "))
	if len(p.deps) > 0 {
		rep.header.Set("Surrogate-Depends", strings.Join(p.deps, " "))
	}
	rep.body = content(p, p.version, variant)
	if req.Header.Get("If-None-Match") == tag {
		rep.status, rep.body = http.StatusNotModified, ""
		return
	}
	var from, to int
	if rng := req.Header.Get("Range"); rng != "" && r.IntN(3) > 0 {
		if ir := req.Header.Get("If-Range"); ir != "" && ir != tag {
			return
		}
		switch n, _ := fmt.Sscanf(rng, "bytes=%d-%d", &from, &to); n {
		case 1:
			to = len(rep.body) - 1
		case 0:
			return
		}
		to = min(to, len(rep.body)-1)
		rep.header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(rep.body)))
		rep.status, rep.body = http.StatusPartialContent, rep.body[from:to+1]
	}
}
