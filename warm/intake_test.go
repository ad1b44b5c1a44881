package warm

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"surrogate/store"
)

// A town is a site in a map, an intake that knows it, and a queue. What its
// origin answers is by URL.
type town struct {
	t       *testing.T
	in      *Intake
	queue   *MemQueue
	plans   []*SitePlan
	pages   map[string]*http.Response // status, head; the body is in bodies
	bodies  map[string]string
	fetched []string       // every request, in order
	breaks  map[string]int // how often the body breaks off in its middle
}

func newTown(t *testing.T) *town {
	w := &town{t: t, queue: NewMemQueue(MemQueueOptions{}), pages: map[string]*http.Response{}, bodies: map[string]string{}, breaks: map[string]int{}}
	t.Cleanup(func() { w.queue.Close() })
	w.plans = []*SitePlan{
		{Name: "shop", Base: "https://shop.example", Scheme: "https", Key: store.KeyRules{SortQuery: true, Drop: []string{"utm_*"}}},
		{Name: "blog", Base: "http://blog.example"},
		{Name: "homeless"},
	}
	w.in = NewIntake(IntakeOptions{
		Queue: w.queue, Fetch: w.fetch, Sites: func() []*SitePlan { return w.plans },
		Site: func(host string) *SitePlan {
			switch host {
			case "shop.example":
				return w.plans[0]
			case "blog.example":
				return w.plans[1]
			}
			return nil
		},
	})
	return w
}

// has makes the origin answer at a URL; fields are "Name: value".
func (w *town) has(url string, status int, body string, fields ...string) {
	h := http.Header{}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		h.Add(name, value)
	}
	w.pages[url], w.bodies[url] = &http.Response{StatusCode: status, Header: h}, body
}

func (w *town) page(url string, links ...string) {
	body := "<html>"
	for _, l := range links {
		body += fmt.Sprintf("<a href=%q>x</a>", l)
	}
	w.has(url, 200, body, "Content-Type: text/html")
}

func (w *town) fetch(_ context.Context, url string, _ http.Header) (*http.Response, error) {
	w.fetched = append(w.fetched, url)
	p := w.pages[url]
	if p == nil {
		p = &http.Response{StatusCode: 404, Header: http.Header{}}
	}
	body := io.Reader(strings.NewReader(w.bodies[url]))
	if w.breaks[url] > 0 {
		w.breaks[url]--
		body = io.MultiReader(strings.NewReader(w.bodies[url][:len(w.bodies[url])/2]), iotest.ErrReader(errors.New("cut")))
	}
	return &http.Response{StatusCode: p.StatusCode, Header: p.Header.Clone(), Body: io.NopCloser(body)}, nil
}

// plain is what does a plain job, as the proxy would; nothing is stored.
func (w *town) plain(ctx context.Context, j store.Job) (r Result) {
	resp, _ := w.fetch(ctx, j.URL, nil)
	r.Status = resp.StatusCode
	switch l := resp.Header.Get("Location"); {
	case l != "":
		r.Next = l
	case r.Status != 200 && resp.Header.Get("Cache-Control") == "":
		r.State, r.Why = store.Unkept, "no-freshness"
	case resp.Header.Get("Set-Cookie") != "":
		r.State, r.Why = store.Unkept, "set-cookie"
	}
	return r
}

