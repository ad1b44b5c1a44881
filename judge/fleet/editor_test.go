package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A purge is one purge, and what became of it.
type purge struct {
	name, node, what string
	soft             bool
	asked            time.Duration
	touched          []touched

	mu                  sync.Mutex // guards what follows
	answered, confirmed time.Duration
	answer, by          string
}

// A touched is a page that a purge covers.
type touched struct {
	*page
	touch
}

// An ask is a purge as it is sent.
type ask struct {
	json   map[string]any // to the admin API; nil for a purge method
	target string
	host   string
	header http.Header
	covers func(*page) bool
	text   string
}

// A receipt is what these tests read of one.
type receipt struct {
	ID       string   `json:"id"`
	Complete bool     `json:"complete"`
	Expanded []string `json:"expanded"`
	Detail   string   `json:"detail"`
	Msg      string   `json:"msg"`
}

// edit changes pages and purges them until ctx ends.
func (f *fleet) edit(ctx context.Context, id int, r *rand.Rand) {
	for i := 0; ctx.Err() == nil; i++ {
		pause(ctx, time.Duration(10+r.IntN(60))*time.Millisecond)
		f.purge(ctx, fmt.Sprintf("e%d.%d", id, i), f.nodes[r.IntN(len(f.nodes))], f.choose(r), r)
	}
}

// choose makes a purge of something, by one of the doors. A purge method goes to
// the host of a site, and says in the path or in fields what it is for.
func (f *fleet) choose(r *rand.Rand) ask {
	p := f.pages[r.IntN(len(f.pages))]
	method := r.IntN(3) == 0
	a := ask{host: p.host, target: p.path, header: http.Header{}}
	var member string
	var value any
	switch r.IntN(24) {
	case 0:
		a.covers = func(*page) bool { return true }
		member, value, method = "everything", true, false
	case 1, 2:
		a.covers = func(q *page) bool { return q.host == p.host }
		member, value, a.target = "hosts", []string{p.host}, "/.*"
	case 3, 4:
		a.covers = func(q *page) bool { return q.host == p.host && strings.HasPrefix(q.path, p.path[:3]) }
		member, value, a.target = "prefixes", []string{p.host + p.path[:3]}, p.path[:3]+".*"
	case 5, 6, 7, 8, 9, 10, 11:
		a.covers = func(q *page) bool { return q == p || slices.Contains(q.deps, p.url()) }
		member, value = "urls", []string{p.url()}
	default:
		list := []string{fmt.Sprintf("t%d", r.IntN(tags)), fmt.Sprintf("t%d", r.IntN(tags))}[:1+r.IntN(2)]
		a.covers = func(q *page) bool {
			return slices.ContainsFunc(list, func(t string) bool { return slices.Contains(q.tags, t) || slices.Contains(q.deps, t) })
		}
		member, value, a.target = "tags", list, "/"
		a.header.Set("Surrogate-Key", strings.Join(list, " "))
	}
	mode := "hard"
	if r.IntN(5) == 0 {
		mode = "soft"
		a.header.Set("Surrogate-Purge", "soft")
	}
	if a.text = fmt.Sprintf("%s purge of %s %v", mode, member, value); !method {
		a.json = map[string]any{member: value, "mode": mode, "wait": []string{"50ms", "300ms", "1500ms"}[r.IntN(3)]}
	}
	return a
}

// purge raises the versions of what is about to be purged, purges it and, once
// that is confirmed, takes down what it promised.
func (f *fleet) purge(ctx context.Context, name string, n *node, a ask, r *rand.Rand) {
	p := &purge{name: name, node: n.name, what: a.text, soft: strings.HasPrefix(a.text, "soft"), asked: f.now()}
	f.raise(p, a.covers)
	status, rec, err := n.purge(a)
	p.mu.Lock()
	p.answered = f.now()
	if err != nil {
		p.answer = err.Error()
	} else {
		p.answer = fmt.Sprintf("%d, complete: %v, id %s %s%s", status, rec.Complete, rec.ID, rec.Detail, rec.Msg)
	}
	p.mu.Unlock()

	o := unknown
	switch {
	case err != nil:
	case status == http.StatusOK && a.json != nil && !rec.Complete:
		f.complain(fmt.Sprintf("%s: 200 with a receipt that is not complete: %+v", name, rec))
	case status == http.StatusOK:
		o = confirmed
		f.keepPromise(p, rec, "at once")
	case status == http.StatusAccepted:
		f.late(ctx, p, n, rec, r)
		return
	case status == http.StatusServiceUnavailable:
		o = refused
	default:
		f.complain(fmt.Sprintf("%s: %s at %s: %d %s%s", name, a.text, n.name, status, rec.Detail, rec.Msg))
	}
	f.count(n, o)
}

