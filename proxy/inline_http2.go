package proxy

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

// An http2Conn answers hits on a connection that speaks HTTP/2 (RFC 9113); all else
// on it is net/http's. It stands between the client and net/http:
//
//   - What the client sends is taken apart into frames. One that is a whole request
//     for a hit is answered, and net/http never hears of its stream. The others go
//     on as they are, but for header blocks: what one means depends on those before
//     it (RFC 7541), so they are decoded here and written anew without a table, for
//     net/http's decoder to need only what it is given.
//   - What net/http sends goes out as it is, and answers between its frames. Header
//     blocks are written by one encoder, its own decoded for that: they share a table
//     at the client's.
//   - What the client takes on all streams together is divided between answers and
//     net/http (see grant and lend), so that they never send more than that.
//   - net/http counts a connection as idle that has hits alone: so now and then one
//     is left to it. What is idle is closed after half to all of the idle timeout.
type http2Conn struct {
	c       *inlineConn
	maxList int // bytes of a request's fields, as net/http counts them
	maxRead int // bytes of a frame that it reads

	// What follows is the reader's.
	sc      *scratch
	in      []byte // what was read and not looked at, in sc
	part    []byte // the beginning of a frame whose rest has not come
	pass    int    // bytes that go on as they are
	out     []byte // what goes on instead
	given   int    // of that
	begun   bool   // the client has sent its settings
	dead    bool   // the client has broken the rules; net/http is about to end it
	fields  fieldList
	block   headerBlock
	last    uint32    // stream that the client has begun
	passed  uint32    // last that net/http knows of
	shownAt time.Time // when that was
	now     time.Time // when in came
	waiting []answered
	queued  int    // bytes of their bodies
	lane    uint32 // where they are counted
	err     error  // of writing them
	// initial is what the client takes on a new stream.
	initial int64

	mu         sync.Mutex // guards what follows; held while writing
	cond       sync.Cond  // when a frame of net/http's has ended, or the connection
	window     int64      // what the client takes on all streams together
	budget     int64      // the part of that for answers
	frame      frameEnd   // of what net/http writes
	writer     blockWriter
	reply      []byte // a header block of net/http's, its beginning
	answers    uint32 // the stream that it is for
	answersEnd bool   // and ends
	spoke      bool   // net/http's first frame, which has to be the first of all, is out
	away       bool   // net/http takes no more streams
	wants      bool   // net/http is to be lent the budget
	closed     bool
}

const (
	initialWindow = 1<<16 - 1 // RFC 9113, section 6.9.2
	maxWindow     = 1<<31 - 1

	http2Client = http2Preface + "\r\n\r\nSM\r\n\r\n" // RFC 9113, section 3.4

	// inlineHTTP2 is the length up to which a body is answered inline: a connection
	// takes nothing else meanwhile.
	inlineHTTP2 = 256 << 10
)

// begunHTTP2 answers a new connection that was made for HTTP/2. An error is for nobody:
// net/http has none either.
func (c *inlineConn) begunHTTP2() (err error) {
	c.phase = phaseNever
	if err := c.postpone(after(c.in.headerTimeout())); err != nil {
		return err
	}
	if c.held, c.rest, err = c.wait(); err != nil {
		return err
	}
	if err := c.speakHTTP2(); err != nil {
		return err
	}
	if c.http2.Load() == nil {
		c.held.free()
		c.held, c.rest = nil, nil
		return errors.New("proxy: a connection for HTTP/2 begins with something else")
	}
	return nil
}

