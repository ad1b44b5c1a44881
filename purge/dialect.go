package purge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// isPurgeMethod reports whether a method asks a cache, and never an origin, for
// something. Methods are case-sensitive, but what looks like a purge is not
// passed on either.
func isPurgeMethod(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return false
	}
	switch strings.ToUpper(method) {
	case "PURGE", "BAN", "PURGEKEYS", "PURGETAGS", "URIBAN", "REFRESH":
		return true
	}
	return false
}

// Intercept answers purge methods on the public listener and passes everything
// else to next.
func (p *Purger) Intercept(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isPurgeMethod(r.Method) {
			next.ServeHTTP(w, r)
			return
		}
		if why := p.keptOut(r); why != "" {
			p.counts.denied.Inc()
			p.log.Warn("purge refused", "reason", why, "method", r.Method, "host", excerpt(r.Host), "url", excerpt(r.RequestURI), "peer", r.RemoteAddr)
			w.Header().Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
			writeFailure(w, http.StatusMethodNotAllowed, "Not allowed: "+why)
			return
		}
		p.dialect(w, r)
	})
}

// A reply is what every client of the purge dialects understands. It is the
// same whether or not anything matched: clients take an error for a failure, and
// some break the write that caused it.
type reply struct {
	Status      string `json:"status"`
	ID          string `json:"id"`
	Invalidated int    `json:"invalidated"`
	Exact       bool   `json:"exact"` // false: invalidated is the most it can be
	Soft        bool   `json:"soft"`
	Note        string `json:"note,omitempty"`
}

func writeFailure(w http.ResponseWriter, status int, msg string) {
	writeJSON(w, status, struct {
		Status string `json:"status"`
		Msg    string `json:"msg"`
	}{"error", msg})
}

// errUnsupported is a dialect we do not speak.
type errUnsupported string

func (e errUnsupported) Error() string { return string(e) }

// dialect answers a purge method. What is asked is told by method and fields
// first and path last: "PURGE /" with tags does not mean the home page. The
// requests, at most a hard and a soft one, are all understood before the first
// is done.
func (p *Purger) dialect(w http.ResponseWriter, r *http.Request) {
	requests, note, err := p.understand(r)
	out := reply{Exact: true}
	status := http.StatusOK
	for i := range requests {
		if err != nil {
			break
		}
		requests[i].By = by(r)
		requests[i].Wait = publicWait / time.Duration(len(requests))
		var receipt Receipt
		receipt, err = p.purge(context.WithoutCancel(r.Context()), requests[i], ByPublic)
		if err != nil && i > 0 {
			err = fmt.Errorf("%w: the first of two: %w", ErrPartial, err)
		}
		out.ID = receipt.ID
		if err == nil {
			status = max(status, statusOf(receipt))
		}
		out.Invalidated += receipt.Entries
		out.Exact = out.Exact && receipt.Exact
		out.Soft = requests[i].Soft
	}
	if err != nil {
		p.dialectFailed(w, err)
		return
	}
	out.Status, out.Note = "ok", note
	writeJSON(w, status, out)
}

func (p *Purger) dialectFailed(w http.ResponseWriter, err error) {
	if u, ok := errors.AsType[errUnsupported](err); ok {
		p.counts.badRequest.Inc()
		writeFailure(w, http.StatusNotImplemented, string(u)+" Nothing was purged.")
		return
	}
	status, msg := failure(err)
	if status == http.StatusBadRequest {
		msg = "Nothing was purged: " + msg
	}
	writeFailure(w, status, msg)
}

// by says who asked for what, for the log and the receipt.
func by(r *http.Request) string {
	return r.Method + " " + r.Host + " " + excerpt(r.RequestURI) + " from " + r.RemoteAddr
}

// excerpt is as much of s as goes into a log line.
func excerpt(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:200], "") + "…"
	}
	return s
}

// understand turns a purge method into requests, none when nothing was asked.
// note is for the client.
func (p *Purger) understand(r *http.Request) (requests []Request, note string, err error) {
	requests, listed, err := tagRequests(r.Method, r.Header)
	if err != nil || listed {
		return requests, "", err
	}
	h := r.Header
	soft := wantsSoft(h)
	switch strings.ToUpper(r.Method) {
	case "PURGE":
		switch {
		case len(h["X-Magento-Tags-Pattern"]) > 0:
			req, err := magentoRequest(h)
			return []Request{req}, "", err
		case len(h["X-Pool"]) > 0:
			return nil, "", errUnsupported("Purging by X-Pool is not supported.")
		case flag(h, "Clear-Cache"):
			return []Request{{Everything: true, Soft: soft}}, "", nil
		}
		req, note, err := p.urlRequest(r)
		req.Soft = soft
		return []Request{req}, note, err
	case "URIBAN":
		req, note, err := p.exactRequest(r)
		req.Soft = soft
		return []Request{req}, note, err
	case "BAN":
		if name := banField(h); name != "" {
			return nil, "", errUnsupported("Bans by " + name + " are not supported.")
		}
		if _, target, err := splitTarget(r); err != nil || target != "/" && target != "/site" {
			return nil, "", errUnsupported("Bans by path are not supported; PURGE takes a URL, or a prefix that ends in .*")
		}
		return []Request{{Everything: true, Soft: soft}}, "", nil
	case "PURGEKEYS":
		return nil, "", malformed("PURGEKEYS needs xkey-purge or xkey-softpurge")
	case "PURGETAGS":
		return nil, "", nil // its clients send it without tags, and mean nothing by it
	}
	return nil, "", errUnsupported(r.Method + " is not supported.")
}

func malformed(detail string) error {
	return &RequestError{[]Problem{{Detail: detail}}}
}

// banField returns a field that narrows a ban down.
func banField(h http.Header) string {
	for _, f := range []string{"X-Url", "X-Host", "X-Content-Type", "X-Cache-Tags", "Cache-Tags", "Purge-Cache-Tags",
		"X-Acquia-Purge-Tags", "X-Site", "X-Location-Id", "Apiplatform-Ban-Regex"} {
		if len(h[f]) > 0 {
			return f
		}
	}
	for f := range h {
		if strings.HasPrefix(f, "Varnish-Ban-") {
			return f
		}
	}
	return ""
}

// flag reports whether a field is there and does not say no.
func flag(h http.Header, name string) bool {
	switch strings.ToLower(strings.TrimSpace(h.Get(name))) {
	case "", "0", "false":
		return false
	}
	return true
}

// wantsSoft reports whether any field asks for a soft purge.
func wantsSoft(h http.Header) bool {
	s := strings.TrimSpace(h.Get("Surrogate-Purge"))
	return strings.EqualFold(s, "soft") || flag(h, "Fastly-Soft-Purge")
}
