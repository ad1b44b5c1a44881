package warm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"surrogate/store"
)

const (
	maxBody   = 16 << 20 // bytes of a JSON body
	maxList   = 1 << 30  // bytes of a list, which is read as it comes
	maxWait   = time.Minute
	listPause = time.Minute // between two pieces of a list

	defaultLimit = 100
	maxLimit     = 1000
)

// Handler serves the admin routes: POST and GET /v1/warm, GET and DELETE
// /v1/warm/{id}, GET /v1/warm/entities, and GET, PUT and DELETE
// /v1/warm/entities/{entity}. Whoever mounts it guards it, and passes paths on as
// they came.
func (in *Intake) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rest, under := strings.CutPrefix(r.URL.EscapedPath(), "/v1/warm")
		rest = strings.TrimPrefix(rest, "/")
		name, err := url.PathUnescape(rest)
		entity, ofEntity := strings.CutPrefix(name, "entities/")
		switch {
		case !under || err != nil:
			writeProblem(w, http.StatusNotFound, "There is no "+excerpt(r.URL.Path, 200)+" here.", nil)
		case name == "":
			byMethod(w, r, map[string]http.HandlerFunc{"POST": in.serveAsk, "GET": in.serveRuns})
		case name == "entities" || name == "entities/":
			byMethod(w, r, map[string]http.HandlerFunc{"GET": in.serveEntities})
		case ofEntity:
			of := func(f func(http.ResponseWriter, *http.Request, string)) http.HandlerFunc {
				return func(w http.ResponseWriter, r *http.Request) { f(w, r, entity) }
			}
			byMethod(w, r, map[string]http.HandlerFunc{"GET": of(in.serveEntity), "PUT": of(in.setEntity), "DELETE": of(in.endEntity)})
		default:
			of := func(f func(http.ResponseWriter, *http.Request, string)) http.HandlerFunc {
				return func(w http.ResponseWriter, r *http.Request) { f(w, r, name) }
			}
			byMethod(w, r, map[string]http.HandlerFunc{"GET": of(in.serveRun), "DELETE": of(in.cancelRun)})
		}
	})
}

// byMethod answers by what is there for the method, and others with 405. Who
// takes GET takes HEAD.
func byMethod(w http.ResponseWriter, r *http.Request, by map[string]http.HandlerFunc) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if h := by[method]; h != nil {
		h(w, r)
		return
	}
	var allow []string
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "DELETE"} {
		if by[m] != nil || m == "HEAD" && by["GET"] != nil {
			allow = append(allow, m)
		}
	}
	w.Header().Set("Allow", strings.Join(allow, ", "))
	writeProblem(w, http.StatusMethodNotAllowed, "This route answers "+strings.Join(allow, ", ")+".", nil)
}

// An accepted is the answer to POST /v1/warm.
type accepted struct {
	ID       string      `json:"id"`
	Created  bool        `json:"created"`          // false: this id was sent before, and nothing was queued
	Differs  bool        `json:"differs,omitzero"` // and with something else, as far as its first 500 URLs show
	Added    int         `json:"added"`
	Dropped  int         `json:"dropped"`
	Rejected int         `json:"rejected"`
	Errors   []Rejection `json:"errors,omitempty"` // the first of what was rejected
}

// serveAsk takes what is to be warmed: JSON, or a list as text/plain, whose site,
// id and the like are parameters.
func (in *Intake) serveAsk(w http.ResponseWriter, r *http.Request) {
	var ps problems
	var a Ask
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch mediaType {
	case "text/plain":
		q := readQuery(r, &ps, "site", "base", "id", "force", "what")
		a = Ask{Site: q.Get("site"), Base: q.Get("base"), ID: q.Get("id"), What: q.Get("what"), Kind: "list"}
		if q.Has("id") {
			checkID(a.ID, &ps)
		}
		if f := q.Get("force"); f != "" {
			var err error
			if a.Force, err = strconv.ParseBool(f); err != nil {
				ps.add("force", "not a boolean", "true or false")
			}
		}
		a.List = &patient{http.MaxBytesReader(w, r.Body, maxList), http.NewResponseController(w)}
	default:
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			in.writeUnread(w, Answer{}, fmt.Errorf("the body could not be read: %w", err))
			return
		}
		readQuery(r, &ps)
		a = parseAsk(body, &ps)
		if text := bytes.TrimSpace(body); len(text) > 0 && text[0] != '{' && text[0] != '[' {
			ps.add("Content-Type", fmt.Sprintf("%q is read as JSON", excerpt(mediaType, 100)), "text/plain for a list of URLs, application/json")
		}
	}
	if len(ps.list) > 0 {
		in.check(&a, &ps) // so that all there is to say is said at once
		writeRefusal(w, ps.err())
		return
	}
	a.Patient = true
	a.By = r.Method + " " + r.URL.Path + " from " + r.RemoteAddr
	answer, err := in.Warm(r.Context(), a)
	if writeRefusal(w, err) {
		return
	}
	if err != nil {
		in.writeUnread(w, answer, err)
		return
	}
	w.Header().Set("Location", "/v1/warm/"+answer.ID)
	writeJSON(w, http.StatusAccepted, accepted{answer.ID, answer.Created, answer.Differs, answer.Added, answer.Dropped, answer.Count, answer.First})
}

