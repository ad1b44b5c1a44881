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
	"sync/atomic"
	"time"
)

// An http2Conn answers hits on a connection that speaks HTTP/2 (RFC 9113); all else
// on it is net/http's. It stands between the client and net/http:
//
//   - What the client sends is taken apart into frames. One that is a whole request
//     for a hit is answered, and net/http never hears of its stream. The others go
//     on as they are, but for header blocks: what one means depends on those before
//     it (RFC 7541), so they are decoded here and written anew for net/http.
//   - What net/http sends goes out as it is, and answers between its frames. Header
//     blocks are written by one encoder, its own decoded for that: they share a table
//     at the client's.
//   - What the client takes on all streams together is divided between answers and
//     net/http: see sharedWindow.
//   - net/http counts a connection as idle that has hits alone: so now and then one
//     is left to it. What is idle is closed after half to all of the idle timeout.
//
// One goroutine reads at a time, and never waits for one that writes: a client may not
// read before it has sent all that it has to. Another writes for net/http, and a
// third, which is there as long as there are any, the answers.
type http2Conn struct {
	c       *inlineConn
	maxList int // bytes of a request's fields, as net/http counts them
	maxRead int // bytes of a frame that it reads
	window  sharedWindow

	// What follows is the reader's.
	sc        *scratch
	in        []byte // what was read and not looked at, in sc
	part      []byte // the beginning of a frame whose rest has not come
	onward    []byte // what is for net/http
	took      int    // of that
	passes    int    // bytes of in, and of what comes next, that go on as they are
	begun     bool   // the client has sent its settings
	dead      bool   // it has broken the rules; net/http is about to end the connection
	block     headerBlock
	fields    fieldList
	toNext    blockWriter // for net/http
	newest    uint32      // stream that the client has begun
	known     uint32      // newest that net/http knows of
	knownAt   time.Time   // when that was
	now       time.Time   // when in came
	streamMay int64       // bytes that the client takes on a new stream
	replies   replyQueue

	last  atomic.Uint32 // stream that the client may count on: of GOAWAY, once net/http has sent it
	table atomic.Uint32 // bytes of a table that the client has room for

	order  sync.Mutex // held while frames are written; guards what follows
	turn   sync.Cond  // a frame of net/http's has ended, or the connection
	toPeer blockWriter
	frame  frameEnd   // of what net/http writes
	theirs theirBlock // what it is of, if that is a header block
	goAway []byte     // what it is of, if that is the beginning of a GOAWAY
	spoke  bool       // net/http's first frame, which has to be the first of all, is out
	closed bool
}

const (
	http2Client = http2Preface + "\r\n\r\nSM\r\n\r\n" // RFC 9113, section 3.4

	// inlineHTTP2 is the length up to which a body is answered inline.
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
	c.speakHTTP2()
	if c.http2.Load() == nil {
		c.letGo()
		return errors.New("proxy: a connection for HTTP/2 begins with something else")
	}
	return nil
}

// speakHTTP2 has a connection's hits answered over HTTP/2, if that is what it speaks.
func (c *inlineConn) speakHTTP2() {
	for len(c.rest) < len(http2Client) && string(c.rest) == http2Client[:len(c.rest)] {
		if c.readMore() != nil {
			break // which comes again
		}
	}
	if len(c.rest) < len(http2Client) || string(c.rest[:len(http2Client)]) != http2Client {
		return // net/http says what is wrong with it
	}
	s := c.in.server
	var o http.HTTP2Config
	if s.HTTP2 != nil {
		o = *s.HTTP2
	}
	now := time.Now()
	h := &http2Conn{
		c: c, sc: c.held, in: c.rest, passes: len(http2Client), knownAt: now, now: now,
		maxList: cmp.Or(s.MaxHeaderBytes, http.DefaultMaxHeaderBytes) + 10*32, maxRead: o.MaxReadFrameSize,
		streamMay: firstWindow, window: sharedWindow{conn: c.Conn, total: firstWindow},
	}
	if h.maxRead < maxFrame || h.maxRead >= 1<<24 {
		h.maxRead = 1 << 20 // as net/http has it
	}
	table := cmp.Or(o.MaxDecoderHeaderTableSize, tableBytes)
	h.fields.open(table, h.maxList)
	h.toNext.open(true)
	h.toNext.limit(uint32(table))
	h.toPeer.open(false)
	h.last.Store(maxWindow)
	h.table.Store(tableBytes)
	h.turn.L = &h.order
	c.held, c.rest = nil, nil
	c.http2.Store(h)
}

