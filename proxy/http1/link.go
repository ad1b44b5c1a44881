package http1

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"surrogate/proxy/socket"
)

// A link is one connection to the origin. It belongs to the goroutine whose
// exchange is on it, until the response's content is read or given up.
type link struct {
	c    *Client
	conn net.Conn
	raw  syscall.RawConn // nil: it cannot be looked into
	turn func(fd uintptr) bool
	stop func() // interrupt, made once

	used     bool      // there has been a response
	since    time.Time // when it was kept
	deadline time.Time // of reads, as it was set last

	// Of the exchange under way.
	room  *room
	r, w  int       // room.in[r:w] has been read and not been taken
	due   time.Time // when the wait for the head has to be over; zero: no limit
	step  step
	out   []byte // what is left to be written
	n     int    // what turn has read
	err   error  // why it could not
	heard bool   // something has come
	quota int64  // how much more may come before the head has ended; below 0: no limit

	cancelled atomic.Bool
	unwatch   func() bool // ends the watch over the context; nil: there is none
	upload    *upload     // content that is sent as it is read; nil: none
}

// A step is what a link's turn does next.
type step uint8

const (
	stepLook  step = iota // whether anything has come since the last exchange
	stepWrite             // the request
	stepRead              // what comes
)

// A room is what an exchange needs. Nothing outlives the exchange in it.
type room struct {
	in     []byte
	out    []byte
	fields []field
}

const roomSize = 16 << 10

var rooms = sync.Pool{New: func() any { return &room{in: make([]byte, roomSize), out: make([]byte, 0, 4<<10)} }}

// free gives a room back, unless it has grown for something large.
func (m *room) free() {
	if len(m.in) == roomSize && cap(m.out) <= 2*roomSize {
		clear(m.fields)
		m.fields = m.fields[:0]
		rooms.Put(m)
	}
}

func newLink(c *Client, nc net.Conn) *link {
	l := &link{c: c, conn: nc}
	l.stop = l.interrupt
	if s, ok := nc.(syscall.Conn); ok && socket.Can {
		if raw, err := s.SyscallConn(); err == nil {
			l.raw, l.turn = raw, l.takeTurn
		}
	}
	return l
}

// silent reports whether nothing has come on a kept connection, its end included.
// What has is read: the connection is of no use any more.
func (l *link) silent() bool {
	silent := false
	_ = l.raw.Control(func(fd uintptr) {
		var b [64]byte
		n, err := socket.Read(fd, b[:])
		silent = err == syscall.EAGAIN
		l.c.surplus(b[:n])
	})
	return silent
}

// interrupt ends whatever the link waits for, because the context has ended.
func (l *link) interrupt() {
	l.cancelled.Store(true)
	_ = l.conn.SetDeadline(time.Unix(1, 0))
}

// exchange sends r, whose head is in m, and returns the response. After an error
// the link is gone.
func (l *link) exchange(r *http.Request, m *room, interim func(int, http.Header) error) (*http.Response, error) {
	l.room = m
	l.r, l.w, l.heard = 0, 0, false
	l.quota = l.c.o.HeadBytes
	l.due = time.Time{}
	if d := l.c.o.ResponseTimeout; d > 0 {
		l.due = time.Now().Add(d)
	}
	if ctx := r.Context(); ctx.Done() != nil {
		l.unwatch = context.AfterFunc(ctx, l.stop)
	}
	over := false
	defer func() {
		if !over { // interim has panicked
			l.drop()
		}
	}()
	resp, err := l.ask(r, interim)
	over = true
	if err != nil {
		if l.upload != nil {
			// A failure of the client's is why the origin's end looks broken.
			err = l.upload.blame(err)
			l.upload.answered()
		} else if !errors.Is(err, errStale) || r.Context().Err() != nil {
			closeBody(r)
		}
		l.drop()
	}
	return resp, err
}

// drop closes the link in the midst of an exchange.
func (l *link) drop() {
	if l.unwatch != nil {
		l.unwatch()
		l.unwatch = nil
	}
	l.c.give(l, false)
	// Its room is left to the collector: somebody may be reading into it.
}

func (l *link) ask(r *http.Request, interim func(int, http.Header) error) (*http.Response, error) {
	var err error
	l.out = l.room.out
	streams := hasContent(r)
	if streams && r.GetBody != nil && r.ContentLength > 0 && r.ContentLength <= roomSize && !expectsContinue(r) {
		// It is here already, and goes out with the head.
		if l.out, err = appendContent(l.out, r); err != nil {
			return nil, err
		}
		l.room.out, streams = l.out, false
	}
	l.step = stepWrite
	if l.used {
		l.step = stepLook
	}
	if err := l.send(streams); err != nil {
		return nil, err
	}
	if streams {
		l.upload = newUpload(l.conn, r)
		go l.upload.run()
	} else if hasContent(r) {
		closeBody(r)
	}
	return l.answer(r, interim)
}

