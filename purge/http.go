package purge

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gorilla/mux"

	"surrogate/store"
)

// Mount adds the admin routes to r: POST /v1/purge, GET /v1/purges and
// /v1/purges/{id}, GET /v1/nodes, POST /v1/events, GET /v1/tags/{tag}, /v1/deps/{name} and
// /v1/objects, and every path with a purge method. All are behind Guard with
// Options.AdminToken. It switches r to raw paths, because tags and URLs have
// slashes and percent-encodings of their own, so r must be the outermost router.
// Mount before routes that take every path.
func (p *Purger) Mount(r *mux.Router) {
	r.SkipClean(true).UseEncodedPath()
	guard := func(h http.HandlerFunc) http.Handler { return p.admin.guard(h, p.counts.denied.Inc) }
	r.MatcherFunc(func(r *http.Request, _ *mux.RouteMatch) bool { return isPurgeMethod(r.Method) }).Handler(guard(p.dialect))
	r.Path("/v1/purge").Handler(guard(only(http.MethodPost, p.servePurge)))
	r.Path("/v1/purges").Handler(guard(only(http.MethodGet, p.servePurges)))
	r.PathPrefix("/v1/purges/").Handler(guard(only(http.MethodGet, rest("/v1/purges/", p.serveReceipt))))
	r.Path("/v1/nodes").Handler(guard(only(http.MethodGet, p.serveNodes)))
	r.Path("/v1/events").Handler(guard(only(http.MethodPost, p.serveEvents)))
	r.PathPrefix("/v1/tags/").Handler(guard(only(http.MethodGet, rest("/v1/tags/", p.serveTag))))
	r.PathPrefix("/v1/deps/").Handler(guard(only(http.MethodGet, rest("/v1/deps/", p.serveDeps))))
	r.Path("/v1/objects").Handler(guard(only(http.MethodGet, p.serveObjects)))
}

// only answers other methods with 405. A GET route takes HEAD too.
func only(method string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == method || method == http.MethodGet && r.Method == http.MethodHead {
			next(w, r)
			return
		}
		allow := method
		if method == http.MethodGet {
			allow = "GET, HEAD"
		}
		w.Header().Set("Allow", allow)
		writeProblem(w, http.StatusMethodNotAllowed, "This route answers "+allow+".", nil)
	}
}

// rest passes on what follows prefix in the path, decoded once: "a%2Fb" and
// "a/b" are the same, and "//" stays.
func rest(prefix string, next func(http.ResponseWriter, *http.Request, string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s, err := url.PathUnescape(strings.TrimPrefix(r.URL.EscapedPath(), prefix))
		if err != nil || s == "" {
			writeProblem(w, http.StatusBadRequest, "A name is missing after "+prefix, nil)
			return
		}
		next(w, r, s)
	}
}

// readBody reads a request's body, or answers why it could not.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		return body, true
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		writeProblem(w, http.StatusRequestEntityTooLarge,
			fmt.Sprintf("Nothing was done: the body is larger than %d bytes. Send it as several requests.", maxBody), nil)
		return nil, false
	}
	writeProblem(w, http.StatusBadRequest, "Nothing was done: the body could not be read: "+err.Error(), nil)
	return nil, false
}

func (p *Purger) servePurge(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r)
	if !ok {
		p.counts.badRequest.Inc()
		return
	}
	var ps problems
	req := parseRequest(body, &ps)
	if len(ps.list) > 0 {
		p.names(&req, &ps) // so that all there is to say is said at once
		err := ps.err()
		p.counts.failed(err)
		writeError(w, err)
		return
	}
	req.By = r.Method + " " + r.URL.Path + " from " + r.RemoteAddr
	receipt, err := p.Purge(r.Context(), req)
	if err != nil {
		writeError(w, err)
		return
	}
	writeJSON(w, statusOf(receipt), receipt)
}

// statusOf is 202 for a purge that some node has not heard yet.
func statusOf(r Receipt) int {
	if r.Complete || r.State == DryRun {
		return http.StatusOK
	}
	return http.StatusAccepted
}

func (p *Purger) servePurges(w http.ResponseWriter, r *http.Request) {
	var ps problems
	q := readQuery(r, &ps, "limit", "before", "via")
	limit := readLimit(q, &ps)
	var before uint64
	if s := q.Get("before"); s != "" {
		var err error
		if before, err = strconv.ParseUint(s, 10, 64); err != nil {
			ps.add("before", "not a sequence number", "the next of the page before")
		}
	}
	via := Source(q.Get("via"))
	switch via {
	case "", ByAPI, ByPublic, ByEvent, ByTraffic, ByNode:
	default:
		ps.add("via", "no such door", "api, public, event, traffic, node")
	}
	if err := ps.err(); err != nil {
		writeRefusal(w, err)
		return
	}
	page := struct {
		Purges []Receipt `json:"purges"`
		Next   store.Seq `json:"next,omitzero"` // before= for the next page
	}{Purges: p.page(r.Context(), store.Seq(before), limit, via)}
	if page.Purges == nil {
		page.Purges = []Receipt{}
	}
	if len(page.Purges) == limit {
		page.Next = page.Purges[limit-1].Seq
	}
	writeJSON(w, http.StatusOK, page)
}

func (p *Purger) serveReceipt(w http.ResponseWriter, r *http.Request, id string) {
	seq, _ := strconv.ParseUint(id, 10, 64)
	receipt, ok := p.receipt(r.Context(), id, store.Seq(seq))
	if !ok {
		writeProblem(w, http.StatusNotFound, "No receipt with this id or sequence number is kept.", nil)
		return
	}
	writeJSON(w, http.StatusOK, receipt)
}

const (
	defaultLimit = 100
	maxLimit     = 1000
)

// readQuery returns the parameters of a question. What is not known is a
// problem: it would be answered as if it had not been asked.
func readQuery(r *http.Request, ps *problems, known ...string) url.Values {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		ps.add("", err.Error(), "percent-encoded parameters")
	}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		if !slices.Contains(known, name) {
			ps.add(excerpt(name), "no such parameter", strings.Join(known, ", "))
		}
	}
	return q
}

func readLimit(q url.Values, ps *problems) int {
	s := q.Get("limit")
	if s == "" {
		return defaultLimit
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxLimit {
		ps.add("limit", "not a number of lines", fmt.Sprintf("1 to %d", maxLimit))
	}
	return n
}
