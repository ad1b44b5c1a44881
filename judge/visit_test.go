package judge

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// A visit is one page as a browser got it: everything it asked for, and what it
// complained of.
type visit struct {
	got        map[string]*resource // by method and URL
	complaints []string             // errors on the console
}

// A resource is one answer that a browser got.
type resource struct {
	url       string
	status    int
	header    http.Header
	body      []byte
	cookies   string // that it sets; the browser tells them apart from header
	protocol  string // that it came over, as ALPN has it
	own       bool   // from the browser's own cache
	failure   string // why there is no answer
	done      bool
	redirects bool // it has no body that a browser would show
}

// open goes to url and returns when nothing more is being loaded.
func (p *tab) open(t *testing.T, ctx context.Context, url string) *visit {
	t.Helper()
	return p.follow(t, ctx, url, func() {
		var r struct{ ErrorText string }
		p.call(t, ctx, "Page.navigate", map[string]any{"url": url}, &r)
		if r.ErrorText != "" {
			t.Fatalf("going to %s: %s", url, r.ErrorText)
		}
	})
}

// follow does what leads to another page and returns when nothing more is being
// loaded there.
func (p *tab) follow(t *testing.T, ctx context.Context, what string, lead func()) *visit {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for len(p.events) > 0 {
		<-p.events // of the page before
	}
	lead()
	v := &visit{got: map[string]*resource{}}
	asked := map[string]*resource{} // by the browser's id of the request
	loader := ""                    // of the new page
	idle, drawn := false, false
	note := func(e event) {
		if page, ok := p.idle(e); ok && page == loader {
			idle = true
		}
		if l := v.note(e, asked); l != "" && loader == "" {
			loader = l
		}
	}
	for !drawn || !finished(asked) {
		if idle && finished(asked) {
			// A busy machine may be idle on the network before the page is
			// drawn, and drawing it is what asks for the images of its styles.
			p.eval(t, ctx, drawTwice)
			for drawn = true; len(p.events) > 0; {
				note(<-p.events)
			}
			continue
		}
		select {
		case e := <-p.events:
			note(e)
		case <-p.c.done:
			t.Fatalf("%s: the browser has ended: %s", what, p.c.out)
		case <-ctx.Done():
			t.Fatalf("%s: still loading after %v", what, patience)
		}
	}
	for id, r := range asked {
		if r.failure == "" && !r.redirects {
			r.body = p.body(t, ctx, id)
		}
	}
	return v
}

// drawTwice ends once the page has been drawn as it is now.
const drawTwice = `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(""))))`

// idle tells for which page, if any, e says that nothing was loaded for a while.
func (p *tab) idle(e event) (loader string, ok bool) {
	var is struct{ Name, LoaderID string }
	if e.Method != "Page.lifecycleEvent" || json.Unmarshal(e.Params, &is) != nil {
		return "", false
	}
	return is.LoaderID, is.Name == "networkIdle"
}

func finished(asked map[string]*resource) bool {
	for _, r := range asked {
		if !r.done {
			return false
		}
	}
	return true
}

