package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"surrogate/warm"
)

// A warmRequest is the body of POST /v1/warm.
type warmRequest struct {
	URLs     []string   `json:"urls,omitempty"`
	Sitemaps []string   `json:"sitemap,omitempty"`
	Crawl    *warmCrawl `json:"crawl,omitempty"`
	Site     string     `json:"site,omitempty"`
	Base     string     `json:"base,omitempty"`
	ID       string     `json:"id"`
	Force    bool       `json:"force,omitempty"`
}

type warmCrawl struct {
	From  []string `json:"from"`
	Depth int      `json:"depth"`
}

// A warming is one call of the subcommand.
type warming struct {
	p       *program
	client  adminClient
	ask     warmRequest
	list    string    // a file, "-" for standard input, "" for none
	lines   io.Reader // of it
	run     string    // of an earlier call, to be followed
	detach  bool
	cancels bool // what Ctrl-C does to the rest
	json    bool
	quiet   bool
	said    bool // what was not understood of the list
}

// warmCommand is the subcommand: it has pages fetched through the admin API of a
// running surrogate, and shows how far that is.
func warmCommand(p *program, args []string) error {
	fs := p.flags("warm")
	w := warming{p: p}
	w.client.bind(fs, p)
	list := func(name, usage string, to *[]string) {
		fs.Func(name, usage, func(s string) error { *to = append(*to, s); return nil })
	}
	var crawl warmCrawl
	list("url", "a `URL`; may also stand without --url", &w.ask.URLs)
	list("sitemap", "the `URL` of a sitemap or an index; of a site, for those that its robots.txt names", &w.ask.Sitemaps)
	list("crawl", "the `URL` of a page whose links are followed", &crawl.From)
	fs.IntVar(&crawl.Depth, "depth", 1, "how many `links` away from there")
	fs.StringVar(&w.ask.Site, "site", "", "`name` of the site that paths belong to; other sites' URLs are refused")
	fs.StringVar(&w.ask.Base, "base", "", "`scheme://host` that paths are completed with (default what the site says, or its visitors ask for)")
	fs.BoolVar(&w.ask.Force, "force", false, "fetch even what is fresh")
	fs.StringVar(&w.ask.ID, "id", "", "`id` of this run: sent again it queues nothing")
	fs.StringVar(&w.run, "run", "", "show how far the run of this `id` is")
	fs.BoolVar(&w.detach, "detach", false, "queue it, and do not wait; of a --run, show how far it is now")
	interrupt := fs.String("on-interrupt", "leave", "what Ctrl-C does to the rest: `leave` it queued, or cancel it")
	fs.BoolVar(&w.json, "json", false, "print what came of it as JSON; with --detach, what was queued or, of a --run, how far it is")
	fs.BoolVar(&w.quiet, "quiet", false, "show no progress, and nothing at all if all went well")
	rest, err := p.parse(fs, args)
	if err != nil {
		return err
	}
	for _, a := range rest {
		if strings.Contains(a, "://") {
			w.ask.URLs = append(w.ask.URLs, a)
			continue
		}
		switch err := noList(a); {
		case err != nil:
			return err
		case w.list != "":
			return wrongUsage("one list at a time, and not %s and %s; cat joins them: cat … | surrogate warm -", w.list, a)
		default:
			w.list = a
		}
	}
	if len(crawl.From) > 0 {
		w.ask.Crawl = &crawl
	}
	depth := false
	fs.Visit(func(f *flag.Flag) { depth = depth || f.Name == "depth" })
	named := len(w.ask.URLs)+len(w.ask.Sitemaps)+len(crawl.From) > 0
	switch {
	case *interrupt != "leave" && *interrupt != "cancel":
		return wrongUsage(`--on-interrupt is "leave" or "cancel"`)
	case depth && len(crawl.From) == 0:
		return wrongUsage("--depth is that of a --crawl")
	case w.run != "" && (named || w.list != ""):
		return wrongUsage("--run follows what was asked before, and takes nothing else to warm")
	case w.list != "" && named:
		return wrongUsage("a list, or URLs, sitemaps and crawls, but not both at once")
	case w.run == "" && w.list == "" && !named:
		return wrongUsage(`warm what? Type "surrogate warm urls.txt", "surrogate warm -" for standard input, or a URL, --sitemap, --crawl`)
	}
	w.cancels = *interrupt == "cancel"
	if w.list == "-" {
		w.lines = os.Stdin
	} else if w.list != "" {
		f, err := os.Open(w.list)
		if err != nil {
			return fmt.Errorf("couldn't read the list: %w; a URL begins with http:// or https://", err)
		}
		defer f.Close()
		w.lines = f
	}
	return w.do()
}

// do asks, and follows what was asked until it is over.
func (w *warming) do() error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	interrupted := make(chan struct{})
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-signals:
			close(interrupted)
			stop()
		case <-over:
			return
		}
		select {
		case <-signals: // a second one waits for nothing
			os.Exit(130)
		case <-over:
		}
	}()
	id := w.run
	var sent chan sending
	if id == "" {
		if w.ask.ID == "" {
			w.ask.ID = strings.ToLower(rand.Text())
		}
		id = w.ask.ID
		// A long list is taken in no faster than there is room for it, so what comes
		// of its beginning is shown meanwhile.
		sent = make(chan sending, 1)
		go func() {
			body, err := w.post(ctx)
			sent <- sending{body, err}
		}()
	}
	s, err := w.reach(ctx, id, sent)
	select {
	case <-interrupted:
		return w.interrupted(id)
	default:
	}
	if err != nil || s == nil {
		return err
	}
	return w.conclude(s)
}

