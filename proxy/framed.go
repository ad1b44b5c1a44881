package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

// A framed connection is an HTTP/1 connection to an HTTPS origin from which
// nothing can be read that does not belong to the response to the last request.
// Package http1, which sees to that for plain HTTP, says why it matters.
//
// net/http puts a connection back before it looks for more than the response.
// Here surplus never comes out of Read, which instead returns io.EOF
// together with the response's last bytes: a connection that has ended is not
// put back. And a request is begun only when it is known that nothing has come
// since.
//
// Passing bytes on and refusing the next request later would not do. Transport
// takes a response and a failed write from two channels, whichever is first, so
// what was read ahead could still be the next request's response.
//
// So no byte that has arrived when a request begins is taken for its response.
// One that the origin sends later cannot be told from it by anybody.
//
// Its opinion of a response's length is net/http's or none (see framing).
type framed struct {
	net.Conn // TLS over the gate
	gate     *gate
	surplus  func(bytes int) // told once, not under a lock
	spare    [16]byte        // the reader's

	// The gate's mu guards what follows.
	ask    framing // the request, as far as it was written
	answer framing // its response, as far as it was read
	head   bool    // the request is a HEAD
	begun  int     // how many requests there have been
	last   bool    // there must not be another
	dead   error   // why there cannot be another
}

var (
	errSurplus  = errors.New("the origin sent more than its response")
	errNotAgain = errors.New("the origin's connection cannot be used again")
	errFraming  = errors.New("the origin's response is not framed as HTTP/1 is")
)

// newFramed returns c, which is TLS over g, framed.
func newFramed(c net.Conn, g *gate, surplus func(bytes int)) *framed {
	return &framed{Conn: c, gate: g, surplus: surplus, last: g.raw == nil}
}

func (f *framed) Read(b []byte) (int, error) {
	if f.isDead() {
		return 0, io.EOF
	}
	room := len(b)
	n, err := f.Conn.Read(b)
	if room == 0 {
		return n, err
	}
	n, surplus, whole, err := f.heard(b[:n], err)
	if whole && err == nil && (n == room || f.gate.records) {
		surplus, err = f.more()
	}
	if surplus > 0 {
		f.surplus(surplus)
	}
	return n, err
}

func (f *framed) isDead() bool {
	f.gate.mu.Lock()
	defer f.gate.mu.Unlock()
	return f.dead != nil
}

// heard is told what was read, and returns how much of it is the response's,
// how much is nobody's, and whether the response is whole.
func (f *framed) heard(b []byte, err error) (n, surplus int, whole bool, _ error) {
	f.gate.mu.Lock()
	defer f.gate.mu.Unlock()
	f.gate.between = false
	if f.answer.step == stepDone {
		// Nobody has asked for anything.
		switch {
		case len(b) == 0:
		case is408(b):
			err = io.EOF
		default:
			surplus, err = len(b), errSurplus
		}
		f.end(err)
		return 0, surplus, false, err
	}
	n, bad := f.answer.take(b, f.head)
	if bad != nil {
		f.end(bad)
		return n, 0, false, bad
	}
	f.last = f.last || f.answer.odd
	whole = f.answer.step == stepDone
	if whole && (n < len(b) || f.last) {
		surplus, err = len(b)-n, io.EOF
	}
	f.end(err)
	return n, surplus, whole, err
}

// more looks behind a response that is whole and may not have been all there was
// to read. What was sent with it is found here, whether it is in the system or
// in TLS's buffers, which are known to be empty after it.
func (f *framed) more() (surplus int, _ error) {
	f.gate.nowait = true
	n, err := f.Conn.Read(f.spare[:])
	f.gate.nowait = false
	f.gate.mu.Lock()
	defer f.gate.mu.Unlock()
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && !f.gate.amid() {
		return 0, nil
	}
	f.end(io.EOF)
	return n, io.EOF
}

// end makes the connection useless for another request, if there is an error,
// and tells the writer. The gate's mu must be held.
func (f *framed) end(err error) {
	if err != nil && f.dead == nil {
		f.dead = err
		f.gate.changed.Broadcast()
	}
}

