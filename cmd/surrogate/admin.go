package main

import (
	"embed"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/gorilla/mux"

	"surrogate/purge"
)

//go:embed dashboard
var dashboard embed.FS

// adminAPI is what the admin listener serves. The probes are open to all, and so
// is the dashboard, a page without anything in it that asks for the token.
func (n *node) adminAPI(token string) http.Handler {
	r := mux.NewRouter()
	n.purger.Mount(r)
	guarded := func(path string, h http.HandlerFunc) {
		r.Path(path).Handler(purge.Guard(token, readOnly(h)))
	}
	guarded("/v1/stats", takes(n.serveStats))
	guarded("/v1/explain", takes(n.serveExplain, "url"))
	guarded("/metrics", n.serveMetrics)
	r.Path("/v1/warm").Handler(purge.Guard(token, n.intake.Handler()))
	r.PathPrefix("/v1/warm/").Handler(purge.Guard(token, n.intake.Handler()))
	r.PathPrefix(profiles).Handler(purge.Guard(token, readOnly(serveProfile)))
	r.Path("/healthz").Handler(readOnly(func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") }))
	r.Path("/readyz").Handler(readOnly(n.serveReady))
	for path, file := range map[string]string{"/": "index.html", "/dashboard.css": "dashboard.css", "/dashboard.js": "dashboard.js"} {
		r.Path(path).Handler(readOnly(func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; frame-ancestors 'none'")
			h.Set("Cache-Control", "no-cache")
			h.Set("X-Content-Type-Options", "nosniff")
			http.ServeFileFS(w, r, dashboard, "dashboard/"+file)
		}))
	}
	r.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		problem(w, http.StatusNotFound, "There is no "+r.URL.Path+" here. See / and the README.")
	})
	return r
}

func readOnly(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			problem(w, http.StatusMethodNotAllowed, "This route answers GET and HEAD.")
			return
		}
		next(w, r)
	}
}

// takes refuses parameters that are not known.
func takes(next http.HandlerFunc, known ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for name := range r.URL.Query() {
			if !slices.Contains(known, name) {
				problem(w, http.StatusBadRequest, strings.TrimSuffix(fmt.Sprintf(
					"This route has no parameter %.100q; there are: %s", name, strings.Join(known, ", ")), "; there are: "))
				return
			}
		}
		next(w, r)
	}
}

func (n *node) serveReady(w http.ResponseWriter, _ *http.Request) {
	if n.draining.Load() {
		say(w, http.StatusServiceUnavailable, "draining")
		return
	}
	if why := n.deaf(); why != "" {
		// It serves all the same: taken out, a fleet whose Redis is gone would be gone.
		say(w, http.StatusOK, "ready, but deaf: "+why)
		return
	}
	say(w, http.StatusOK, "ready")
}

func (n *node) serveMetrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	n.counted.write(w)
}

// say answers with a word.
func say(w http.ResponseWriter, status int, word string) {
	answer(w, "text/plain; charset=utf-8", status, []byte(word+"\n"))
}

// problem answers with a problem document (RFC 9457).
func problem(w http.ResponseWriter, status int, detail string) {
	body, err := json.Marshal(map[string]any{
		"type": "about:blank", "title": http.StatusText(status), "status": status, "detail": detail,
	})
	if err != nil {
		body = nil // not reached: strings and a number
	}
	answer(w, "application/problem+json", status, append(body, '\n'))
}

// reply answers with JSON.
func reply(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		problem(w, http.StatusInternalServerError, err.Error())
		return
	}
	answer(w, "application/json", http.StatusOK, append(body, '\n'))
}

func answer(w http.ResponseWriter, contentType string, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(body)
}
