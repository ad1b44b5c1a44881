package proxy

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
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

// visible returns the fields that clients see.
func (s *site) visible(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for k, v := range h {
		if !s.hidden[k] {
			out[k] = v
		}
	}
	return out
}

// split returns the fields to store as clients see them, and those that belong
// to the response but are hidden from clients. Tags and deps are in neither:
// the entry has them.
func (s *site) split(h http.Header, omit []string) (visible, hidden store.Head) {
	shown := make(http.Header, len(h))
	var kept http.Header
	for k, v := range h {
		switch {
		case !s.hidden[k]:
			shown[k] = v
		case !s.isTagField(k):
			if kept == nil {
				kept = make(http.Header)
			}
			kept[k] = v
		}
	}
	return storedHead(shown, omit), storedHead(kept, omit)
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

// speaksOfTags reports whether h has one of the site's tag or dep fields.
func (s *site) speaksOfTags(h http.Header) bool {
	for k := range h {
		if s.isTagField(k) {
			return true
		}
	}
	return false
}

// valuesOf returns the values of all the named fields.
func valuesOf(h http.Header, names []string) []string {
	var out []string
	for _, n := range names {
		out = append(out, h[n]...)
	}
	return out
}

// earlyRefresh decides whether a request for a fresh entry refreshes it ahead of
// time, with a chance that grows as the end comes near, the earlier the longer a
// fetch takes and the more often it is asked for: the XFetch rule of Vattani,
// Chierichetti and Lowenstein. beta 0 never does. rnd is in [0, 1).
func earlyRefresh(f *store.Found, now time.Time, beta, rnd float64) bool {
	if beta <= 0 || f.Entry.Cost <= 0 {
		return false
	}
	gap := float64(f.Entry.Cost) * beta * -math.Log(1-rnd)
	return float64(freshUntil(f).Sub(now)) <= gap
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
		// Relative to the path (RFC 3986, section 5.2.3).
		dir, _, _ := strings.Cut(q.key.Target(), "?")
		ref = dir[:strings.LastIndexByte(dir, '/')+1] + ref
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