// speakHTTP2 has a connection's hits answered over HTTP/2, if that is what it speaks.
func (c *inlineConn) speakHTTP2() error {
	for len(c.rest) < len(http2Client) && string(c.rest) == http2Client[:len(c.rest)] {
		n := copy(c.held.in[:], c.rest)
		m, err := c.Conn.Read(c.held.in[n:])
		if m == 0 {
			c.held.free()
			c.held, c.rest = nil, nil
			return cmp.Or(err, io.EOF)
		}
		c.rest = c.held.in[:n+m]
	}
	if len(c.rest) < len(http2Client) || string(c.rest[:len(http2Client)]) != http2Client {
		return nil // net/http says what is wrong with it
	}
	s := c.in.server
	h := &http2Conn{
		c: c, sc: c.held, in: c.rest, lane: c.held.lane, pass: len(http2Client), shownAt: time.Now(), now: time.Now(),
		maxList: cmp.Or(s.MaxHeaderBytes, http.DefaultMaxHeaderBytes) + 10*32,
		initial: initialWindow, window: initialWindow,
	}
	h.cond.L = &h.mu
	var o http.HTTP2Config
	if s.HTTP2 != nil {
		o = *s.HTTP2
	}
	h.maxRead = cmp.Or(o.MaxReadFrameSize, 1<<20)
	h.fields.open(cmp.Or(o.MaxDecoderHeaderTableSize, tableBytes), h.maxList)
	h.writer.open()
	c.held, c.rest = nil, nil
	c.http2.Store(h)
	return nil
}

// read gives net/http what the client sends and is not answered here.
func (h *http2Conn) read(p []byte) (int, error) {
	for {
		switch {
		case h.given < len(h.out):
			if err := h.flush(); err != nil {
				return 0, err
			}
			n := copy(p, h.out[h.given:])
			if h.given += n; h.given == len(h.out) {
				h.out, h.given = keepSmall(h.out), 0
			}
			return n, nil
		case h.pass > 0 && len(h.in) > 0:
			if err := h.flush(); err != nil {
				return 0, err
			}
			n := copy(p, h.in[:min(h.pass, len(h.in))])
			h.pass -= n
			h.in = h.in[n:]
			return n, nil
		case h.step():
		default:
			if err := h.more(); err != nil {
				return 0, err
			}
		}
	}
}

// more reads what the client sends next. While it waits it holds no buffer.
func (h *http2Conn) more() (err error) {
	if err := h.flush(); err != nil {
		return err
	}
	if h.sc != nil {
		h.sc.free()
		h.sc = nil
	}
	var n int
	switch h.sc, n, err = h.c.read(); {
	case err != nil:
		if errors.Is(err, os.ErrDeadlineExceeded) && h.lend() {
			return nil
		}
		return err
	case n == 0:
		return io.EOF
	}
	h.in, h.lane = h.sc.in[:n], h.sc.lane
	h.now = time.Now()
	if h.dead {
		h.in = nil
	}
	return nil
}

// step looks at the frame at the front of what was read. false: its rest has not come.
func (h *http2Conn) step() bool {
	f := h.in
	if len(h.part) > 0 || len(f) < frameHeadLen {
		if !h.gather(frameHeadLen) {
			return false
		}
		f = h.part
	}
	head := parseFrameHead(f)
	switch {
	case head.length <= h.maxRead && !h.block.takes(head):
		return h.fail(frameBroken)
	case !head.isLookedAt() || head.length > min(h.maxRead, 2*h.maxList+maxFrame):
		// One that is longer than that net/http does not take, unless there are settings
		// in it, of which one would be missed.
		if head.kind == frameSettings {
			h.initial = 0
		}
		// The part that was gathered, if any, is its head.
		h.out = append(h.out, h.part...)
		h.pass = frameHeadLen + head.length - len(h.part)
		h.part = h.part[:0]
		return true
	}
	if len(h.part) == 0 && len(h.in) >= frameHeadLen+head.length {
		f = h.in[:frameHeadLen+head.length]
		h.in = h.in[len(f):]
	} else {
		if !h.gather(frameHeadLen + head.length) {
			return false
		}
		f = h.part
		h.part = h.part[:0]
	}
	h.look(head, f)
	h.part = keepSmall(h.part)
	return true
}

// gather adds to the part of a frame until it has n bytes.
func (h *http2Conn) gather(n int) bool {
	k := min(n-len(h.part), len(h.in))
	if k > 0 {
		h.part = append(h.part, h.in[:k]...)
		h.in = h.in[k:]
	}
	return len(h.part) >= n
}

// fail gives net/http something that it answers with the connection error that is
// due, and takes nothing more.
func (h *http2Conn) fail(with string) bool {
	h.out = append(h.out, with...)
	h.dead, h.pass, h.in, h.part = true, 0, nil, nil
	return true
}

