package proxy_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/store"
	"surrogate/store/memstore"
)

// A scenario tells in a few lines what an origin says, an editor does, a client
// asks and the proxy answers. It is a txtar archive in testdata/scenarios: the
// script, and the raw responses that the origin answers with. Its first comment
// says in one sentence what it shows. It runs in fake time, which begins on 1
// January 2000, on a real store and purger with a fake origin; hosts not
// otherwise named are shop.example.
//
// The table below is the manual of the verbs. In a line, 'single quotes' hold
// blanks together.
//
// A raw response is a head, an empty line and a body, whose last line feed is
// not part of it; Content-Length is added unless there is one, or
// Transfer-Encoding: chunked. Heads of interim responses may come before it. If
// it has a Trailer field, the trailer fields follow after the body's last empty
// line. Filled in are {n}: the how-manieth request to the origin this is;
// {path}: path and query it is for; {now}, {now-10s}: a date; {300 bytes}: so
// much text; {300 tags}: tag-0, tag-1, … ; {Accept-Language}, {Accept-Encoding},
// {Cookie}, {Authorization}, {X-Variant}: the request's field.
var verbs map[string]verb

// A verb is one word of the language.
type verb struct {
	min, max int    // how many arguments it takes; max -1: any number
	args     string // what they are
	raw      bool   // what follows is one argument as it stands
	do       func(*run, *step) error
}

