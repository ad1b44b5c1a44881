package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"surrogate/store"
)

// An explanation is the answer of /v1/explain: what the cache knows of a URL.
// It is there for whoever has purged and is still shown the old page.
type explanation struct {
	URL     string    `json:"url"` // as it was asked for
	Key     store.Key `json:"key"` // what it is stored under, or would be
	Site    string    `json:"site"`
	Verdict string    `json:"verdict"`              // the answer in a sentence
	Entries []cached  `json:"entries"`              // what is stored, one for each pick
	Falls   []name    `json:"falls_with"`           // every name whose purge takes it
	Takes   []string  `json:"takes_along"`          // what was made from it, and falls when it falls
	Last    *touch    `json:"last_purge,omitempty"` // the last that covers it
	Unkept  *unkept   `json:"not_kept,omitempty"`   // its last answer, if that was not stored
	Cut     bool      `json:"incomplete,omitempty"` // there is more than is listed
	Served  bool      `json:"served"`               // whether any site is
}

// A cached entry, as explain shows it.
type cached struct {
	Key    store.Key `json:"key"`
	Vary   string    `json:"vary,omitempty"`
	Pick   string    `json:"pick,omitempty"` // the values of the fields in vary
	Status int       `json:"status"`
	State  string    `json:"state"` // "fresh", "stale" or "soft-purged"
	Age    int64     `json:"age"`
	TTL    int64     `json:"ttl"`                 // what is left; negative when stale
	After  store.Seq `json:"fetched_after_purge"` // the last purge before its fetch began
	Bytes  int64     `json:"bytes"`
	Tags   []string  `json:"tags"`
	Deps   []string  `json:"deps"`
}

// A name that takes a URL with it, by way of the pages it was made from.
type name struct {
	Name string   `json:"name"`
	Says string   `json:"says,omitempty"` // what it is in words, where it is neither tag, URL nor host
	Via  []string `json:"via,omitempty"`
}

// An unkept is an answer that was not stored.
type unkept struct {
	At  time.Time `json:"at"`
	Ago float64   `json:"ago_s"`
	Why string    `json:"why"`
}

// A touch is a purge that covers a URL.
type touch struct {
	Seq   store.Seq `json:"seq"`
	ID    string    `json:"id,omitempty"`
	At    time.Time `json:"at"`
	Mode  string    `json:"mode"`
	Asked []string  `json:"asked"`
	By    string    `json:"by,omitempty"`
	Why   string    `json:"why,omitempty"`
	Name  string    `json:"name,omitempty"` // the one of its names that fell
	Took  bool      `json:"took"`           // it found the URL stored, and took it
}

func (n *node) serveExplain(w http.ResponseWriter, r *http.Request) {
	url := r.URL.Query().Get("url")
	if url == "" {
		problem(w, http.StatusBadRequest, "Ask for ?url=https://host/path, percent-encoded.")
		return
	}
	x, err := n.explain(r.Context(), url)
	switch {
	case errors.Is(err, store.ErrBadURL):
		problem(w, http.StatusBadRequest, err.Error())
	case err != nil:
		problem(w, http.StatusServiceUnavailable, "The store failed: "+err.Error())
	default:
		reply(w, x)
	}
}

// maxExplained bounds each list of an answer.
const maxExplained = 200

// explain tells what there is to tell about a URL.
func (n *node) explain(ctx context.Context, asked string) (*explanation, error) {
	scheme, host, target, err := store.SplitURL(asked, "")
	if err != nil {
		return nil, err
	}
	if scheme == "" {
		scheme = "https"
	}
	x := &explanation{URL: asked, Entries: []cached{}, Falls: []name{}, Takes: []string{}}
	rules := &store.KeyRules{}
	if s := n.proxy.Site(host); s != nil {
		x.Site, x.Served, rules = s.Name, true, &s.Key
	}
	x.Key = rules.Key(scheme, host, target)
	entries, _, whole, err := n.entriesAt(ctx, store.URLName(x.Key))
	if err != nil {
		return nil, err
	}
	x.Cut = !whole
	if len(entries) > 0 && !slices.ContainsFunc(entries, func(e store.Entry) bool { return e.Key == x.Key }) {
		x.Key = entries[0].Key
	}
	now := time.Now()
	x.Unkept = n.unkeptAt(x.Key, now)
	carried := map[store.Name]bool{store.AllName: true, store.HostName(x.Key.Host()): true, store.URLName(x.Key): true}
	for i := range entries {
		x.Entries = append(x.Entries, n.cachedOf(&entries[i], now))
		for nm := range entries[i].Names() {
			carried[nm] = true
		}
	}
	if err := n.fallsWith(ctx, x, entries); err != nil {
		return nil, err
	}
	if err := n.takesAlong(ctx, x); err != nil {
		return nil, err
	}
	if x.Last, err = n.lastTouch(ctx, x.Key, entries, carried); err != nil {
		return nil, err
	}
	x.Verdict = x.judge(entries)
	return x, nil
}