// is408 reports whether b says, unasked, that the origin has waited for a
// request long enough. That is the end of the connection and nothing wrong.
func is408(b []byte) bool {
	return len(b) >= 12 && string(b[:7]) == "HTTP/1." && string(b[8:12]) == " 408"
}

func (f *framed) Write(b []byte) (int, error) {
	if err := f.write(b); err != nil {
		return 0, err
	}
	n, err := f.Conn.Write(b)
	if err != nil {
		f.gate.mu.Lock()
		defer f.gate.mu.Unlock()
		f.end(err)
	}
	return n, err
}

// write is told what is about to be written. A response may come before its
// request is written to the end, so what follows the first Write of a request is
// known for its rest by the request's own framing, never by what it looks like:
// a client chooses what is in a body.
func (f *framed) write(b []byte) error {
	f.gate.mu.Lock()
	defer f.gate.mu.Unlock()
	switch {
	case f.answer.step == stepTunnel || len(b) == 0:
		return nil
	case f.dead != nil:
		return errNotAgain
	case f.ask.step == stepDone:
		if err := f.begin(b); err != nil {
			return err
		}
	}
	if n, err := f.ask.take(b, false); err != nil || n < len(b) {
		f.ask.step, f.last = stepTunnel, true
	}
	return nil
}

// begin waits until a request can be begun, or cannot. What Transport reads with
// comes back to the connection whenever it has been put back.
func (f *framed) begin(b []byte) error {
	g := f.gate
	for f.begun > 0 && f.dead == nil {
		if f.last || f.answer.step != stepDone || g.waiting && g.amid() {
			f.end(errNotAgain)
		} else if g.drained() && g.empty() {
			break
		} else {
			// The reader is on its way, or is about to hear of what has come.
			g.changed.Wait()
		}
	}
	method, _, ok := bytes.Cut(b[:min(len(b), 64)], []byte(" "))
	if !ok {
		f.end(errNotAgain)
	}
	if f.dead != nil {
		return errNotAgain
	}
	f.begun++
	f.head = string(method) == "HEAD"
	f.ask = framing{step: stepRequest}
	f.answer = framing{step: stepStatus}
	if string(method) == "CONNECT" {
		f.ask.step, f.last = stepTunnel, true
	}
	return nil
}

// requests returns how many requests have been begun.
func (f *framed) requests() int {
	f.gate.mu.Lock()
	defer f.gate.mu.Unlock()
	return f.begun
}

func (f *framed) Close() error {
	f.gate.mu.Lock()
	f.end(net.ErrClosed)
	f.gate.mu.Unlock()
	return f.Conn.Close()
}

// CloseWrite is what ends one direction of a tunnel.
func (f *framed) CloseWrite() error { return closeWrite(f.Conn) }

// frame makes t's HTTP/1 connections over TLS framed. TLS is done here then and not in
// Transport, which sees HTTP/2 only in a bare *tls.Conn and is given one where
// that was negotiated. t's TLSClientConfig and TLSHandshakeTimeout hold.
func frame(t *http.Transport, d *net.Dialer, surplus func(addr string, bytes int)) {
	t.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		cfg := t.TLSClientConfig.Clone()
		if cfg == nil {
			cfg = new(tls.Config)
		}
		if cfg.ServerName == "" {
			cfg.ServerName, _, _ = net.SplitHostPort(addr)
		}
		if ctx.Value(http1Only{}) != nil {
			cfg.NextProtos = nil
		}
		ctx, cancel := context.WithTimeout(ctx, t.TLSHandshakeTimeout)
		defer cancel()
		g := newGate(c, true)
		tc := tls.Client(g, cfg)
		if err := tc.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, err
		}
		if tc.ConnectionState().NegotiatedProtocol == "h2" {
			return tc, nil
		}
		return newFramed(tc, g, func(n int) { surplus(addr, n) }), nil
	}
}

// http1Only is in the context of a request whose connection must not be HTTP/2.
// Transport keeps such connections apart, by the same rule, but does not tell
// who dials them.
type http1Only struct{}

func needsHTTP1(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket") && headerHasToken(r.Header["Connection"], "upgrade")
}
