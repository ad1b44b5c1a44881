package proxy

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"surrogate/store"
)

// cleanResponse removes what concerned the connection to the origin, and adds
// the Date that a response must have once it is passed on (RFC 9110, section
// 6.6.1).
func cleanResponse(h http.Header, received time.Time) {
	removeHopByHop(h)
	if h["Date"] == nil {
		h["Date"] = []string{received.UTC().Format(http.TimeFormat)}
	}
}

// visible returns the fields that clients see, nil if there are none.
func (s *site) visible(h http.Header) http.Header {
	if len(h) == 0 {
		return nil
	}
	out := make(http.Header, len(h))
	for k, v := range h {
		if !s.hidden[k] {
			out[k] = v
		}
	}
	return out
}

// hide deletes the fields that clients do not see.
func (s *site) hide(h http.Header) {
	for _, k := range s.hiding {
		delete(h, k)
	}
}

// split returns the fields to store as clients see them, and those that belong
// to the response but are hidden from clients. Tags and deps that came in one
// field each, the first that the site has for them, are in neither: the entry
// has them, and tagFieldsOf brings them back.
func (s *site) split(h http.Header, omit []string) (visible, hidden store.Head) {
	plain := s.plainlyTagged(h)
	visible = storedHead(h, func(name string) bool { return s.hidden[name] || slices.Contains(omit, name) })
	for _, k := range s.hiding {
		if h[k] != nil && !(plain && s.isTagField(k)) {
			hidden = storedHead(h, func(name string) bool {
				return !s.hidden[name] || plain && s.isTagField(name) || slices.Contains(omit, name)
			})
			break
		}
	}
	return visible, hidden
}

func (s *site) isTagField(name string) bool {
	if s.groups && name == cacheGroups {
		return true
	}
	for _, names := range [...][]string{s.tagged, s.deps} {
		for _, n := range names {
			if n == name {
				return true
			}
		}
	}
	return false
}

// plainlyTagged reports whether h has no tag or dep field but the first of each.
func (s *site) plainlyTagged(h http.Header) bool {
	if s.groups && h[cacheGroups] != nil {
		return false
	}
	for _, names := range [...][]string{s.tagged, s.deps} {
		for _, k := range names[min(1, len(names)):] {
			if h[k] != nil && k != firstName(s.tagged) && k != firstName(s.deps) {
				return false
			}
		}
	}
	return true
}

func firstName(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// tagFieldsOf returns the tag and dep fields that e came with, as far as split
// left them out.
func (s *site) tagFieldsOf(e *store.Entry) store.Head {
	if !s.plainlyTagged(e.Head.And(e.Hidden).Header()) {
		return store.Head{}
	}
	h := make(http.Header, 2)
	for i, fields := range [...][]string{s.tagged, s.deps} {
		list := [...]store.NameList{e.Tags, e.Deps}[i]
		if len(fields) == 0 || e.Head.Has(fields[0]) || e.Hidden.Has(fields[0]) {
			continue
		}
		var names []string
		for n := range list.All() {
			if n != "" && n[0] != ' ' { // implicit ones follow from the others
				names = append(names, string(n))
			}
		}
		if names != nil {
			h[fields[0]] = []string{strings.Join(names, " ")}
		}
	}
	return store.HeadOf(h)
}

// valuesOf returns the values of all the named fields.
func valuesOf(h http.Header, names []string) []string {
	var out []string
	for _, n := range names {
		out = append(out, h[n]...)
	}
	return out
}

func randFloat() float64 { return rand.Float64() }

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// closeOnDone closes c when ctx ends, so that a read from it does not outlast
// the client it is for. The function it returns calls that off.
func closeOnDone(ctx context.Context, c io.Closer) func() bool {
	return context.AfterFunc(ctx, func() { c.Close() })
}

// sameSite returns the key of a URL that a response for key refers to, in
// Location or Content-Location: a path, or absolute at the same host.
func (q *request) sameSite(ref string) (store.Key, bool) {
	if ref == "" {
		return "", false
	}
	if !strings.HasPrefix(ref, "/") && !strings.Contains(ref, "://") {
		// Relative (RFC 3986, section 5.2). What is absolute is taken as it is
		// written: a path is never cleaned.
		base, err1 := url.Parse(string(q.key))
		rel, err2 := url.Parse(ref)
		if err1 != nil || err2 != nil {
			return "", false
		}
		ref = base.ResolveReference(rel).String()
	}
	if strings.HasPrefix(ref, "//") {
		ref = q.key.Scheme() + ":" + ref
	}
	scheme, host, target, err := store.SplitURL(ref, q.key.Host())
	if err != nil {
		return "", false
	}
	if scheme == "" {
		scheme = q.key.Scheme()
	}
	k := q.site.Key.Key(scheme, host, target)
	return k, k.Host() == q.key.Host()
}
