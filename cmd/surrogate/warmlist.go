package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
)

// noList says what is wrong with the name of a list that is none; nil where it
// may be one.
func noList(name string) error {
	if name == "-" {
		return nil
	}
	info, err := os.Stat(name)
	switch host, _, _ := strings.Cut(name, "/"); {
	case err == nil && info.IsDir():
		return wrongUsage("%s is a directory: want a file with a URL in each line, or - for standard input", name)
	case !errors.Is(err, fs.ErrNotExist):
		return nil
	case name == "help":
		return wrongUsage("there is no file help; surrogate warm --help lists the flags")
	case strings.HasPrefix(name, "/"):
		// Not taken for a path by itself: a list that is missing would pass for one.
		return wrongUsage("there is no file %s; for the path of a URL: surrogate warm --base http://HOST --url %s", name, name)
	case host != name && strings.ContainsAny(strings.TrimLeft(host, "."), ".:"), strings.Contains(host, ":"):
		return wrongUsage("there is no file %s; for a URL: surrogate warm http://%s", name, name)
	}
	return nil
}

// post hands in what is to be warmed.
func (w *warming) post(ctx context.Context) ([]byte, error) {
	if w.list == "" {
		b, err := json.Marshal(w.ask)
		if err != nil {
			return nil, fmt.Errorf("couldn't put the question: %w", err)
		}
		body, _, err := w.client.send(ctx, "POST", "/v1/warm", "application/json", strings.NewReader(string(b)))
		return body, err
	}
	what := w.list
	if what == "-" {
		what = "standard input"
	}
	q := url.Values{"id": {w.ask.ID}, "what": {what}}
	if w.ask.Site != "" {
		q.Set("site", w.ask.Site)
	}
	if w.ask.Base != "" {
		q.Set("base", w.ask.Base)
	}
	if w.ask.Force {
		q.Set("force", "true")
	}
	body, _, err := w.client.send(ctx, "POST", "/v1/warm?"+q.Encode(), "text/plain; charset=utf-8", w.lines)
	return body, err
}