// late waits for a receipt to turn complete, on the node that was asked or on
// any other, without holding up the editor.
func (f *fleet) late(ctx context.Context, p *purge, n *node, rec receipt, r *rand.Rand) {
	others := rand.New(rand.NewPCG(r.Uint64(), 0))
	f.lates.Go(func() {
		for end := time.Now().Add(patient); time.Now().Before(end) && ctx.Err() == nil; pause(ctx, 20*time.Millisecond) {
			at := n
			if others.IntN(3) == 0 {
				at = f.nodes[others.IntN(len(f.nodes))]
			}
			if now, err := at.receipt(rec.ID); err == nil && now.Complete {
				now.Expanded = append(now.Expanded, rec.Expanded...)
				f.keepPromise(p, now, "by a receipt of "+at.name)
				f.count(n, later)
				return
			}
		}
		if ctx.Err() == nil {
			f.count(n, unknown)
		}
	})
}

// raise gives new versions to the pages that a purge covers, and to all that is
// made from those.
func (f *fleet) raise(p *purge, covers func(*page) bool) {
	sure := make(map[*page]bool)
	for _, q := range f.pages {
		if covers(q) {
			sure[q] = true
		}
	}
	all := make(map[*page]bool)
	for q := range sure {
		all[q] = true
	}
	for again := true; again; {
		again = false
		for _, q := range f.pages {
			if !all[q] && slices.ContainsFunc(f.pages, func(from *page) bool { return all[from] && slices.Contains(q.deps, from.url()) }) {
				all[q], again = true, true
			}
		}
	}
	for q := range all {
		t := touch{p, q.version.Add(1), sure[q]}
		p.touched = append(p.touched, touched{q, t})
		q.mu.Lock()
		q.purges = append(q.purges, t)
		q.mu.Unlock()
	}
}

// keepPromise takes down what a confirmed purge promised.
func (f *fleet) keepPromise(p *purge, rec receipt, by string) {
	p.mu.Lock()
	p.confirmed, p.by = f.now(), by
	p.mu.Unlock()
	fell := make(map[string]bool)
	for _, name := range rec.Expanded {
		if url, ok := strings.CutPrefix(name, "url "); ok {
			fell["http://"+url] = true
		}
	}
	for _, t := range p.touched {
		if t.sure || fell[t.url()] || slices.ContainsFunc(t.deps, func(d string) bool { return fell[d] }) {
			t.promise(t.touch.version, p.soft)
		}
	}
	f.confirmations.Add(1)
}

// purge sends a purge.
func (n *node) purge(a ask) (status int, rec receipt, err error) {
	req, err := http.NewRequest("PURGE", "http://"+n.public+"/", nil)
	if a.json != nil {
		body, merr := json.Marshal(a.json)
		if merr != nil {
			return 0, rec, merr
		}
		req, err = http.NewRequest(http.MethodPost, "http://"+n.admin+"/v1/purge", bytes.NewReader(body))
	}
	if err != nil {
		return 0, rec, err
	}
	if a.json == nil {
		req.URL.Path, req.URL.RawPath, req.Host, req.Header = a.target, a.target, a.host, a.header
	}
	return n.receiptOf(req)
}

// receipt asks for the receipt of an earlier purge.
func (n *node) receipt(id string) (receipt, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+n.admin+"/v1/purges/"+id, nil)
	if err != nil {
		return receipt{}, err
	}
	status, rec, err := n.receiptOf(req)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("%d %s", status, rec.Detail)
	}
	return rec, err
}

func (n *node) receiptOf(req *http.Request) (status int, rec receipt, err error) {
	res, err := n.hasty.Do(req)
	if err != nil {
		return 0, rec, err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err == nil {
		err = json.Unmarshal(body, &rec)
	}
	if err != nil {
		err = fmt.Errorf("%d %q: %w", res.StatusCode, body, err)
	}
	return res.StatusCode, rec, err
}