// body is what came in answer to the request with this id.
func (p *tab) body(t *testing.T, ctx context.Context, id string) []byte {
	t.Helper()
	var r struct {
		Body          string
		Base64Encoded bool
	}
	p.call(t, ctx, "Network.getResponseBody", map[string]any{"requestId": id}, &r)
	if !r.Base64Encoded {
		return []byte(r.Body)
	}
	b, err := base64.StdEncoding.DecodeString(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// response is what the browser's protocol says of one.
type response struct {
	Status        int
	Protocol      string
	Headers       map[string]string
	FromDiskCache bool
}

// note adds what e says to the visit, and returns the page's id if e is the
// request for a page.
func (v *visit) note(e event, asked map[string]*resource) (page string) {
	var is struct {
		RequestID, LoaderID, Type, ErrorText string
		Request                              struct{ URL, Method string }
		RedirectResponse, Response           *response
		Args                                 []struct{ Value, Description any }
		ExceptionDetails                     json.RawMessage
		Entry                                struct{ Level, Text, URL string }
		Headers                              map[string]string
	}
	if json.Unmarshal(e.Params, &is) != nil {
		return ""
	}
	r := asked[is.RequestID]
	switch e.Method {
	case "Network.requestWillBeSent":
		if r != nil && is.RedirectResponse != nil { // the same request goes elsewhere
			r.answer(is.RedirectResponse)
			r.done, r.redirects = true, true
			asked[is.RequestID+" to "+is.Request.URL] = r
		}
		if !strings.HasPrefix(is.Request.URL, "http") { // data: and the like ask nobody
			return ""
		}
		r = &resource{url: is.Request.URL}
		asked[is.RequestID] = r
		v.got[is.Request.Method+" "+r.url] = r
		if is.Type == "Document" && is.RequestID == is.LoaderID {
			return is.LoaderID
		}
	case "Runtime.consoleAPICalled":
		if is.Type == "error" || is.Type == "assert" {
			v.complain(string(e.Params))
		}
	case "Runtime.exceptionThrown":
		v.complain(string(is.ExceptionDetails))
	case "Log.entryAdded":
		if is.Entry.Level == "error" {
			v.complain(is.Entry.Text + " " + is.Entry.URL)
		}
	}
	if r == nil {
		return ""
	}
	switch e.Method {
	case "Network.requestServedFromCache":
		r.own = true
	case "Network.responseReceived":
		r.answer(is.Response)
	case "Network.responseReceivedExtraInfo":
		for name, lines := range is.Headers {
			if strings.EqualFold(name, "Set-Cookie") {
				r.cookies = lines
			}
		}
	case "Network.loadingFinished":
		r.done = true
	case "Network.loadingFailed":
		r.done, r.failure = true, is.ErrorText
	}
	return ""
}

func (v *visit) complain(what string) { v.complaints = append(v.complaints, what) }

func (r *resource) answer(a *response) {
	r.protocol = a.Protocol
	r.status, r.own, r.header = a.Status, r.own || a.FromDiskCache, http.Header{}
	for name, lines := range a.Headers {
		r.header[http.CanonicalHeaderKey(name)] = strings.Split(lines, "\n")
	}
}

// hit tells whether surrogate says that this came from its cache.
func (r *resource) hit() bool {
	cache, how, _ := strings.Cut(r.header.Get("Cache-Status"), ";")
	how, _, _ = strings.Cut(strings.TrimSpace(how), ";")
	return cache == "surrogate" && strings.TrimSpace(how) == "hit"
}

// storable tells whether an origin gives this an explicit life in a shared cache.
func (r *resource) storable() bool {
	cc := strings.ToLower(strings.Join(r.header.Values("Cache-Control"), ","))
	for _, no := range []string{"no-store", "no-cache", "private", "max-age=0"} {
		if strings.Contains(cc, no) {
			return false
		}
	}
	return r.status == http.StatusOK && (strings.Contains(cc, "max-age=") || r.header.Get("Expires") != "") && r.cookies == ""
}

// sameAs fails the test for what a browser got through surrogate that is not what it
// got from the origin itself; plain takes out of a text what differs each time.
func (v *visit) sameAs(t *testing.T, direct *visit, plain func(string) string) {
	t.Helper()
	ours, theirs := v.by(plain), direct.by(plain)
	for _, what := range slices.Sorted(maps.Keys(theirs)) {
		want, got := theirs[what], ours[what]
		switch {
		case got == nil:
			t.Errorf("%s: not asked for through surrogate", what)
		case got.failure != want.failure:
			t.Errorf("%s: failed with %q, directly with %q", what, got.failure, want.failure)
		case got.status != want.status:
			t.Errorf("%s: %d, directly %d", what, got.status, want.status)
		case got.header.Get("Content-Type") != want.header.Get("Content-Type"):
			t.Errorf("%s: Content-Type %q, directly %q", what, got.header.Get("Content-Type"), want.header.Get("Content-Type"))
		case plain(string(got.body)) != plain(string(want.body)):
			t.Errorf("%s: %d bytes that are not the %d it has directly: %s", what, len(got.body), len(want.body),
				difference(plain(string(got.body)), plain(string(want.body))))
		}
	}
	for _, what := range slices.Sorted(maps.Keys(ours)) {
		if theirs[what] == nil {
			t.Errorf("%s: asked for through surrogate only", what)
		}
	}
	for _, c := range v.complaints {
		if !slices.Contains(direct.complaints, c) {
			t.Errorf("the browser complains, and does not without surrogate: %s", c)
		}
	}
}

// by is what a visit got by method and URL, without what differs each time.
func (v *visit) by(plain func(string) string) map[string]*resource {
	m := map[string]*resource{}
	for what, r := range v.got {
		m[plain(what)] = r
	}
	return m
}

// difference shows where two texts part.
func difference(got, want string) string {
	i := 0
	for i < min(len(got), len(want)) && got[i] == want[i] {
		i++
	}
	at := func(s string) string { return s[max(0, i-40):min(len(s), i+80)] }
	return "…" + at(got) + "… directly …" + at(want) + "…"
}

// asIs takes nothing out of a body.
func asIs(body string) string { return body }
