package proxy

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"surrogate/store"
)

// deliverEntry answers with a stored entry.
func (p *Proxy) deliverEntry(o *outcome, r *http.Request, q *request, e *store.Entry, d decision) {
	o.hit = d.act == actHit || d.act == actStale
	o.stale = d.act == actStale
	if o.hit {
		o.ttl, o.hasTTL = d.fresh, true
	}
	h := o.w.Header()
	addHead(h, e.Head)
	h["Age"] = []string{strconv.FormatInt(int64(age(e, time.Now())/time.Second), 10)}
	p.debugFields(h, q, e)
	o.cacheStatus(h, q)
	switch {
	case e.Status == http.StatusOK && notModified(q.client, e):
		writeNotModified(o, h)
	case e.Parts != nil:
		deliverPart(o, r, q, e, h)
	case q.asked.method == http.MethodGet && e.Status == http.StatusOK && q.client["Range"] != nil && e.Trailer.Len() == 0 && ifRangeMatches(q.client, e):
		deliverRanges(o, r, q, e, h)
	default:
		deliverWhole(o, q, e, h)
	}
}

func deliverWhole(o *outcome, q *request, e *store.Entry, h http.Header) {
	switch {
	case e.Trailer.Len() > 0:
		delete(h, "Content-Length")
		for name := range e.Trailer.All() {
			h["Trailer"] = append(h["Trailer"], name)
		}
	case e.Life.Flags.Has(store.Sized):
		// The head has it.
	case bodyAllowed(e.Status):
		// An entry whose body was left out has its length as its size.
		h["Content-Length"] = []string{strconv.FormatInt(max(int64(len(e.Body)), e.Size), 10)}
	}
	o.writeHeader(e.Status)
	if q.asked.method == http.MethodHead || !bodyAllowed(e.Status) {
		return
	}
	o.write(e.Body)
	e.Trailer.AddTo(h)
}

// deliverRanges answers a Range from a complete entry (RFC 9110, section 14.2).
func deliverRanges(o *outcome, r *http.Request, q *request, e *store.Entry, h http.Header) {
	ranges, ok, satisfiable := parseRange(strings.Join(q.client["Range"], ","), int64(len(e.Body)))
	switch {
	case !ok:
		deliverWhole(o, q, e, h)
	case !satisfiable:
		unsatisfiable(o, h, int64(len(e.Body)))
	case len(ranges) == 1:
		from, to := ranges[0].from, ranges[0].to
		partHead(h, from, to, int64(len(e.Body)))
		o.writeHeader(http.StatusPartialContent)
		o.write(e.Body[from : to+1])
	default:
		// Several ranges: net/http writes multipart/byteranges. A missing type
		// must not be guessed.
		if _, ok := h["Content-Type"]; !ok {
			h["Content-Type"] = nil
		}
		delete(h, "Content-Length")
		rr := &http.Request{Method: http.MethodGet, Header: http.Header{"Range": q.client["Range"]}}
		http.ServeContent(o.writer(), rr, "", time.Time{}, bytes.NewReader(e.Body))
	}
}

// deliverPart answers from an incomplete entry with what it holds of the range
// asked for; decide has seen to it that it holds it.
func deliverPart(o *outcome, r *http.Request, q *request, e *store.Entry, h http.Header) {
	ranges, ok, _ := parseRange(strings.Join(q.client["Range"], ","), e.Size)
	if !ok || len(ranges) != 1 {
		o.refuse(http.StatusBadGateway, "an incomplete response was found for a request it does not answer")
		return
	}
	body, ok := slicePart(e, ranges[0])
	if !ok || len(body) == 0 {
		unsatisfiable(o, h, e.Size)
		return
	}
	from, to := ranges[0].from, ranges[0].from+int64(len(body))-1
	partHead(h, from, to, e.Size)
	o.writeHeader(http.StatusPartialContent)
	if q.asked.method != http.MethodHead {
		o.write(body)
	}
}

func partHead(h http.Header, from, to, size int64) {
	complete := "*"
	if size >= 0 {
		complete = strconv.FormatInt(size, 10)
	}
	h["Content-Range"] = []string{fmt.Sprintf("bytes %d-%d/%s", from, to, complete)}
	h["Content-Length"] = []string{strconv.FormatInt(to-from+1, 10)}
}

func unsatisfiable(o *outcome, h http.Header, size int64) {
	for _, n := range []string{"Content-Type", "Content-Encoding", "Content-Language", "Etag", "Last-Modified", "Cache-Control", "Expires"} {
		delete(h, n)
	}
	h["Content-Range"] = []string{fmt.Sprintf("bytes */%d", size)}
	h["Content-Length"] = []string{"0"}
	o.writeHeader(http.StatusRequestedRangeNotSatisfiable)
}

// writeNotModified answers 304 with what h has to say to a cache and leaves out
// what describes content (RFC 9110, section 15.4.5).
func writeNotModified(o *outcome, h http.Header) {
	for _, n := range []string{"Content-Type", "Content-Length", "Content-Encoding", "Content-Language", "Content-Range", "Trailer"} {
		delete(h, n)
	}
	o.writeHeader(http.StatusNotModified)
}