// entriesAt lists the entries of a URL and, apart from them, those made from it,
// which carry its name too; whole says whether these are all.
func (n *node) entriesAt(ctx context.Context, url store.Name) (own, made []store.Entry, whole bool, err error) {
	cursor := ""
	for range maxExplained {
		var page []store.Entry
		page, cursor, err = n.store.List(ctx, url, cursor, maxExplained)
		if err != nil {
			return nil, nil, false, err
		}
		for _, e := range page {
			if store.URLName(e.Key) == url {
				own = append(own, e)
			} else {
				made = append(made, e)
			}
		}
		if cursor == "" || len(own) >= maxExplained {
			break
		}
	}
	return own, made, cursor == "", nil
}

// cachedOf describes an entry.
func (n *node) cachedOf(e *store.Entry, now time.Time) cached {
	c := cached{
		Key: e.Key, Vary: e.Vary, Pick: strings.TrimSpace(string(e.Pick)), Status: e.Status, State: "fresh",
		Age: int64(now.Sub(e.Life.Born).Seconds()), TTL: int64(e.Life.Expires().Sub(now).Seconds()),
		After: e.Ticket, Bytes: e.Bytes() + contentLength(e), Tags: words(e.Tags), Deps: words(e.Deps),
	}
	if !e.Life.Expires().After(now) {
		c.State = "stale"
	}
	if fell, ok := errors.AsType[*store.PurgedError](n.store.Check(e)); ok && fell.Soft {
		c.State = "soft-purged"
	}
	return c
}

// contentLength is the length of the content, which lists leave out.
func contentLength(e *store.Entry) int64 {
	var length int64
	if len(e.Body) == 0 {
		fmt.Sscan(e.Head.Get("Content-Length"), &length) // stays 0 where there is none
	}
	return length
}

func words(l store.NameList) []string {
	out := []string{}
	for nm := range l.All() {
		out = append(out, nm.String())
	}
	return out
}

// fallsWith lists the names that take the entries, and those that take what
// they were made from, as far as that is in the cache.
func (n *node) fallsWith(ctx context.Context, x *explanation, entries []store.Entry) error {
	type level struct {
		entries []store.Entry
		via     []string
	}
	self := store.URLName(x.Key)
	seen := map[store.Name]bool{}
	for queue := []level{{entries, nil}}; len(queue) > 0; queue = queue[1:] {
		for i := range queue[0].entries {
			for nm := range queue[0].entries[i].Names() {
				if seen[nm] {
					continue
				}
				seen[nm] = true
				if len(x.Falls) == maxExplained {
					x.Cut = true
					return nil
				}
				if _, isHost := nm.Host(); isHost && queue[0].via != nil {
					continue // of another host only where the whole path is: said by the URL
				}
				x.Falls = append(x.Falls, name{nm.String(), inWords(nm), queue[0].via})
				if _, isURL := nm.URL(); !isURL || nm == self {
					continue
				}
				from, _, whole, err := n.entriesAt(ctx, nm)
				if err != nil {
					return err
				}
				x.Cut = x.Cut || !whole
				queue = append(queue, level{from, append(slices.Clip(queue[0].via), nm.String())})
			}
		}
	}
	return nil
}

