package proxy

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"surrogate/store"
)

// An outcome is what came of one request: what Cache-Status says, what the
// metrics count and what the access log records. It is also the way to the
// client, so that what was sent is known.
type outcome struct {
	w       http.ResponseWriter
	site    *site
	key     store.Key
	method  string
	arrived time.Time
	old     bool // the client speaks HTTP/1.0 and knows no interim responses

	hit       bool // answered from the store
	stale     bool // and stale
	fwd       string
	fwdStatus int
	ttl       time.Duration
	hasTTL    bool
	stored    bool
	collapsed bool
	why       Reason
	detail    string

	status int
	bytes  int64
	gone   bool // the client left
	broken bool // the origin broke off after the head was sent
}

func (o *outcome) writeHeader(status int) {
	o.status = status
	if h := o.w.Header(); h["Content-Type"] == nil {
		h["Content-Type"] = nil // net/http would guess
	}
	o.w.WriteHeader(status)
}

// write returns false when the client is gone.
func (o *outcome) write(b []byte) bool {
	n, err := o.w.Write(b)
	o.bytes += int64(n)
	if err != nil {
		o.gone = true
	}
	return err == nil
}

func (o *outcome) flush() { http.NewResponseController(o.w).Flush() }

// breakOff ends the connection, so that the client cannot take what it has for
// the whole. What has arrived is sent first: who may ask for the rest by a range
// need not begin anew.
func (o *outcome) breakOff() {
	o.broken = true
	o.flush()
	panic(http.ErrAbortHandler)
}

// interim passes on an interim response (RFC 9110, section 15.2).
func (o *outcome) interim(status int, fields http.Header) {
	if o.old {
		return
	}
	h := o.w.Header()
	before := maps.Clone(h)
	maps.Copy(h, fields)
	o.w.WriteHeader(status)
	clear(h)
	maps.Copy(h, before)
}

// cacheStatus adds our member to Cache-Status, after those of the caches that
// are nearer to the origin (RFC 9211, section 2).
func (o *outcome) cacheStatus(h http.Header, q *request) {
	s := cacheStatus{
		hit: o.hit, ttl: o.ttl, hasTTL: o.hasTTL, stored: o.stored, collapsed: o.collapsed, detail: o.detail,
	}
	if !o.hit {
		s.fwd, s.fwdStatus = o.fwd, o.fwdStatus
		if s.detail == "" && !o.stored && o.why != whyNone && o.why != whyMiss {
			s.detail = o.why.String()
		}
	}
	if q != nil && q.site.Debug {
		s.key = string(q.key)
	}
	// A new slice: the header's may belong to a response that others share.
	others := h["Cache-Status"]
	h["Cache-Status"] = append(others[:len(others):len(others)], s.String())
}

// refuse answers with an error of our own.
func (o *outcome) refuse(status int, text string) {
	h := o.w.Header()
	h["Content-Type"] = []string{"text/plain; charset=utf-8"}
	h["Cache-Control"] = []string{"no-store"}
	if o.fwd != "" {
		h["Cache-Status"] = []string{cacheStatus{fwd: o.fwd, detail: o.detail}.String()}
	}
	body := strconv.Itoa(status) + " " + http.StatusText(status) + ": " + text + "\n"
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	o.writeHeader(status)
	if o.method != http.MethodHead {
		o.write([]byte(body))
	}
}

// writer is the outcome as an http.ResponseWriter, for the standard library.
func (o *outcome) writer() http.ResponseWriter { return (*outcomeWriter)(o) }

type outcomeWriter outcome

func (o *outcomeWriter) Header() http.Header         { return o.w.Header() }
func (o *outcomeWriter) Unwrap() http.ResponseWriter { return o.w }

func (o *outcomeWriter) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		o.status = status
	} else if o.old {
		return
	}
	o.w.WriteHeader(status)
}

func (o *outcomeWriter) Write(b []byte) (int, error) {
	if o.status == 0 {
		o.status = http.StatusOK
	}
	n, err := o.w.Write(b)
	o.bytes += int64(n)
	return n, err
}

// result is how a request was answered, one of results.
func (o *outcome) result() int {
	switch {
	case o.hit && o.stale:
		return resultStale
	case o.hit:
		return resultHit
	case o.site == nil || o.fwd == "":
		return resultRefused
	case o.fwd == "bypass" || o.fwd == "method":
		return resultPass
	case o.fwd == "stale" || o.fwd == "request":
		return resultRevalidated
	}
	return resultMiss
}

// record counts and logs the outcome.
func (p *Proxy) record(o *outcome, r *http.Request) {
	took := time.Since(o.arrived)
	p.counts.record(o, took, rand.Uint32())
	if p.logs() {
		p.logAccess(o, took, peerOf(r), r.Host, r.RequestURI, r.Proto)
	}
}

// logs reports whether requests are logged.
func (p *Proxy) logs() bool {
	return p.access != nil && p.access.Enabled(context.Background(), slog.LevelInfo)
}

func (p *Proxy) logAccess(o *outcome, took time.Duration, client, host, url, proto string) {
	attrs := []slog.Attr{
		slog.String("client", client), slog.String("method", o.method), slog.String("host", host), slog.String("url", url),
		slog.Int("status", o.status), slog.Int64("bytes", o.bytes), slog.Float64("took_ms", float64(took.Microseconds())/1000),
		slog.String("cache", results[o.result()]), slog.String("proto", proto),
	}
	if o.site != nil {
		attrs = append(attrs, slog.String("site", o.site.Name))
	}
	if o.fwd != "" && !o.hit {
		attrs = append(attrs, slog.String("fwd", o.fwd), slog.String("why", o.why.String()), slog.Bool("stored", o.stored && !o.broken), slog.Bool("collapsed", o.collapsed))
	}
	if o.stale || o.detail != "" {
		attrs = append(attrs, slog.String("detail", cmp.Or(o.detail, o.why.String())))
	}
	if o.gone {
		attrs = append(attrs, slog.Bool("client_left", true))
	}
	if o.broken {
		attrs = append(attrs, slog.Bool("origin_broke_off", true))
	}
	p.access.LogAttrs(context.Background(), slog.LevelInfo, "request", attrs...)
}
