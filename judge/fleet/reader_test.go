package fleet

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// visit reads pages at one node until ctx ends.
func (f *fleet) visit(ctx context.Context, n *node, r *rand.Rand) {
	for ctx.Err() == nil {
		// Some pages are asked for more often than others.
		p := f.pages[min(r.IntN(len(f.pages)), r.IntN(len(f.pages)))]
		if !f.read(n, p, r) {
			pause(ctx, 20*time.Millisecond) // the node is gone
		}
		pause(ctx, time.Duration(r.IntN(4000))*time.Microsecond)
	}
}

// pause paces load; nothing is waited for.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// read asks a node for a page and holds the answer against what was promised
// when it was asked for. It reports whether there was an answer.
func (f *fleet) read(n *node, p *page, r *rand.Rand) bool {
	variant := ""
	req, err := http.NewRequest(http.MethodGet, "http://"+n.public+p.path, nil)
	if err != nil {
		f.complain(err.Error())
		return false
	}
	req.Host = p.host
	if p.varies {
		variant = []string{"a", "b"}[r.IntN(2)]
		req.Header.Set("X-Variant", variant)
	}
	switch r.IntN(16) {
	case 0:
		req.Method = http.MethodHead
	case 1, 2:
		// What a browser has: an answer that it may go on using it says as much as
		// a page that is shown.
		req.Header.Set("If-None-Match", etag(p.version.Load()-int64(r.IntN(3)), variant))
	case 3:
		req.Header.Set("Range", "bytes=8-15")
	}
	rows := f.rows(n)
	e := event{node: n.name}
	lives := n.lives.Load()

	// From here on whatever is confirmed may or may not be shown.
	began := time.Now()
	e.at, e.floor = began.Sub(f.began), p.floor(began)
	res, err := n.client.Do(req)
	var body []byte
	if err == nil {
		body, err = io.ReadAll(res.Body)
		_ = res.Body.Close()
	}
	e.took = time.Since(began)

	k := failed
	switch {
	case err != nil && (lives%2 == 1 || n.lives.Load() != lives):
		k = unserved
	case err != nil:
		f.failedRead(n, p, &e, err.Error())
	case res.StatusCode >= 400:
		f.failedRead(n, p, &e, fmt.Sprintf("%d %s", res.StatusCode, body))
	default:
		e.status, e.how = res.StatusCode, res.Header.Get("Cache-Status")
		k = kindOf(e.how)
		f.check(p, &e, req, res, string(body), variant)
	}
	for _, row := range rows {
		row.read(k, e.took)
	}
	if e.took > time.Second && k != unserved && !f.stopped(n) {
		f.slow(&e, p)
	}
	return err == nil
}

// check compares an answer with what was promised.
func (f *fleet) check(p *page, e *event, req *http.Request, res *http.Response, body, variant string) {
	var err error
	e.version, err = versionOf(res.Header.Get("Etag"), variant)
	p.note(*e)
	want := content(p, e.version, variant)
	switch {
	case res.StatusCode == http.StatusNotModified:
		want = ""
	case res.StatusCode == http.StatusPartialContent:
		want = want[8:16]
	}
	switch {
	case err != nil:
		f.violated(p, *e, "%s: %v", e.node, err)
	case e.version < e.floor:
		f.violated(p, *e, "%s shows version %d of %s, and %d was promised before it was asked", e.node, e.version, p.url(), e.floor)
	case req.Method == http.MethodGet && body != want:
		f.violated(p, *e, "%s shows %q for %q", e.node, body, want)
	}
}

// failedRead notes a read that was not answered by a node that should have.
func (f *fleet) failedRead(n *node, p *page, e *event, why string) {
	f.failMu.Lock()
	defer f.failMu.Unlock()
	f.errors++
	if f.errors <= 5 {
		f.complain(fmt.Sprintf("%.6fs, seed %d: %s did not show %s within %v, while %s: %s",
			e.at.Seconds(), f.seed, n.name, p.url(), e.took, f.weather(), why))
	}
}

// slow takes down a read that took long: it is no violation, but somebody waited.
func (f *fleet) slow(e *event, p *page) {
	f.failMu.Lock()
	defer f.failMu.Unlock()
	if f.waited++; f.waited <= 40 {
		f.t.Logf("%.6fs: %s took %v for %s (%s)", e.at.Seconds(), e.node, e.took.Round(time.Millisecond), p.url(), e.how)
	}
}

// kindOf reads this cache's member of Cache-Status (RFC 9211).
func kindOf(status string) kind {
	switch {
	case strings.Contains(status, "; hit") && strings.Contains(status, "ttl=-"):
		return stale
	case strings.Contains(status, "; hit"):
		return hit
	case strings.Contains(status, "; collapsed"):
		return shared
	case strings.Contains(status, "fwd-status=304"):
		return revalidated
	}
	return fetched
}