func init() {
	verbs = map[string]verb{
		// The origin. What is set up holds for one answer; answers are given in
		// turn, the last one again and again. Answers for a path go before those for all.
		"origin": {1, 2, "FILE [PATH]", false, (*run).doOrigin},       // the next answer
		"hang":   {1, 1, "D", false, (*run).doHang},                   // before the head of the next "origin", or the next "refuse"
		"wait":   {1, 1, "D", false, (*run).doWait},                   // half way through the body of the next "origin"
		"cut":    {1, 1, "BYTES", false, (*run).doCut},                // break off the body of the next "origin" after so much of it
		"refuse": {0, 1, "[PATH]", false, (*run).doRefuse},            // as an answer: nobody can connect
		"link":   {2, -1, "PATH NAME…", false, (*run).doLink},         // from now on the answers for PATH declare these deps
		"config": {2, -1, "KEY VALUE…", false, (*run).doConfig},       // a key of the site's configuration; see settings
		"store":  {1, 1, "broken|full|mended", false, (*run).doStore}, // lookups and purges fail, puts fail, nothing fails

		// The clients. PATH may be a whole URL. =CONTENT is the request's body. With
		// & a client stays in the background, and may have a name.
		"get":     {1, -1, "PATH [F:VALUE]… [=CONTENT] [&[NAME]]", false, (*run).doAsk},
		"head":    {1, -1, "PATH [F:VALUE]… [&[NAME]]", false, (*run).doAsk},
		"post":    {1, -1, "PATH [F:VALUE]… [=CONTENT] [&[NAME]]", false, (*run).doAsk},
		"put":     {1, -1, "PATH [F:VALUE]… [=CONTENT] [&[NAME]]", false, (*run).doAsk},
		"patch":   {1, -1, "PATH [F:VALUE]… [=CONTENT] [&[NAME]]", false, (*run).doAsk},
		"delete":  {1, -1, "PATH [F:VALUE]… [&[NAME]]", false, (*run).doAsk},
		"options": {1, -1, "PATH [F:VALUE]… [&[NAME]]", false, (*run).doAsk},
		"request": {2, -1, "METHOD PATH [F:VALUE]… [=CONTENT] [&[NAME]]", false, (*run).doAsk},
		"crowd":   {3, -1, "N get PATH [F:VALUE]…", false, (*run).doCrowd}, // N clients in the background; {i} counts them
		"from":    {1, 1, "ADDRESS", false, (*run).doFrom},                 // where the clients are; 10.0.0.0/8 are proxies that are trusted
		"join":    {0, 1, "[NAME]", false, (*run).doJoin},                  // wait for the background clients, or for one
		"leave":   {1, 1, "NAME", false, (*run).doLeave},                   // a background client goes away

		// About the latest answer; after join, about each of those that were waited for.
		"status":   {1, 1, "N", false, (*run).doStatus},
		"body":     {0, 1, "[TEXT]", true, (*run).doBody},           // the whole body
		"contains": {1, 1, "TEXT", true, (*run).doContains},         // of the body
		"length":   {1, 1, "N", false, (*run).doLength},             // of the body in bytes
		"header":   {1, 2, "F [SUBSTRING]", false, (*run).doHeader}, // in one of the field's lines
		"exact":    {2, 2, "F VALUE", false, (*run).doExact},        // the field's lines, joined by ", "
		"!header":  {1, 2, "F [SUBSTRING]", false, (*run).doNoHeader},
		"cache":    {1, 1, "SUBSTRING", true, (*run).doCache}, // in our member of Cache-Status
		"!cache":   {1, 1, "SUBSTRING", true, (*run).doNoCache},
		"hint":     {2, 2, "F SUBSTRING", false, (*run).doHint}, // an interim response has the field
		"trailer":  {2, 2, "F VALUE", false, (*run).doTrailer},
		"aborted":  {0, 0, "", false, (*run).doAborted},        // the connection broke off; else it may not
		"got":      {1, 2, "NAME [TEXT]", false, (*run).doGot}, // what a background client has been sent so far
		"waiting":  {1, 1, "NAME", false, (*run).doWaiting},    // a background client has not been answered
		"answers":  {2, 2, "N BODY", false, (*run).doAnswers},  // so many of those that were waited for have this body

		// Time.
		"sleep": {1, 1, "D", false, (*run).doSleep}, // it passes
		"idle":  {0, 0, "", false, (*run).doIdle},   // all that is under way comes to rest

		// The editor. A URL without a host is shop.example's.
		"purge":            {1, -1, "TAG…", false, (*run).doPurge},
		"purge-url":        {1, -1, "URL…", false, (*run).doPurge},
		"purge-key":        {1, -1, "KEY…", false, (*run).doPurge},
		"purge-prefix":     {1, -1, "URL…", false, (*run).doPurge},
		"purge-host":       {1, -1, "HOST…", false, (*run).doPurge},
		"purge-everything": {0, 0, "", false, (*run).doPurge},
		"soft":             {1, -1, "TAG…", false, (*run).doPurge},
		"soft-url":         {1, -1, "URL…", false, (*run).doPurge},
		"soft-key":         {1, -1, "KEY…", false, (*run).doPurge},
		"soft-prefix":      {1, -1, "URL…", false, (*run).doPurge},
		"soft-host":        {1, -1, "HOST…", false, (*run).doPurge},
		"soft-everything":  {0, 0, "", false, (*run).doPurge},
		"change":           {2, -1, "KIND ID [TAG…]", false, (*run).doChange},  // a change of data
		"fails":            {0, 0, "", false, (*run).doFails},                  // the latest purge was refused; else it may not be
		"receipt":          {2, 2, "FIELD VALUE", false, (*run).doReceipt},     // of the latest purge; sleep 1s before it to have it swept
		"admin":            {2, 2, "METHOD PATH [JSON]", true, (*run).doAdmin}, // the admin API; status and body are about its answer

		// What the origin has seen, and what was counted.
		"fetches": {1, 2, "N [PATH]", false, (*run).doFetches}, // how often it was asked, refusals not counted
		"peak":    {1, 1, "N", false, (*run).doPeak},           // how many requests it had at once, at most
		"asked":   {2, 2, "F VALUE", false, (*run).doAsked},    // the latest request has this field; :method, :path and :host too
		"!asked":  {1, 1, "F", false, (*run).doNotAsked},
		"stats":   {2, 2, "FIELD N", false, (*run).doStats}, // of the site, such as hit, miss, stored; or entries, fences, refused of the store
	}
	// admin's three arguments are split by itself.
	v := verbs["admin"]
	v.min, v.max = 1, 1
	verbs["admin"] = v
}

