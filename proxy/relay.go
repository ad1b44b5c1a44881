package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
)

// relay sends a passed request to the origin, and to the client what comes back:
// interim responses, the response as it arrives, its trailers. When the client
// leaves, the request to the origin ends.
func (p *Proxy) relay(r *http.Request, g *passage) {
	out := r.WithContext(r.Context())
	out.URL, out.Host, out.Header = &url.URL{Opaque: g.target(r)}, g.q.originHost(), p.forwardHeader(g.q)
	out.Close = false // the client may, and the origin's connection stays
	if r.ContentLength == 0 {
		out.Body = nil // so that it can be sent again
	} else if r.Body != nil {
		lent := lend(r)
		out.Body, out.Trailer = lent, lent.trailer
		defer lent.Close()
	}
	resp, err := g.q.site.origin.send(out, g.interim)
	g.noInterims()
	if err != nil {
		p.notPassed(r.Context(), g, err)
		return
	}
	defer resp.Body.Close()
	p.passed(r.Context(), resp, g)
	h := g.o.w.Header()
	for k, v := range resp.Header {
		if !g.q.site.hidden[k] {
			h[k] = v
		}
	}
	g.o.cacheStatus(h, g.q)
	p.send(r.Context(), g.o, g.q, resp)
}

// target is what the origin is asked for.
func (g *passage) target(r *http.Request) string {
	target, _ := targetOf(r)
	if target != "*" && g.q.asked.method == http.MethodHead {
		return g.q.key.Target()
	}
	return target
}

// interim passes on an interim response. The transport may call it until its
// round trip ends, and somewhat longer.
func (g *passage) interim(status int, h http.Header) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.answered {
		removeHopByHop(h)
		g.o.interim(status, g.q.site.visible(h))
	}
	return nil
}

// noInterims keeps interim responses from the client from now on.
func (g *passage) noInterims() {
	g.mu.Lock()
	g.answered = true
	g.mu.Unlock()
}

// An interims is what guards the client from interim responses that come late.
type interims struct {
	mu       sync.Mutex
	answered bool
}

// A lentBody is the content of a client's request while the handler runs. The
// transport may go on reading it longer than that, and closes it when it could
// not connect: closing the client's content would wait for all of it.
type lentBody struct {
	client  *http.Request
	trailer http.Header // what of the client's trailers the origin is sent
	ended   atomic.Bool
}

// lend returns r's content. Trailer fields that the client announced follow it,
// except those that it may not say in its head either.
func lend(r *http.Request) *lentBody {
	b := &lentBody{client: r}
	for k := range r.Trailer {
		if !ended[k] {
			if b.trailer == nil {
				b.trailer = make(http.Header, len(r.Trailer))
			}
			b.trailer[k] = nil
		}
	}
	return b
}

var errHandled = errors.New("the request was answered before its content had come")

func (b *lentBody) Read(p []byte) (int, error) {
	if b.ended.Load() {
		return 0, errHandled
	}
	n, err := b.client.Body.Read(p)
	if err == io.EOF {
		for k := range b.trailer {
			b.trailer[k] = b.client.Trailer[k] // known now
		}
	}
	return n, err
}

// Close ends the loan.
func (b *lentBody) Close() error {
	b.ended.Store(true)
	return nil
}

// send sends the client a response whose fields are in its header already, as it
// comes. Where the rest of it does not, the client's connection breaks, so that
// it cannot take what it has for the whole.
func (p *Proxy) send(ctx context.Context, o *outcome, q *request, resp *http.Response) {
	h := o.w.Header()
	if len(resp.Trailer) > 0 {
		announceTrailers(h, q.site.visible(resp.Trailer))
	}
	o.writeHeader(resp.StatusCode)
	// Nobody knows how long the rest takes when its length is not known, or it
	// is an event stream. Each piece goes out at once.
	left := resp.ContentLength
	each := left < 0 || isEventStream(resp.Header)
	if each && resp.Body != http.NoBody {
		o.flush() // the head is news too: an event stream has begun
	}
	chunk := getChunk()
	defer putChunk(chunk)
	for {
		n, err := resp.Body.Read(*chunk)
		if n > 0 {
			if !o.write((*chunk)[:n]) {
				return
			}
			// A short read means that the origin pauses, unless that was all.
			if left -= int64(n); each || left > 0 && n < len(*chunk) {
				o.flush()
			}
		}
		switch {
		case err == nil:
			continue
		case isEOF(err):
		case ctx.Err() != nil:
			o.gone = true
			panic(http.ErrAbortHandler) // it may be we who end it
		default:
			p.log.Warn("origin broke off", "url", string(q.key), "error", err)
			o.breakOff()
		}
		break
	}
	if len(resp.Trailer) > 0 {
		o.flush() // or net/http gives a short body a length, and no trailers
		setTrailers(h, q.site.visible(resp.Trailer))
	}
}

// isEventStream reports whether a response is one of server-sent events.
func isEventStream(h http.Header) bool {
	for _, v := range h["Content-Type"] {
		v, _, _ = strings.Cut(v, ";")
		if strings.EqualFold(textproto.TrimString(v), "text/event-stream") {
			return true
		}
	}
	return false
}