// look acts on a whole frame.
func (h *http2Conn) look(head frameHead, f []byte) {
	payload := f[frameHeadLen:]
	if h.begun = h.begun || head.kind == frameSettings; !h.begun {
		h.out = append(h.out, f...) // net/http wants those first
		return
	}
	switch head.kind {
	case frameHeaders, frameContinuation:
		h.headers(head, f)
		return
	case frameSettings:
		h.settings(head, payload)
		return
	case frameReset, frameWindow:
		// net/http takes for idle what it does not know.
		if head.stream > h.passed && head.stream <= h.last {
			return
		}
		if head.kind == frameWindow && head.stream == 0 && len(payload) == 4 {
			if n := int64(be32(payload) & maxWindow); n > 0 {
				h.grant(n)
				return
			}
		}
	}
	h.out = append(h.out, f...)
}

// settings takes note of a client's, and has net/http keep no table: its header blocks
// are written anew.
func (h *http2Conn) settings(head frameHead, s []byte) {
	at := len(h.out)
	h.out = append(appendFrameHead(h.out, head), s...)
	if head.flags&flagAck != 0 || head.stream != 0 || head.length%6 != 0 {
		return // or it tells what is wrong
	}
	told := false // once, or net/http takes it for an error
	for setting := range slices.Chunk(h.out[at+frameHeadLen:], 6) {
		switch value := setting[2:]; binary.BigEndian.Uint16(setting) {
		case settingTable:
			h.mu.Lock()
			h.writer.limit(be32(value))
			h.mu.Unlock()
			clear(value)
			told = true
		case settingInitialWindow:
			h.initial = int64(be32(value))
		}
	}
	if !told {
		h.out = append(h.out, 0, settingTable, 0, 0, 0, 0)
		head.length += 6
		appendFrameHead(h.out[:at], head)
	}
}

// grant divides what the client takes more of. Answers get up to half of what it
// takes in all, if that is a good deal, and net/http the rest. What a client begins with
// is net/http's: who never takes more is not answered inline.
func (h *http2Conn) grant(n int64) {
	h.mu.Lock()
	if h.window += n; h.window > maxWindow {
		h.mu.Unlock()
		h.out = appendWindow(h.out, maxWindow) // too much for net/http as well
		return
	}
	var aim int64
	if h.window > 2*initialWindow {
		aim = h.window / 2
	}
	more := min(n, aim-h.budget) // where net/http has sent much, it is less than nothing
	h.budget += more
	h.mu.Unlock()
	if n > more {
		h.out = appendWindow(h.out, uint32(n-more))
	}
}

// wanting has the reader lend what is for answers to net/http, if that has next to
// nothing left: there are clients who take more when all was used, and not before.
func (h *http2Conn) wanting() {
	if left := h.window - h.budget; h.budget > 0 && left < maxFrame && !h.wants {
		h.wants = true
		_ = h.c.Conn.SetReadDeadline(time.Unix(1, 0)) // an error is the reader's to see
	}
}

// lend does so; false: it is not wanted.
func (h *http2Conn) lend() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.wants {
		return false
	}
	h.wants = false
	if h.c.Conn.SetReadDeadline(time.Time{}) != nil {
		return false
	}
	if h.budget > 0 {
		h.out = appendWindow(h.out, uint32(h.budget))
		h.budget = 0
	}
	return true
}

// takes reports whether a client takes a body of n bytes as an answer from here.
func (h *http2Conn) takes(n int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.away && n <= min(h.budget, h.initial, inlineHTTP2)
}

func (h *http2Conn) spend(n int64) {
	if n > 0 {
		h.mu.Lock()
		h.budget -= n
		h.window -= n
		h.mu.Unlock()
	}
}

// ended is called when the connection was closed, by whomever. It waits for nobody.
func (h *http2Conn) ended() {
	end := func() {
		defer h.mu.Unlock()
		h.closed = true
		h.cond.Broadcast()
	}
	if h.mu.TryLock() {
		end()
		return
	}
	go func() {
		h.mu.Lock()
		end()
	}()
}

// keepSmall empties a buffer, and lets go of one that is large.
func keepSmall(b []byte) []byte {
	if cap(b) > 4<<10 {
		return nil
	}
	return b[:0]
}
