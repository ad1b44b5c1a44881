package proxy

import (
	"io"
	"time"
)

// The states of a connection. Close may come at any time.
const (
	stateOpen      uint32 = iota // net/http, or nobody, is at work on it
	stateLooking                 // our side reads from it
	stateAnswering               // or writes to it
	stateClosing                 // and closes it when that is done
	stateClosed
)

// CloseWrite is for net/http, which ends some connections in two steps. Over TLS
// it says so there.
func (c *inlineConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return nil
}

// Close implements net.Conn. While an answer is being written, the connection
// is closed at its end, unless Inline.Cut comes before it.
func (c *inlineConn) Close() error {
	if h := c.http2.Load(); h != nil {
		defer h.ended()
	}
	for {
		switch s := c.state.Load(); s {
		case stateOpen:
			if c.state.CompareAndSwap(s, stateClosed) {
				c.ended()
				return c.Conn.Close()
			}
		case stateLooking, stateAnswering:
			if c.closeLater(s) {
				return nil
			}
		case stateClosing:
			return nil
		default:
			return c.Conn.Close()
		}
	}
}

// closeLater has our side close the connection, which is in state s; false: it
// is not any more.
func (c *inlineConn) closeLater(s uint32) bool {
	c.in.mu.Lock()
	defer c.in.mu.Unlock()
	if !c.state.CompareAndSwap(s, stateClosing) {
		return false
	}
	c.in.closing[c] = struct{}{}
	if s == stateLooking {
		_ = c.Conn.SetReadDeadline(time.Unix(1, 0)) // it need not wait any longer
	}
	return true
}

// moves goes from one state to the next. Where Close has come between, it closes
// the connection and returns false.
func (c *inlineConn) moves(from, to uint32) bool {
	switch {
	case c.state.CompareAndSwap(from, to):
		return true
	case c.state.Load() == stateClosing:
		c.linger()
		c.ended()
		c.state.Store(stateClosed)
		c.Conn.Close()
		c.in.mu.Lock()
		delete(c.in.closing, c)
		c.in.mu.Unlock()
	}
	return false
}

// ended lets go of what the connection's context holds on to.
func (c *inlineConn) ended() {
	if s := c.serving.Load(); s != nil {
		s.cancel()
	}
}

// linger lets the client have the end of the answer: closing a socket in which
// something is left to be read resets the connection, and with it goes what the
// client has not read yet. net/http waits as long.
func (c *inlineConn) linger() {
	if c.CloseWrite() == nil && c.raw.unread() && c.Conn.SetReadDeadline(time.Now().Add(500*time.Millisecond)) == nil {
		_, _ = io.Copy(io.Discard, onlyReader{c.socket()})
	}
}

type onlyReader struct{ io.Reader }