// A sending is what came of handing in what is to be warmed.
type sending struct {
	body []byte
	err  error
}

// reach waits for what is to be waited for, and returns what is to be shown of the
// run; nil if all has been said.
func (w *warming) reach(ctx context.Context, id string, sent <-chan sending) (*warm.Status, error) {
	if !w.detach {
		return w.follow(ctx, id, sent)
	}
	if sent == nil {
		return w.status(ctx, id, 0)
	}
	x := <-sent
	a, err := w.taken(x)
	if err != nil {
		return nil, err
	}
	switch {
	case w.json:
		fmt.Fprintln(w.p.stdout, strings.TrimSpace(string(x.body)))
	case !w.quiet:
		fmt.Fprintf(w.p.stdout, "queued as run %s; surrogate warm --run %s shows how far it is\n", id, id)
	}
	if a.Rejected+a.Dropped > 0 {
		return nil, errSaid
	}
	return nil, nil
}

// A queued is the answer to what was handed in.
type queued struct {
	ID       string
	Created  bool
	Differs  bool // not created, and the run that was there was asked for something else
	Added    int
	Dropped  int
	Rejected int
	Errors   []warm.Rejection
}

// taken says what of what was handed in was not understood.
func (w *warming) taken(x sending) (*queued, error) {
	if x.err != nil {
		return nil, x.err
	}
	var a queued
	if err := decode(x.body, &a); err != nil {
		return nil, err
	}
	switch {
	case a.Differs:
		return nil, fmt.Errorf("run %s was there already, for something else: nothing of this was queued; give another --id, or none", a.ID)
	case !a.Created && !w.quiet:
		fmt.Fprintf(w.p.stderr, "surrogate: run %s was there already, and is not begun again: nothing was queued\n", a.ID)
	}
	w.said = true
	for i := range a.Errors {
		fmt.Fprintln(w.p.stderr, "surrogate:", strings.TrimPrefix(a.Errors[i].String(), "line 0: "))
	}
	if more := a.Rejected - len(a.Errors); more > 0 {
		fmt.Fprintf(w.p.stderr, "surrogate: and %d more that were not understood\n", more)
	}
	if a.Dropped > 0 && w.detach {
		fmt.Fprintf(w.p.stderr, "surrogate: the queue had no room for %d of them\n", a.Dropped)
	}
	return &a, nil
}

const (
	lookEvery = 300 * time.Millisecond
	// doWithout is how long a run is followed that cannot be asked about: the node
	// may be restarting, and another one goes on.
	doWithout = 20 * time.Second
)

// follow shows how far a run is until it is over. While it is being sent it may
// not be known yet.
func (w *warming) follow(ctx context.Context, id string, sent <-chan sending) (*warm.Status, error) {
	show := w.newProgress()
	defer show.end()
	var last time.Time // when it was told how far the run is
	for {
		s, err := w.status(ctx, id, lookEvery)
		over := err == nil && (s.State == "done" || s.State == "cancelled" && s.Remaining == 0)
		if sent != nil && (over || errors.Is(err, errNoRun)) {
			// There is nothing else to look at, or a run was there before this one.
			select {
			case x := <-sent:
				sent = nil
				show.end()
				if _, err := w.taken(x); err != nil {
					return nil, err
				}
			case <-time.After(lookEvery):
			}
			continue
		}
		if sent != nil {
			select {
			case x := <-sent:
				sent = nil
				show.end()
				if _, err := w.taken(x); err != nil {
					return nil, err
				}
			default:
			}
		}
		switch {
		case over:
			return s, nil
		case err == nil:
			last = time.Now()
			show.at(s)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, errNoRun) || sent == nil && time.Since(last) > doWithout:
			return nil, err
		default:
			show.lost(err)
			select {
			case <-time.After(lookEvery):
			case <-ctx.Done():
			}
		}
	}
}

var errNoRun = errors.New("no run with this id is known")

func (w *warming) status(ctx context.Context, id string, wait time.Duration) (*warm.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+10*time.Second)
	defer cancel()
	body, code, err := w.client.send(ctx, "GET", "/v1/warm/"+url.PathEscape(id)+"?wait="+wait.String(), "", nil)
	if code == 404 {
		return nil, errNoRun
	}
	if err != nil {
		return nil, err
	}
	var s warm.Status
	return &s, decode(body, &s)
}

// interrupted says what Ctrl-C leaves behind.
func (w *warming) interrupted(id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if w.cancels {
		body, code, err := w.client.send(ctx, "DELETE", "/v1/warm/"+url.PathEscape(id), "", nil)
		if err != nil && code != 404 {
			return fmt.Errorf("couldn't cancel run %s: %w", id, err)
		}
		if w.json && err == nil {
			fmt.Fprintln(w.p.stdout, strings.TrimSpace(string(body)))
		}
		fmt.Fprintf(w.p.stderr, "surrogate: cancelled run %s\n", id)
		return errInterrupted
	}
	s, err := w.status(ctx, id, 0)
	if err == nil && w.json {
		if err := w.printJSON(s); err != nil {
			return err
		}
	}
	if err != nil {
		fmt.Fprintf(w.p.stderr, "surrogate: interrupted; what was queued stays queued as run %s\n", id)
		return errInterrupted
	}
	rest := ""
	if w.run == "" && !w.said {
		rest = "; the list was not taken in to its end yet"
	}
	fmt.Fprintf(w.p.stderr, "surrogate: interrupted; %d of %d URLs are left, and stay queued as run %s: --run %s shows how far it is%s\n", s.Remaining, s.Total, id, id, rest)
	return errInterrupted
}