// takesAlong lists what was made from the URL, and what from that.
func (n *node) takesAlong(ctx context.Context, x *explanation) error {
	self := store.URLName(x.Key)
	seen := map[store.Name]bool{self: true}
	for queue := []store.Name{self}; len(queue) > 0; queue = queue[1:] {
		_, made, whole, err := n.entriesAt(ctx, queue[0])
		if err != nil {
			return err
		}
		x.Cut = x.Cut || !whole
		for i := range made {
			url := store.URLName(made[i].Key)
			if seen[url] {
				continue
			}
			seen[url] = true
			if len(x.Takes) == maxExplained {
				x.Cut = true
				return nil
			}
			x.Takes = append(x.Takes, url.String())
			queue = append(queue, url)
		}
	}
	return nil
}

// lastTouch finds the last purge of what the URL carries, as far as the log
// reaches back, or, when it is gone, the one that was swept for it.
func (n *node) lastTouch(ctx context.Context, key store.Key, entries []store.Entry, carried map[store.Name]bool) (*touch, error) {
	swept := max(n.fallen.by(store.Key("http://"+key.URL())), n.fallen.by(store.Key("https://"+key.URL())))
	held, err := n.store.Stats(ctx)
	if err != nil {
		return nil, err
	}
	var last *touch
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, window := range []store.Seq{held.Seq, 10_000, 1000, 100, 10} {
		after := held.Seq - min(window, held.Seq)
		gap := false
		if after == held.Seq {
			break // nothing was ever purged
		}
		for ev, err := range n.store.Events(ctx, after) {
			if errors.Is(err, store.ErrGap) {
				gap = true
				break
			}
			if err != nil {
				return nil, err
			}
			if nm, ok := touched(&ev, key, carried); ok || ev.Seq == swept {
				last = touchOf(&ev, nm)
				last.Took = ev.Seq == swept
			}
			if ev.Seq >= held.Seq {
				break
			}
		}
		if !gap {
			break
		}
	}
	return last, nil
}

// touched returns the one of the names carried that an event made fall.
func touched(ev *store.Event, key store.Key, carried map[store.Name]bool) (store.Name, bool) {
	for _, nm := range ev.Names {
		if carried[nm] {
			return nm, true
		}
		if prefix, ok := nm.Prefix(); ok && strings.HasPrefix(key.URL(), prefix) {
			return nm, true
		}
	}
	return "", false
}

func touchOf(ev *store.Event, nm store.Name) *touch {
	t := &touch{Seq: ev.Seq, ID: ev.ID, At: ev.At, Mode: "hard", Asked: ev.Asked, By: ev.By, Why: ev.Why, Name: nm.String()}
	if ev.Soft {
		t.Mode = "soft"
	}
	return t
}

// judge is the answer in a sentence.
func (x *explanation) judge(entries []store.Entry) string {
	last := ""
	if x.Last != nil {
		last = fmt.Sprintf("purge %d (%s, of %s)", x.Last.Seq, x.Last.At.Format(time.TimeOnly), some(x.Last.Asked, 0))
	}
	switch {
	case !x.Served:
		return "not served: no site has this host"
	case len(x.Entries) == 0 && x.Unkept != nil && (x.Last == nil || !x.Last.Took || x.Unkept.At.After(x.Last.At)):
		return fmt.Sprintf("not in the cache: its last answer, %s ago, was not stored: %s", seconds(int64(x.Unkept.Ago)), x.Unkept.Why)
	case len(x.Entries) == 0 && x.Last != nil && x.Last.Took:
		return "not in the cache: " + last + " took it, and it has not been stored since"
	case len(x.Entries) == 0 && x.Last != nil:
		return "not in the cache; " + last + " is the last that covers it, but is not known to have taken it"
	case len(x.Entries) == 0:
		return "not in the cache: it was not asked for, could not be stored, or is gone by age or for want of room; Cache-Status of an answer says which of its responses are stored, and why not"
	case slices.ContainsFunc(x.Entries, func(c cached) bool { return c.State == "soft-purged" }):
		return "in the cache, stale by " + last + ": it is fetched anew when it is asked for"
	}
	state := "in the cache and fresh"
	if !slices.ContainsFunc(x.Entries, func(c cached) bool { return c.State == "fresh" }) {
		state = "in the cache, but no longer fresh"
	}
	if x.Last == nil {
		return state + "; no purge that is on record named anything it falls with"
	}
	for i := range entries {
		if entries[i].Ticket < x.Last.Seq {
			return state + "; " + last + " came after it was fetched and did not cover all of it"
		}
	}
	return state + ": fetched after " + last + ". If it shows what was there before, then so did the origin when it was asked"
}