// read gives net/http what the client sends and is not answered here.
func (h *http2Conn) read(p []byte) (n int, err error) {
	for h.took == len(h.onward) && (h.passes == 0 || len(h.in) == 0) {
		if h.step() {
			continue
		}
		if err := h.more(); err != nil {
			return 0, err
		}
	}
	h.flush()
	if h.took < len(h.onward) {
		n = copy(p, h.onward[h.took:])
		if h.took += n; h.took == len(h.onward) {
			h.onward, h.took = keepSmall(h.onward), 0
		}
		return n, nil
	}
	n = copy(p, h.in[:min(h.passes, len(h.in))])
	h.passes -= n
	h.in = h.in[n:]
	return n, nil
}

// more reads what the client sends next. While it waits it holds no buffer.
func (h *http2Conn) more() (err error) {
	h.flush()
	if h.sc != nil {
		h.sc.free()
		h.sc = nil
	}
	var n int
	switch h.sc, n, err = h.c.read(); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		lent, wanted := h.window.lend()
		if !wanted {
			return err
		}
		if lent > 0 {
			h.onward = appendWindow(h.onward, uint32(lent))
		}
		return nil
	case err != nil:
		return err
	case n == 0:
		return io.EOF
	}
	if h.now = time.Now(); !h.dead {
		h.in = h.sc.in[:n]
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
	// Of these net/http tells what is wrong, when it has read them.
	tooLong := head.length > h.maxRead || head.length > 2*h.maxList+maxFrame && head.kind != frameSettings
	switch {
	case !tooLong && !h.block.takes(head):
		return h.fail(frameBroken)
	case tooLong || !head.isLookedAt():
		h.onward = append(h.onward, h.part...)
		h.passes = frameHeadLen + head.length - len(h.part)
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
	h.onward = append(h.onward, with...)
	h.dead, h.in, h.part = true, nil, nil
	return true
}

// look acts on a whole frame.
func (h *http2Conn) look(head frameHead, f []byte) {
	payload := f[frameHeadLen:]
	if h.begun = h.begun || head.kind == frameSettings; !h.begun {
		h.onward = append(h.onward, f...) // net/http wants those first
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
		if head.stream > h.known && head.stream <= h.newest {
			return
		}
		if head.kind == frameWindow && head.stream == 0 && len(payload) == 4 && be32(payload)&maxWindow > 0 {
			h.grant(int64(be32(payload) & maxWindow))
			return
		}
	}
	h.onward = append(h.onward, f...)
}

// settings takes note of a client's, and has net/http keep no table: its header blocks
// are written anew.
func (h *http2Conn) settings(head frameHead, s []byte) {
	at := len(h.onward)
	h.onward = append(appendFrameHead(h.onward, head), s...)
	if head.flags&flagAck != 0 || head.stream != 0 || head.length%6 != 0 {
		return // or it tells what is wrong
	}
	told := false // once, or net/http takes it for an error
	for setting := range slices.Chunk(h.onward[at+frameHeadLen:], 6) {
		switch value := setting[2:]; binary.BigEndian.Uint16(setting) {
		case settingTable:
			h.table.Store(min(be32(value), h.table.Load())) // growing would have to wait for the ACK
			clear(value)
			told = true
		case settingInitialWindow:
			h.streamMay = int64(be32(value))
		}
	}
	if !told {
		h.onward = append(h.onward, 0, settingTable, 0, 0, 0, 0)
		head.length += 6
		appendFrameHead(h.onward[:at], head)
	}
}

func (h *http2Conn) grant(n int64) {
	switch onward, ok := h.window.grant(n); {
	case !ok:
		h.onward = appendWindow(h.onward, maxWindow) // too much for net/http as well
	case onward > 0:
		h.onward = appendWindow(h.onward, uint32(onward))
	}
}

// keepSmall empties a buffer, and lets go of one that is large.
func keepSmall(b []byte) []byte {
	if cap(b) > 4<<10 {
		return nil
	}
	return b[:0]
}
