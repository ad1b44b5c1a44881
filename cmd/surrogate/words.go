package main

import (
	"strings"
	"time"

	"surrogate/store"
)

// inWords says what a name is that is neither tag, URL nor host; "" for those.
func inWords(n store.Name) string {
	path, isSearch := strings.CutPrefix(string(n), string(store.SearchName("")))
	switch {
	case n == store.AllName:
		return "a purge of everything"
	case n == store.CatchAllName:
		return "every purge, because its tags were too many, too long or malformed"
	case isSearch:
		return "a purge of any URL of " + path + ", because one entry stands for several queries (No-Vary-Search)"
	}
	return ""
}

// unkeptAt is the last answer for a URL, of either scheme, if it is remembered
// that it was not stored.
func (n *node) unkeptAt(key store.Key, now time.Time) *unkept {
	var last *unkept
	for _, scheme := range []string{"http://", "https://"} {
		why, at, ok := n.proxy.NotKept(store.Key(scheme + key.URL()))
		if ok && (last == nil || at.After(last.At)) {
			last = &unkept{At: at, Ago: now.Sub(at).Seconds(), Why: why}
		}
	}
	return last
}
