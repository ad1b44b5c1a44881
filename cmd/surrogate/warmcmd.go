package main

import (
	"cmp"
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
	"sync"
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
	cancel  bool      // it, instead
	again   string    // the command that asks about a run, without its id
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
	fs.BoolVar(&w.cancel, "cancel", false, "cancel a --run: what of it is queued yet is dropped")
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
	w.again = "surrogate warm"
	fs.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "depth":
			depth = true
		case "admin":
			w.again += " --admin " + w.client.addr
		case "token":
			w.again += " --token …" // not to be printed
		}
	})
	w.again += " --run "
	named := len(w.ask.URLs)+len(w.ask.Sitemaps)+len(crawl.From) > 0
	switch {
	case *interrupt != "leave" && *interrupt != "cancel":
		return wrongUsage(`--on-interrupt is "leave" or "cancel"`)
	case depth && len(crawl.From) == 0:
		return wrongUsage("--depth is that of a --crawl")
	case w.run != "" && (named || w.list != ""):
		return wrongUsage("--run follows what was asked before, and takes nothing else to warm")
	case w.cancel && w.run == "":
		return wrongUsage("--cancel is for a --run")
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
	id := w.run
	if id == "" {
		w.ask.ID = cmp.Or(w.ask.ID, strings.ToLower(rand.Text()))
		id = w.ask.ID
	}
	if w.cancel {
		return w.cancelRun(id)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	leave := sync.OnceFunc(func() { w.leave(id) })
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
			leave()
			os.Exit(130)
		case <-over:
		}
	}()
	var sent chan sending
	if w.run == "" {
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
		leave()
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
		fmt.Fprintf(w.p.stdout, "queued as run %s; %s%s shows how far it is\n", id, w.again, id)
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
		if sent != nil {
			// Without anything to show there is time to see what came of the sending.
			var pause time.Duration
			if over || err != nil {
				pause = lookEvery
			}
			select {
			case x := <-sent:
				sent = nil
				show.end()
				if x.err != nil && !last.IsZero() {
					return nil, fmt.Errorf("not all of run %s was taken in: %w; %s%s shows how far it is", id, x.err, w.again, id)
				}
				if _, err := w.taken(x); err != nil {
					return nil, err
				}
				continue
			case <-time.After(pause):
			}
			if over || errors.Is(err, errNoRun) {
				continue // not begun yet, or a run that was there before
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
		case errors.Is(err, errNoRun):
			return nil, err
		case sent == nil && time.Since(last) > doWithout:
			return nil, fmt.Errorf("couldn't see how far run %s is: %w; %s%s asks again", id, err, w.again, id)
		default:
			show.lost(id)
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
	return w.askRun(ctx, "GET", id, "?wait="+wait.String())
}

// askRun asks for a run, or ends it.
func (w *warming) askRun(ctx context.Context, method, id, query string) (*warm.Status, error) {
	body, code, err := w.client.send(ctx, method, "/v1/warm/"+url.PathEscape(id)+query, "", nil)
	if code == 404 {
		return nil, fmt.Errorf("run %s: %w", id, errNoRun)
	}
	if err != nil {
		return nil, err
	}
	var s warm.Status
	return &s, decode(body, &s)
}
