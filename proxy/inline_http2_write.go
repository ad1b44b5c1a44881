package proxy

// A theirBlock is a header block of net/http's, as far as it has come.
type theirBlock struct {
	stream uint32
	ends   bool // the stream
	text   []byte
}

// write sends what net/http writes. Its header blocks are written anew.
func (h *http2Conn) write(p []byte) (int, error) {
	h.order.Lock()
	defer h.order.Unlock()
	defer func() {
		if !h.frame.midway() {
			h.spoke = true
			h.turn.Broadcast()
		}
	}()
	if h.frame.rest >= len(p) && h.frame.at.kind == frameData { // more of a long one
		h.frame.follow(p)
		return h.c.write(p)
	}
	sc := newScratch()
	defer sc.free()
	out := sc.out[:0]
	for rest := p; len(rest) > 0; {
		var payload []byte
		var begun bool
		if rest, payload, begun = h.frame.follow(rest); begun {
			out = h.began(out)
		}
		if !h.frame.isBlock() {
			h.learn(payload)
			out = append(out, payload...)
			continue
		}
		if h.theirs.text = append(h.theirs.text, payload...); h.frame.midway() {
			continue
		}
		h.toPeer.limit(h.table.Load())
		var err error
		if out, err = h.toPeer.rewrite(out, &h.theirs); err != nil {
			return 0, err
		}
		h.theirs.text = keepSmall(h.theirs.text)
	}
	sc.out = out[:0]
	if len(out) > 0 {
		if _, err := h.c.write(out); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// began takes note of a frame of net/http's that begins, and appends its head if it
// goes out as it is.
func (h *http2Conn) began(out []byte) []byte {
	switch head := h.frame.at; head.kind {
	case frameHeaders:
		h.theirs.stream, h.theirs.ends = head.stream, head.flags&flagEndStream != 0
		return out
	case frameContinuation:
		return out
	case frameData:
		h.window.sent(int64(head.length))
	}
	return append(out, h.frame.head[:]...)
}

// learn takes note of what net/http tells in the payload of a frame: from a GOAWAY on
// the client sends requests elsewhere again that are on later streams than it says
// (RFC 9113, section 6.8).
func (h *http2Conn) learn(payload []byte) {
	if h.frame.at.kind != frameGoAway || len(payload) == 0 || len(h.goAway) == 4 {
		return
	}
	h.goAway = append(h.goAway, payload[:min(4-len(h.goAway), len(payload))]...)
	if len(h.goAway) == 4 {
		h.last.Store(be32(h.goAway) & maxWindow)
	}
}

// ended is called when the connection was closed, by whomever. It waits for nobody.
func (h *http2Conn) ended() {
	end := func() {
		defer h.order.Unlock()
		h.closed = true
		h.turn.Broadcast()
	}
	if h.order.TryLock() {
		end()
		return
	}
	go func() {
		h.order.Lock()
		end()
	}()
}