// writeUnread answers with why not all of what was sent could be queued.
func (in *Intake) writeUnread(w http.ResponseWriter, a Answer, err error) {
	done := "Nothing was queued"
	if a.ID != "" {
		done = fmt.Sprintf("Of run %s %d URLs are queued, the rest is not", a.ID, a.Added)
	}
	status := http.StatusServiceUnavailable
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		status = http.StatusRequestEntityTooLarge
		err = fmt.Errorf("it is larger than %d bytes: send it as text/plain, or in several", tooLarge.Limit)
	} else if errors.Is(err, store.ErrRuns) {
		status = http.StatusTooManyRequests
	}
	writeProblem(w, status, done+": "+err.Error(), nil)
}

// patient reads a body that may take its time, as long as it goes on: the
// server's own limit is for small ones.
type patient struct {
	r    io.Reader
	conn *http.ResponseController
}

func (p *patient) Read(b []byte) (int, error) {
	_ = p.conn.SetReadDeadline(time.Now().Add(listPause)) // where it cannot be set, the server's own limit holds
	return p.r.Read(b)
}

// readQuery returns the parameters of a request. What is not known is a problem:
// it would be answered as if it had not been asked.
func readQuery(r *http.Request, ps *problems, known ...string) url.Values {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		ps.add("", err.Error(), "percent-encoded parameters")
	}
next:
	for name := range q {
		for _, k := range known {
			if k == name {
				continue next
			}
		}
		ps.add(excerpt(name, 100), "no such parameter", strings.Join(known, ", "))
	}
	return q
}

// serveRuns lists the runs begun last; with ?under_way=true those that are not
// over.
func (in *Intake) serveRuns(w http.ResponseWriter, r *http.Request) {
	var ps problems
	q := readQuery(r, &ps, "limit", "under_way")
	limit, underWay := defaultLimit, false
	if s := q.Get("under_way"); s != "" {
		var err error
		if underWay, err = strconv.ParseBool(s); err != nil {
			ps.add("under_way", "not a boolean", "true or false")
		}
	}
	if s := q.Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxLimit {
			ps.add("limit", "not a number of runs", fmt.Sprintf("1 to %d", maxLimit))
		}
		limit = n
	}
	if writeRefusal(w, ps.err()) {
		return
	}
	look := limit
	if underWay {
		look = maxLimit
	}
	runs, err := in.queue.Runs(r.Context(), look)
	if err != nil {
		writeProblem(w, http.StatusServiceUnavailable, "The queue failed: "+err.Error(), nil)
		return
	}
	page := struct {
		Runs []Status `json:"runs"`
	}{Runs: []Status{}}
	waits := in.waits(r.Context())
	for i := range runs {
		if underWay && runs[i].Done() || len(page.Runs) == limit {
			continue
		}
		page.Runs = append(page.Runs, StatusOf(&runs[i], time.Now(), waits))
	}
	writeJSON(w, http.StatusOK, page)
}

// serveRun tells how far a run is; with ?wait=30s when it is done, or then.
func (in *Intake) serveRun(w http.ResponseWriter, r *http.Request, id string) {
	var ps problems
	q := readQuery(r, &ps, "wait")
	var wait time.Duration
	if s := q.Get("wait"); s != "" {
		var err error
		if wait, err = time.ParseDuration(s); err != nil || wait < 0 || wait > maxWait {
			ps.add("wait", "no duration that can be waited for", "at most 1m: 2s, 400ms")
		}
	}
	if writeRefusal(w, ps.err()) {
		return
	}
	p, err := in.await(r.Context(), id, wait)
	in.writeProgress(w, r, &p, err)
}

// await returns a run's progress when it is done, or after wait.
func (in *Intake) await(ctx context.Context, id string, wait time.Duration) (store.Progress, error) {
	end := time.Now().Add(wait)
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		p, err := in.queue.Progress(ctx, id)
		left := time.Until(end)
		if err != nil || p.Done() || left <= 0 || in.stopping() {
			return p, err
		}
		t := time.NewTimer(min(pause, left))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return p, nil
		}
	}
}

func (in *Intake) cancelRun(w http.ResponseWriter, r *http.Request, id string) {
	err := in.queue.Cancel(r.Context(), id)
	var p store.Progress
	if err == nil {
		in.log.Info("warming cancelled", "run", id, "by", r.RemoteAddr)
		p, err = in.queue.Progress(r.Context(), id)
	}
	in.writeProgress(w, r, &p, err)
}

// waits is what sites wait for, as far as that is known.
func (in *Intake) waits(ctx context.Context) map[string]SiteWait {
	if in.o.Waits == nil {
		return nil
	}
	return in.o.Waits(ctx)
}

func (in *Intake) writeProgress(w http.ResponseWriter, r *http.Request, p *store.Progress, err error) {
	switch {
	case errors.Is(err, store.ErrNoRun):
		writeProblem(w, http.StatusNotFound, "No run with this id is known.", nil)
	case err != nil:
		writeProblem(w, http.StatusServiceUnavailable, "The queue failed: "+err.Error(), nil)
	default:
		s := StatusOf(p, time.Now(), in.waits(r.Context()))
		if s.Done == 0 && s.Remaining > 0 && len(s.Waits) == 0 {
			if q, err := in.queue.Stats(r.Context()); err == nil { // else it is left out
				s.Others = max(0, q.Queued+q.Taken-s.Remaining)
			}
		}
		writeJSON(w, http.StatusOK, s)
	}
}
