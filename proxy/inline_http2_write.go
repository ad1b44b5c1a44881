package proxy

import (
	"net"
	"net/http"
	"time"

	"surrogate/store"
)

// An answered is a hit that is about to be written.
type answered struct {
	outcome
	stream       uint32
	head         store.Head
	sized        bool  // head has a length
	size         int64 // of the whole body
	body         []byte
	age, fresh   time.Duration
	host, target string // for the log
}

// enoughHTTP2 is how much is written at once, give or take a frame.
const enoughHTTP2 = 16 << 10

// write sends what net/http writes. Its header blocks are written anew.
func (h *http2Conn) write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer func() {
		if !h.frame.midway() {
			h.spoke = true
			h.cond.Broadcast()
		}
	}()
	if h.frame.rest >= len(p) && !h.frame.isBlock() { // more of a long one
		h.frame.follow(p)
		return h.c.Conn.Write(p)
	}
	sc := newScratch()
	defer sc.free()
	out := sc.out[:0]
	for rest := p; len(rest) > 0; {
		var payload []byte
		var begun bool
		rest, payload, begun = h.frame.follow(rest)
		if begun {
			h.theirs(h.frame.at)
			if !h.frame.isBlock() {
				out = append(out, h.frame.head[:]...)
			}
		}
		if !h.frame.isBlock() {
			out = append(out, payload...)
			continue
		}
		if h.frame.at.kind == frameHeaders && begun {
			h.answers, h.answersEnd = h.frame.at.stream, h.frame.at.flags&flagEndStream != 0
		}
		h.reply = append(h.reply, payload...)
		if !h.frame.midway() {
			var err error
			if out, err = h.writer.rewrite(out, h.answers, h.answersEnd, h.reply); err != nil {
				return 0, err
			}
			h.reply = keepSmall(h.reply)
		}
	}
	sc.out = out[:0]
	if len(out) > 0 {
		if _, err := h.c.Conn.Write(out); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// theirs takes note of a frame of net/http's.
func (h *http2Conn) theirs(head frameHead) {
	switch head.kind {
	case frameData:
		h.window -= int64(head.length)
		h.wanting()
	case frameGoAway:
		h.away = true
	}
}

// flush writes the answers that are waiting, between two frames of net/http's.
func (h *http2Conn) flush() error {
	if h.err != nil || len(h.waiting) == 0 {
		return h.err
	}
	h.err = h.send()
	now, p := time.Now(), h.c.in.proxy
	for i := range h.waiting {
		a := &h.waiting[i]
		a.gone = h.err != nil
		took := now.Sub(a.arrived)
		p.counts.record(&a.outcome, took, h.lane)
		if p.logs() {
			p.logAccess(&a.outcome, took, h.c.client(), a.host, a.target, "HTTP/2.0")
		}
	}
	clear(h.waiting)
	h.waiting, h.queued = h.waiting[:0], 0
	return h.err
}

func (h *http2Conn) send() error {
	c := h.c
	h.mu.Lock()
	defer h.mu.Unlock()
	for !h.closed && (!h.spoke || h.frame.midway()) {
		h.cond.Wait()
	}
	if h.closed || !c.moves(stateOpen, stateAnswering) {
		return net.ErrClosed
	}
	err := h.sendAll()
	if !c.moves(stateAnswering, stateOpen) {
		return net.ErrClosed
	}
	return err
}

func (h *http2Conn) sendAll() error {
	c := h.c
	if d := c.in.server.WriteTimeout; d > 0 {
		if err := c.Conn.SetWriteDeadline(time.Now().Add(d)); err != nil {
			return err
		}
	}
	sc := newScratch()
	defer sc.free()
	out := sc.out[:0]
	for i := range h.waiting {
		a := &h.waiting[i]
		out = h.writer.answer(out, a)
		for body := a.body; len(body) > 0; {
			n := min(len(body), maxFrame)
			head := frameHead{length: n, kind: frameData, stream: a.stream}
			if n == len(body) {
				head.flags = flagEndStream
			}
			out = append(appendFrameHead(out, head), body[:n]...)
			body = body[n:]
			if len(out) > enoughHTTP2 {
				if _, err := c.Conn.Write(out); err != nil {
					return err
				}
				out = out[:0]
			}
		}
	}
	sc.out = out[:0]
	if len(out) == 0 {
		return nil
	}
	_, err := c.Conn.Write(out)
	return err
}

// answer appends the HEADERS frame of the answer that appendHit or appendNotModified
// gives.
func (w *blockWriter) answer(b []byte, a *answered) []byte {
	at := w.begin(b, a.status)
	for name, value := range a.head.All() {
		if a.status != http.StatusNotModified || !describesContent(name) {
			w.field(lowered(name), value)
		}
	}
	if a.status != http.StatusNotModified && !a.sized {
		w.number("content-length", a.size)
	}
	w.number("age", int64(a.age/time.Second))
	var room [64]byte
	w.field("cache-status", view(cacheStatus{hit: true, ttl: a.fresh, hasTTL: true}.append(room[:0])))
	return w.end(at, a.stream, len(a.body) == 0)
}
