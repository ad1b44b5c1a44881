package proxy

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"surrogate/store"
)

// newEntry makes the entry, as yet without content, that a response is kept as.
func (p *Proxy) newEntry(q *request, ticket store.Seq, status int, h http.Header, adm admission, cost time.Duration) *store.Entry {
	s := q.site
	var groups []string
	if s.groups {
		groups = h[cacheGroups]
	}
	names := s.TagRules.Names(q.key, &s.Key, valuesOf(h, s.tagged), groups, valuesOf(h, s.deps))
	life := adm.life
	if names.CatchAll {
		life.Flags |= store.CatchAll
		s.counts.catchAll.Inc()
		p.log.Warn("tags too many, too long or malformed: the page falls with every purge",
			"url", string(q.key), "names", names.Count, "max_tags", s.TagRules.MaxTags, "bytes", names.Bytes, "max_tag_bytes", s.TagRules.MaxBytes,
			"malformed", excerpts(names.Bad))
	}
	visible, hidden := s.split(h, adm.privateFields)
	key := q.key
	if adm.keep {
		var several bool
		if key, several = p.searches.learn(q.key, h); several {
			names.Tags = store.NamesOf(append(slices.Collect(names.Tags.All()), store.SearchName(key))...)
		}
	}
	names.Deps = p.searches.deps(names.Deps)
	e := &store.Entry{
		Key: key, Vary: adm.vary, Pick: store.PickOf(adm.vary, q), Alt: store.AltPickFor(adm.vary, q, h["Content-Language"]),
		Status: status, Head: visible, Hidden: hidden, Tags: names.Tags, Deps: names.Deps, Life: life, Ticket: ticket, Cost: cost,
	}
	if status == http.StatusPartialContent {
		if part, size, ok := parseContentRange(h.Get("Content-Range")); ok {
			e.Parts, e.Size = []store.Part{part}, size
		}
	}
	return e
}

// freshened returns old as updated by the fields of a 304 or of a 200 to a
// HEAD, and whether it may still be kept (RFC 9111, section 3.2). Tags and deps
// are fields like others: those that h repeats are replaced, the rest stay.
func (p *Proxy) freshened(q *request, ticket store.Seq, old *store.Entry, h http.Header, sent, received time.Time) (store.Entry, bool) {
	full := *old
	full.Head = full.Head.And(full.Hidden, q.site.tagFieldsOf(old))
	merged, adm := q.site.Policy.refresh(&q.asked, &full, h, sent, received, rand.Float64())
	e := p.newEntry(q, ticket, old.Status, merged.Head.Header(), adm, received.Sub(sent))
	e.Body, e.Trailer, e.Parts, e.Size = old.Body, old.Trailer, old.Parts, old.Size
	// Names that could not be kept are not known any more.
	e.Life.Flags |= old.Life.Flags & store.CatchAll
	return *e, adm.keep
}

// completed combines an incomplete entry with the part that was missing. The
// answer is whole once it is here, so nothing streams.
func (p *Proxy) completed(f *flight, q *request, old *store.Entry, resp *http.Response, sent, received time.Time) *coming {
	defer resp.Body.Close()
	adm := q.site.Policy.admit(&q.asked, resp.StatusCode, resp.Header, sent, received, rand.Float64())
	room := q.site.MaxObject - int64(len(old.Body))
	if !adm.keep || resp.ContentLength > room {
		resp.Body.Close() // or its connection is one too many
		return p.again(f, q)
	}
	// With no more than there is room for, the flight does not spill while
	// everybody still waits for its answer.
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, max(room, 0)+1), resp.Body}
	if _, err := p.copyIn(f, q, resp, received); err != nil {
		p.failed(f, q, nil, err)
		return nil
	}
	part := p.newEntry(q, f.ticket, resp.StatusCode, resp.Header, adm, received.Sub(sent))
	part.Body = f.withdraw()
	e, ok := combine(old, part)
	if !ok || !e.Complete() || int64(len(part.Body)) > room {
		// It is another representation by now.
		resp.Body.Close() // or its connection is one too many
		return p.again(f, q)
	}
	f.answered(&answer{at: received, kept: true, whole: &e, entry: &e, status: resp.StatusCode, length: int64(len(e.Body))})
	f.finish(nil, nil)
	return &coming{whole: &e}
}

// again fetches from the start, with no regard to what is stored: what the
// origin answered was of no use with it.
func (p *Proxy) again(f *flight, q *request) *coming {
	q = q.forWhole()
	return p.fetch(f, q, &store.Found{Ticket: f.ticket}, decision{act: actFetch}, q.site)
}

// put stores e, and passes on the fall of one that a purge overtook. It returns
// why nothing is stored now, whyNone where e is, or something newer.
func (p *Proxy) put(ctx context.Context, q *request, e *store.Entry) Reason {
	kept := *e // others read e by now
	kept.Life.Flags = kept.Life.Flags&^(store.Plain|store.Sized) | asPlain(e)
	err := p.store.Put(ctx, &kept)
	var purged *store.PurgedError
	switch {
	case err == nil:
		q.site.counts.stored.Inc()
	case errors.As(err, &purged):
		q.site.counts.notKept(whyPurged)
		if purged.Cascade && p.invalidate != nil {
			if err := p.invalidate(context.WithoutCancel(ctx), store.URLNames(e.Key), "overtaken fetch"); err != nil {
				p.log.Error("could not pass on a purge", "url", string(e.Key), "error", err)
			}
		}
		return whyPurged
	case errors.Is(err, store.ErrNewer):
		// Somebody else's later fetch was faster.
	case errors.Is(err, store.ErrTooLarge):
		q.site.counts.notKept(whyTooLarge)
		return whyTooLarge
	default:
		q.site.counts.storeErrors.Inc()
		p.log.Error("could not store a response", "url", string(e.Key), "error", err)
		return whyStore
	}
	return whyNone
}

// keep stores what the flight brought, whether or not a client still waits; nil is
// nothing.
func (p *Proxy) keep(f *flight, q *request, e *store.Entry) {
	if e == nil {
		return
	}
	if f.unkept = p.put(p.ctx, q, e); f.unkept == whyNone {
		f.stored = e
	}
}

// excerpts returns as much of some strings as a log line has room for.
func excerpts(ss []string) []string {
	out := make([]string, 0, 3)
	for _, s := range ss[:min(len(ss), cap(out))] {
		if len(s) > 80 {
			s = strings.ToValidUTF8(s[:80], "") + "…"
		}
		out = append(out, s)
	}
	return out
}
