package proxy

import (
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"surrogate/store"
)

// A reply is a hit that is to be written.
type reply struct {
	outcome
	stream     uint32
	head       store.Head
	sized      bool  // head has a length
	size       int64 // of the whole body
	body       []byte
	age, fresh time.Duration
	lane       uint32 // where it is counted
	dropped    bool   // the client asks for it elsewhere

	client, host, target string // for the log
}

const (
	enoughHTTP2  = 16 << 10 // bytes that are written at once, give or take a frame
	mostReplies  = 64       // that wait; what comes then is net/http's
	mostReplying = 4 << 20
)

// A replyQueue has the replies that nobody writes yet.
type replyQueue struct {
	mu      sync.Mutex // guards what follows
	waiting []reply
	spare   []reply // to be used again
	bytes   int     // of their bodies
	writing bool    // somebody writes, and comes back for those that wait
}

func (q *replyQueue) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting) >= mostReplies || q.bytes > mostReplying
}

func (q *replyQueue) add(r *reply) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.waiting == nil {
		q.waiting, q.spare = q.spare, nil
	}
	q.waiting = append(q.waiting, *r)
	q.bytes += len(r.body)
}

// begins reports whether somebody is to begin to write.
func (q *replyQueue) begins() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.writing || len(q.waiting) == 0 {
		return false
	}
	q.writing = true
	return true
}

// take returns those that wait, after those that were taken before have been written.
func (q *replyQueue) take(written []reply) []reply {
	clear(written)
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.spare = written[:0]; cap(q.spare) > 8 {
		q.spare = nil
	}
	took := q.waiting
	q.waiting, q.bytes = nil, 0
	q.writing = len(took) > 0
	return took
}

// flush has replies written.
func (h *http2Conn) flush() {
	if h.replies.begins() {
		go h.writeReplies()
	}
}

// writeReplies writes what waits, until nothing does.
func (h *http2Conn) writeReplies() {
	for rs := h.replies.take(nil); len(rs) > 0; rs = h.replies.take(rs) {
		sent, err := h.send(rs)
		if err != nil {
			h.c.Close() // it is net/http's to see, when it reads
		}
		now, p := time.Now(), h.c.in.proxy
		for i := range rs {
			r := &rs[i]
			if r.dropped {
				continue
			}
			r.gone = i >= sent
			took := now.Sub(r.arrived)
			p.counts.record(&r.outcome, took, r.lane)
			if p.logs() {
				p.logAccess(&r.outcome, took, r.client, r.host, r.target, "HTTP/2.0")
			}
		}
	}
}

// send writes replies between frames of net/http's, which has its turn after each
// enoughHTTP2 bytes, and returns how many it wrote whole.
func (h *http2Conn) send(rs []reply) (sent int, err error) {
	sc := newScratch()
	defer sc.free()
	for p := (place{}); p.reply < len(rs); sent = p.reply {
		if err := h.sendSome(sc, rs, &p); err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// A place is how far replies are written: those before reply, and of its body so much,
// if its head was.
type place struct {
	reply, body int
	head        bool
}

func (h *http2Conn) sendSome(sc *scratch, rs []reply, p *place) (err error) {
	c := h.c
	h.order.Lock()
	defer h.order.Unlock()
	for !h.closed && (!h.spoke || h.frame.midway()) {
		h.turn.Wait()
	}
	if h.closed || !c.moves(stateOpen, stateAnswering) {
		return net.ErrClosed
	}
	h.toPeer.limit(h.table.Load())
	sc.out = h.toPeer.some(sc.out[:0], rs, p, h.last.Load())
	if err = c.deadlineToWrite(); c.in.server.WriteTimeout > 0 {
		defer c.Conn.SetWriteDeadline(time.Time{}) // net/http has none on a connection
	}
	if err == nil && len(sc.out) > 0 {
		_, err = c.write(sc.out)
	}
	if !c.moves(stateAnswering, stateOpen) {
		err = net.ErrClosed
	}
	return err
}

// some appends the next frames of replies on streams up to last.
func (w *blockWriter) some(b []byte, rs []reply, p *place, last uint32) []byte {
	for p.reply < len(rs) && len(b) <= enoughHTTP2 {
		r := &rs[p.reply]
		if r.dropped = !p.head && r.stream > last; r.dropped {
			p.reply++
			continue
		}
		if !p.head {
			b = w.reply(b, r)
			p.head = true
		}
		for rest := r.body[p.body:]; len(rest) > 0 && len(b) <= enoughHTTP2; rest = r.body[p.body:] {
			head := frameHead{length: min(len(rest), maxFrame), kind: frameData, stream: r.stream}
			if head.length == len(rest) {
				head.flags = flagEndStream
			}
			b = append(appendFrameHead(b, head), rest[:head.length]...)
			p.body += head.length
		}
		if p.body == len(r.body) {
			*p = place{reply: p.reply + 1}
		}
	}
	return b
}

// reply appends the HEADERS frame of the answer that appendHit or appendNotModified
// gives.
func (w *blockWriter) reply(b []byte, r *reply) []byte {
	at := w.begin(b)
	w.field(":status", strconv.Itoa(r.status))
	for name, value := range r.head.All() {
		if r.status != http.StatusNotModified || !describesContent(name) {
			w.field(lowered(name), value)
		}
	}
	if r.status != http.StatusNotModified && !r.sized {
		w.number("content-length", r.size)
	}
	w.number("age", int64(r.age/time.Second))
	var room [64]byte
	w.field("cache-status", view(cacheStatus{hit: true, ttl: r.fresh, hasTTL: true}.append(room[:0])))
	return w.end(at, r.stream, len(r.body) == 0)
}