// deliverFlight answers with what a fetch brings, as it arrives.
func (p *Proxy) deliverFlight(o *outcome, r *http.Request, q *request, f *flight, rd *reader, a *answer) {
	o.fwdStatus, o.stored = a.status, a.kept
	if !a.kept {
		o.why = a.why
	}
	switch {
	case a.whole != nil:
		p.deliverEntry(o, r, q, a.whole, decision{act: actRevalidate})
		return
	case !a.kept:
		if live := f.takeLive(); live != nil {
			p.deliverLive(o, r, q, live)
			return
		}
		o.refuse(http.StatusBadGateway, "the origin's answer was given up")
		return
	}
	h := o.w.Header()
	for k, v := range a.header {
		h[k] = v
	}
	if a.late(q) {
		h["Age"] = []string{strconv.FormatInt(int64(age(a.entry, time.Now())/time.Second), 10)}
	}
	p.debugFields(h, q, a.entry)
	o.cacheStatus(h, q)
	if a.status == http.StatusOK && notModified(q.client, a.entry) {
		writeNotModified(o, h)
		return
	}
	end := int64(-1)
	status := a.status
	if q.client["Range"] != nil && status == http.StatusOK && a.length >= 0 && ifRangeMatches(q.client, a.entry) {
		ranges, ok, satisfiable := parseRange(strings.Join(q.client["Range"], ","), a.length)
		switch {
		case ok && !satisfiable:
			unsatisfiable(o, h, a.length)
			return
		case ok && len(ranges) == 1:
			status = http.StatusPartialContent
			partHead(h, ranges[0].from, ranges[0].to, a.length)
			f.seek(rd, ranges[0].from)
			end = ranges[0].to + 1
		}
	}
	o.writeHeader(status)
	if bodyAllowed(status) {
		p.streamFlight(o, r, f, rd, end)
	}
}

// streamFlight sends the flight's content up to end, -1 for all of it.
func (p *Proxy) streamFlight(o *outcome, r *http.Request, f *flight, rd *reader, end int64) {
	for pos := rd.off; end < 0 || pos < end; {
		b, err := f.next(r.Context(), rd, o.flush)
		if err != nil {
			if r.Context().Err() != nil {
				o.gone = true
				panic(http.ErrAbortHandler) // it may be we who end it
			}
			o.breakOff()
		}
		if b == nil {
			break
		}
		if end >= 0 {
			b = b[:min(int64(len(b)), end-pos)]
		}
		pos += int64(len(b))
		if !o.write(b) {
			return
		}
	}
	if end < 0 { // and all of it is here
		setTrailers(o.w.Header(), f.trailer)
	}
}

// deliverLive sends a response that is not kept, as it comes.
func (p *Proxy) deliverLive(o *outcome, r *http.Request, q *request, resp *http.Response) {
	defer resp.Body.Close()
	h := o.w.Header()
	for k, v := range resp.Header { // receive has hidden what is to be hidden
		h[k] = v
	}
	o.cacheStatus(h, q)
	if resp.StatusCode == http.StatusOK && q.asked.conditional {
		// The fetch was made without the client's conditions.
		e := store.Entry{Status: resp.StatusCode, Head: storedHead(resp.Header, func(string) bool { return false })}
		if notModified(q.client, &e) {
			writeNotModified(o, h)
			return
		}
	}
	stop := closeOnDone(r.Context(), resp.Body)
	defer stop()
	p.send(r.Context(), o, q, resp)
}

// announceTrailers names the trailer fields that the origin announced.
func announceTrailers(h, trailer http.Header) {
	for k := range trailer {
		h["Trailer"] = append(h["Trailer"], k)
	}
}

// setTrailers sets the trailer fields, announced or not, once the content was
// sent.
func setTrailers(h, trailer http.Header) {
	for k, v := range trailer {
		if headerHasToken(h["Trailer"], k) {
			h[k] = v
		} else {
			h[http.TrailerPrefix+k] = v
		}
	}
}

// addHead adds the fields of a stored head to h, which has none of them, with
// one allocation for all values.
func addHead(h http.Header, head store.Head) {
	values := make([]string, 0, head.Count())
	for k, v := range head.All() {
		values = append(values, v)
		if prev, ok := h[k]; ok {
			h[k] = append(prev, v)
			continue
		}
		h[k] = values[len(values)-1 : len(values) : len(values)]
	}
}

// debugFields tells what the response is tagged with, where that is wanted.
func (p *Proxy) debugFields(h http.Header, q *request, e *store.Entry) {
	if !q.site.Debug || e == nil {
		return
	}
	var names []string
	for n := range e.Tags.All() {
		names = append(names, n.String())
	}
	h["X-Cache-Tags"] = []string{strings.Join(names, " ")}
}

// bodyAllowed reports whether a response with this status can have content (RFC
// 9110, section 6.4.1).
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