// work does all jobs there are, and returns what became of each by URL.
func (w *town) work() map[string]Result {
	w.t.Helper()
	do := w.in.Following(w.plain)
	did := map[string]Result{}
	for {
		st, err := w.queue.Stats(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		if st.Queued == 0 {
			return did
		}
		jobs, err := w.queue.Take(w.t.Context(), 1, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, j := range jobs {
			r := do(w.t.Context(), j)
			if r.State == store.Again && j.Taken+1 >= maxTries {
				r.State = store.Failed
			}
			if err := w.queue.Settle(w.t.Context(), j, r.Outcome); err != nil {
				w.t.Fatal(err)
			}
			if r.State == store.Again {
				continue
			}
			if _, twice := did[j.URL]; twice {
				w.t.Errorf("%s was done twice", j.URL)
			}
			did[j.URL] = r
		}
	}
}

func (w *town) warm(a Ask) Answer {
	w.t.Helper()
	answer, err := w.in.Warm(w.t.Context(), a)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer
}

func (w *town) progress(id string) store.Progress {
	w.t.Helper()
	p, err := w.queue.Progress(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func urls(did map[string]Result) []string { return slices.Sorted(maps.Keys(did)) }

// TestBadListIsReportedLineByLine: what is wrong is told with its line, and the
// rest goes on.
func TestBadListIsReportedLineByLine(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"https://shop.example/a#b", ""},
		{"  http://shop.example:443/b?utm_source=x\r", "not the site"}, // a port of its own is another host
		{"https://SHOP.example:443/c?b=1&a=2", ""},
		{"/d", ""},
		{"https://shop.example/käse", ""},
		{"# comment", ""},
		{"", ""},
		{"nonsense", "not a URL"},
		{"shop.example/x", "not a URL"},
		{"//shop.example/x", "its scheme is missing: want http://host/path or https://host/path"},
		{"https://user:pw@shop.example/", "it has a user or password, which warming does not send: leave them out"},
		{"https://user@shop.example?x", "it has a user or password"},
		{"https://x:y:z/@", "its host is none"},
		{"ftp://shop.example/", "scheme"},
		{"javascript://alert", "scheme"},
		{"https://other.example/", "no site serves"},
		{"https://blog.example/", "not the site"},
		{"https://", "host"},
		{"https://shop.example/a b", "space"},
		{"https://shop.example/a\x01b", "control character"},
		{"https://shop.example/\xff", "UTF-8"},
		{"https://shop.example/" + strings.Repeat("x", maxURL), "longer than"},
		{strings.Repeat("y", 10<<20), "a line of 10485761 bytes: a URL has 16384 at most"},
	} {
		w := newTown(t)
		a, err := w.in.Warm(t.Context(), Ask{Site: "shop", List: strings.NewReader("\xef\xbb\xbf/first\n" + c.line + "\n/last")})
		if strings.Contains(c.line, ":443/b") { // no site has that host
			c.want = "no site serves"
		}
		if err != nil {
			t.Errorf("%.40q: %v", c.line, err)
			continue
		}
		p := w.progress(a.ID)
		if p.Total != a.Added || !p.Sealed {
			t.Errorf("%.40q: %+v", c.line, p)
		}
		good := 2
		if c.want == "" && c.line != "" && c.line[0] != '#' {
			good = 3
		}
		if a.Added != good {
			t.Errorf("%.40q: queued %d of %d", c.line, a.Added, good)
		}
		if c.want == "" {
			if a.Count != 0 {
				t.Errorf("%.40q is rejected: %v", c.line, a.First[0].String())
			}
			continue
		}
		if a.Count != 1 || a.First[0].Line != 2 || !strings.Contains(a.First[0].Detail, c.want) || len(a.First[0].Excerpt) > 210 {
			t.Errorf("%.40q: %d rejected, %+v, want line 2 and %q", c.line, a.Count, a.First, c.want)
		}
		if len(p.Failures) != 1 || p.Failures[0].URL != "" || !strings.Contains(p.Failures[0].Why, "line 2") {
			t.Errorf("%.40q: the run says %+v", c.line, p.Failures)
		}
	}
}

func TestURLsAreKeys(t *testing.T) {
	w := newTown(t)
	w.warm(Ask{Site: "shop", List: strings.NewReader("/b?z=1&utm_source=x&a=2#top\nhttps://shop.example/b?a=2&z=1\nhttp://Shop.Example./b?a=2&z=1\n/käse")})
	if got := urls(w.work()); !slices.Equal(got, []string{"https://shop.example/b?a=2&z=1", "https://shop.example/k%C3%A4se"}) {
		t.Errorf("%q", got)
	}
}

func TestNothingUnderstoodIsRefused(t *testing.T) {
	w := newTown(t)
	for _, a := range []Ask{
		{List: strings.NewReader("/a\n/b")},
		{Site: "nowhere", URLs: []string{"/a"}},
		{Site: "homeless", URLs: []string{"/a"}},
		{},
		{Crawl: []string{"https://shop.example/"}, Depth: -1},
		{Crawl: []string{"https://shop.example/"}, Depth: 101},
	} {
		_, err := w.in.Warm(t.Context(), a)
		if _, ok := errors.AsType[*RequestError](err); !ok {
			t.Errorf("%+v: %v", a, err)
		}
	}
	if runs, err := w.queue.Runs(t.Context(), 10); err != nil || len(runs) != 0 {
		t.Errorf("%v %v", runs, err)
	}
}

func TestRepeatedIDQueuesNothing(t *testing.T) {
	w := newTown(t)
	w.warm(Ask{ID: "x", URLs: []string{"https://shop.example/a"}})
	a := w.warm(Ask{ID: "x", URLs: []string{"https://shop.example/b"}})
	if a.Created || a.Added != 0 || a.ID != "x" {
		t.Errorf("%+v", a)
	}
	if got := urls(w.work()); len(got) != 1 {
		t.Errorf("%q", got)
	}
	if p := w.progress("x"); !p.Done() || p.Total != 1 {
		t.Errorf("%+v", p)
	}
}

// TestManyBadLinesAreCounted: told in words are the first.
func TestManyBadLinesAreCounted(t *testing.T) {
	w := newTown(t)
	a := w.warm(Ask{Site: "shop", List: strings.NewReader("/a\n" + strings.Repeat("bad\n", 50_000))})
	if a.Count != 50_000 || len(a.First) != maxRejections || a.Added != 1 {
		t.Errorf("%d rejected, %d told, %d added", a.Count, len(a.First), a.Added)
	}
	if why := w.progress(a.ID).Failures[0].Why; len(why) > 4096 || !strings.Contains(why, "more") {
		t.Errorf("%d bytes: %s", len(why), why)
	}
}

// brokenReader fails after some lines.
type brokenReader struct{ r io.Reader }

func (b brokenReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err == io.EOF {
		err = errors.New("cable cut")
	}
	return n, err
}

func TestBrokenListKeepsWhatCame(t *testing.T) {
	w := newTown(t)
	var list strings.Builder
	for i := range batch + 1 {
		fmt.Fprintf(&list, "/a/%d\n", i)
	}
	a, err := w.in.Warm(t.Context(), Ask{Site: "shop", List: brokenReader{strings.NewReader(list.String() + "/a/50")}})
	if err == nil || a.Added != batch+1 || a.ID == "" {
		t.Fatalf("%+v, %v", a, err)
	}
	if p := w.progress(a.ID); p.Total != batch+1 || !p.Sealed || len(p.Failures) == 0 || !strings.Contains(p.Failures[0].Why, "cable cut") {
		t.Errorf("%+v", p)
	}
}

// A list of which nothing was queued yet when it broke off queues nothing: who
// sent it may have given it up. What came of its last line may be a part of it.
func TestShortBrokenListQueuesNothing(t *testing.T) {
	w := newTown(t)
	a, err := w.in.Warm(t.Context(), Ask{ID: "given-up", Site: "shop", List: brokenReader{strings.NewReader("/a\n/b\n/c")}})
	if err == nil || !strings.Contains(err.Error(), "line 3") || a.Added != 0 {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := w.in.queue.Progress(t.Context(), "given-up"); !errors.Is(err, store.ErrNoRun) {
		t.Errorf("a run was begun: %v", err)
	}
}

// TestListIsNotHeld: what a list takes in memory does not depend on its length.
func TestListIsNotHeld(t *testing.T) {
	w := newTown(t)
	r := &endless{left: 400_000}
	a := w.warm(Ask{Site: "shop", List: r})
	if a.Added+a.Dropped != 400_000 || r.ahead > 100_000 {
		t.Errorf("%+v, %d bytes at once", a, r.ahead)
	}
}

// endless is a long list, and notes how much of it was asked for at once.
type endless struct {
	left, ahead int
	rest        []byte
}

func (e *endless) Read(b []byte) (int, error) {
	e.ahead = max(e.ahead, len(b))
	if len(e.rest) == 0 {
		if e.left == 0 {
			return 0, io.EOF
		}
		e.rest = fmt.Appendf(e.rest[:0], "/p/%d\n", e.left)
		e.left--
	}
	n := copy(b, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

func FuzzList(f *testing.F) {
	f.Add([]byte("https://shop.example/a\n\n# x\r\n/b?x=1#y\nftp://x\n"))
	f.Add([]byte("\xef\xbb\xbf\xff\x00\nhttp://shop.eXAmple?%41%zz"))
	f.Fuzz(func(t *testing.T, list []byte) {
		w := &town{t: t}
		plan := &SitePlan{Name: "shop", Base: "https://shop.example", Scheme: "https"}
		w.in = NewIntake(IntakeOptions{Sites: func() []*SitePlan { return []*SitePlan{plan} },
			Site: func(host string) *SitePlan { return map[string]*SitePlan{"shop.example": plan}[host] }})
		lines := bytes.Count(list, []byte("\n")) + 1
		for l, err := range linesOf(bytes.NewReader(list)) {
			if err != nil || l.number < 1 || l.number > lines || len(l.text) > maxLine {
				t.Fatalf("%+v %v", l, err)
			}
			j, err := w.in.target(l.text, w.in.homeOf(plan, ""), "shop")
			if err != nil {
				continue
			}
			if !strings.HasPrefix(j.URL, "https://shop.example/") || plainText(j.URL) != nil && len(l.text)*3 < maxURL || strings.Contains(j.URL, "#") {
				t.Fatalf("%q made %q", l.text, j.URL)
			}
			if again, err := w.in.target(j.URL, nil, ""); err == nil && again.URL != j.URL {
				t.Fatalf("%q made %q, and that %q", l.text, j.URL, again.URL)
			}
		}
	})
}

func gzipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, s)
	z.Close()
	return b.String()
}

func days(n int) string { return time.Now().AddDate(0, 0, -n).UTC().Format(time.RFC3339) }