// scenarioLog is where a scenario's proxy and purger log to: the test's output.
func scenarioLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{
		Level: slog.LevelWarn,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
}

func TestScenarios(t *testing.T) {
	paths, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scenarios in testdata/scenarios: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			s, err := readScript(path)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) { s.play(t) })
		})
	}
}

// A run is one scenario as it is played.
type run struct {
	*house
	script     *script
	next       reply               // what was said about the next "origin"
	answers    map[string][]*reply // by path, "" for all; the raw response is in body
	deps       map[string]string   // by path
	peer       string
	background []*visit
	latest     []*visit // whose answers are checked
	broken     bool     // it was said that the latest broke off
	receiptID  string
	purgeErr   error
}

// play plays the scenario on a memstore.
func (s *script) play(t *testing.T) { s.playOn(t, memstore.New(memstore.Options{MaxBytes: 64 << 20})) }

// playOn runs the steps in order, up to the first that fails.
func (s *script) playOn(t *testing.T, on store.Store) {
	r := &run{house: newHouseOn(t, scenarioLog(t), on), script: s, answers: make(map[string][]*reply), next: reply{cut: -1}, deps: make(map[string]string), peer: visitor}
	r.origin.answer = r.answer
	defer func() {
		for _, v := range r.background {
			v.leave()
		}
		for _, v := range r.background {
			<-v.done
		}
		// What goes on for nobody's sake is over by then.
		time.Sleep(10 * time.Minute)
		if n := r.origin.leaked(); n > 0 {
			fmt.Fprintf(t.Output(), "%s: at the end %d responses of the origin are neither read nor closed\n", s.name, n)
			t.Fail()
		}
		r.close()
	}()
	fail := func(st *step, err error) {
		fmt.Fprintf(t.Output(), "%s:%d: %s\n    %v\n", s.name, st.line, st.text, err)
		t.Fail()
	}
	for i := range s.steps {
		st := &s.steps[i]
		if err := r.step(st); err != nil {
			fail(st, err)
			return
		}
	}
	last := &s.steps[len(s.steps)-1]
	if err := r.unchecked(); err != nil {
		fail(last, err)
	}
}

// step does one step.
func (r *run) step(st *step) error {
	if err := verbs[st.verb].do(r, st); err != nil {
		return err
	}
	r.origin.mu.Lock()
	defer r.origin.mu.Unlock()
	return r.origin.surprise
}

// unchecked returns what went wrong with the latest answers or purge, and was
// not expected.
func (r *run) unchecked() error {
	for _, v := range r.latest {
		aborted, panicked := v.broke()
		switch {
		case panicked != nil:
			return fmt.Errorf("the proxy panicked: %v", panicked)
		case aborted && !r.broken:
			return fmt.Errorf("the connection broke off before this, after %q", shorten(v.content()))
		}
	}
	if r.purgeErr != nil {
		return fmt.Errorf("the purge before this failed: %w", r.purgeErr)
	}
	return nil
}

// canonicalArgs splits "F:VALUE" arguments, a body and a "&" off a request's
// arguments.
func canonicalArgs(args []string) (header http.Header, content string, background bool, name string, err error) {
	header = make(http.Header)
	for _, a := range args {
		if rest, ok := strings.CutPrefix(a, "&"); ok {
			background, name = true, rest
			continue
		}
		if rest, ok := strings.CutPrefix(a, "="); ok {
			content = rest
			continue
		}
		f, v, ok := strings.Cut(a, ":")
		if !ok || f == "" {
			return nil, "", false, "", fmt.Errorf("%q is neither F:VALUE, =CONTENT nor &", a)
		}
		header.Add(f, strings.TrimSpace(v))
	}
	return header, content, background, name, nil
}

func shorten(s string) string {
	if len(s) > 200 {
		return fmt.Sprintf("%s… (%d bytes)", s[:200], len(s))
	}
	return s
}