// send writes the request and, unless its content is still to follow, waits for
// what comes back.
func (l *link) send(streams bool) error {
	if err := l.arm(time.Now()); err != nil {
		return err
	}
	if l.raw == nil {
		_, err := l.conn.Write(l.out)
		return err
	}
	if streams {
		// Only the look: what is written by two is written one after the other.
		if l.step == stepLook && !l.silent() {
			return errStale
		}
		l.step = stepRead
		_, err := l.conn.Write(l.out)
		return err
	}
	for {
		err := l.raw.Read(l.turn)
		if err == nil {
			break
		} else if err := l.again(err); err != nil {
			return err
		}
	}
	switch {
	case l.step == stepWrite && l.err == nil: // there was no room for all of it
		if _, err := l.conn.Write(l.out); err != nil {
			return err
		}
		l.step = stepRead
		return nil
	}
	return l.took()
}

// takeTurn looks, writes and reads, and reports whether the wait is over.
func (l *link) takeTurn(fd uintptr) bool {
	if l.step == stepLook {
		n, err := socket.Read(fd, l.room.in)
		if err != syscall.EAGAIN {
			l.n, l.err = n, errStale
			return true
		}
		l.step = stepWrite
	}
	if l.step == stepWrite {
		n, err := socket.Write(fd, l.out)
		if err != nil && err != syscall.EAGAIN {
			l.err = l.failed("write", err)
			return true
		}
		if l.out = l.out[n:]; len(l.out) > 0 {
			return true
		}
		l.step = stepRead
		if l.used {
			// The poller was asked before the look. What comes wakes it.
			return false
		}
	}
	n, err := socket.Read(fd, l.room.in[l.w:])
	if err == syscall.EAGAIN {
		return false
	}
	l.n = n
	switch {
	case err != nil:
		l.err = l.failed("read", err)
	case n == 0:
		l.err = io.EOF
	}
	return true
}

func (l *link) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: l.conn.LocalAddr(), Addr: l.conn.RemoteAddr(), Err: os.NewSyscallError(op, err)}
}

// took is told what turn did.
func (l *link) took() error {
	n, err := l.n, l.err
	l.n, l.err = 0, nil
	if err == errStale {
		l.c.surplus(l.room.in[:n])
		return err
	}
	l.came(n)
	l.w += n
	return err
}

// came counts what has come.
func (l *link) came(n int) {
	l.heard = l.heard || n > 0
	if l.quota > 0 {
		l.quota = max(0, l.quota-int64(n))
	}
}

// again returns nil where a wait ended with err only because of a deadline that
// was set for an earlier exchange, or before the request was sent to its end: it is
// set anew then.
func (l *link) again(err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) || l.cancelled.Load() {
		return err
	}
	due := l.due
	if !due.IsZero() && l.upload != nil {
		due = l.upload.due(l.c.o.ResponseTimeout)
	}
	if !due.IsZero() && !time.Now().Before(due) {
		return err
	}
	return l.set(due)
}

// arm makes sure that a wait does not outlast what is due. A deadline that comes
// too early is left as it is: it is seldom met, see again.
func (l *link) arm(now time.Time) error {
	if l.deadline.After(now) && !l.deadline.After(l.due) || l.deadline.IsZero() && l.due.IsZero() {
		return nil
	}
	return l.set(l.due)
}

func (l *link) set(t time.Time) error {
	l.deadline = t
	if err := l.conn.SetReadDeadline(t); err != nil {
		return err
	}
	if l.cancelled.Load() {
		return os.ErrDeadlineExceeded // it may have come between
	}
	return nil
}

// read reads into b, which may be the room's.
func (l *link) read(b []byte) (n int, err error) {
	if l.quota == 0 {
		return 0, ErrHeadTooLarge
	}
	if l.quota > 0 && int64(len(b)) > l.quota {
		b = b[:l.quota]
	}
	for {
		n, err = l.conn.Read(b)
		if l.came(n); n > 0 || err == nil {
			return n, nil // an error comes again
		}
		if err := l.again(err); err != nil {
			return 0, err
		}
	}
}

// more reads what comes next behind what has been read. It makes room where
// there is none.
func (l *link) more() error {
	m := l.room
	if l.r > 0 {
		l.w = copy(m.in, m.in[l.r:l.w])
		l.r = 0
	}
	if l.w == len(m.in) {
		m.in = append(m.in, make([]byte, len(m.in))...)
	}
	n, err := l.read(m.in[l.w:])
	l.w += n
	return err
}
