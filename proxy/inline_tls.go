package proxy

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"runtime/debug"
	"time"
)

// SecureListener returns l with connections that speak TLS, and answer plain requests. The
// server serves it with Serve; its own TLSConfig is not asked. Like the server, config
// may not be changed any more.
func (in *Inline) SecureListener(l net.Listener, config *tls.Config) net.Listener {
	if in.peeker == nil {
		return tls.NewListener(l, config)
	}
	return in.listener(l, config)
}

// A secured is an inlineConn over TLS, as net/http has it for HTTP/1.1: because it has a
// ConnectionState, net/http sets Request.TLS. For HTTP/2 it has the inlineConn, and
// Inline sets that.
//
// net/http gets the bare *tls.Conn instead where there are no hits to answer: its
// handshake failed, which net/http finds again, says and logs, or came to another
// protocol.
type secured struct {
	inlineConn
	tls   *tls.Conn // is inlineConn's Conn, too
	under underTLS
	state tls.ConnectionState // since the handshake
	first [1]byte
}

// newSecured is a connection whose handshake is to come.
func newSecured(nc net.Conn, from *inlineListener) *inlineConn {
	s := new(secured)
	s.under = underTLS{Conn: nc, raw: &s.raw}
	s.tls = tls.Server(&s.under, from.config)
	c := &s.inlineConn
	c.Conn, c.in, c.from, c.secure = s.tls, from.in, from, s
	c.raw.open(nc)
	return c
}

// ConnectionState is what net/http sets Request.TLS to.
func (s *secured) ConnectionState() tls.ConnectionState { return s.state }

// welcome shakes hands, and then does what there is to do on any new connection. It
// does that on a smaller stack than a handshake leaves.
func (s *secured) welcome() {
	l, c := s.from, &s.inlineConn
	switch err := s.handshake(); {
	case err == nil && s.speaksHTTP1():
		go l.welcome(c, s)
	case err == nil && s.speaksHTTP2():
		// Not as s: of what has a ConnectionState net/http expects HTTP/1.1.
		go func() { l.hand(c, c, c.begunHTTP2()) }()
	default:
		l.hand(c, s.tls, err)
	}
}

// handshake returns an error where net/http is not to be bothered.
func (s *secured) handshake() (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.in.logf("proxy: panic in the handshake with %v: %v\n%s", s.RemoteAddr(), p, debug.Stack())
			err = fmt.Errorf("proxy: panic in a handshake: %v", p)
		}
	}()
	if d := s.in.handshakeTimeout(); d > 0 {
		_ = s.tls.SetDeadline(time.Now().Add(d))
	}
	if s.tls.Handshake() == nil {
		s.state = s.tls.ConnectionState()
	}
	_ = s.tls.SetDeadline(time.Time{})
	return nil
}

// speaksHTTP1 reports whether the handshake came to that.
func (s *secured) speaksHTTP1() bool {
	switch s.state.NegotiatedProtocol {
	case "", "http/1.1", "http/1.0":
		return s.state.HandshakeComplete
	}
	return false
}

// speaksHTTP2 reports whether it came to that, in a way that net/http has nothing to say
// against (RFC 9113, section 9.2.2 and appendix A).
func (s *secured) speaksHTTP2() bool {
	p := s.in.server.Protocols
	if s.state.NegotiatedProtocol != "h2" || p == nil || !p.HTTP2() || !p.UnencryptedHTTP2() {
		return false
	}
	switch s.state.CipherSuite {
	case tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256:
		return true
	}
	return s.state.Version >= tls.VersionTLS13
}

// read waits for a record, and reads it into a scratch. While it waits it needs
// none. At the end it returns none, and no error.
func (s *secured) read() (*scratch, int, error) {
	if _, err := io.ReadFull(s.tls, s.first[:]); err != nil {
		if err == io.EOF {
			err = nil
		}
		return nil, 0, err
	}
	sc := newScratch()
	sc.in[0] = s.first[0]
	return sc, 1 + s.readOn(sc.in[1:]), nil
}

// readOn reads what is there of a record that was begun.
func (s *secured) readOn(p []byte) int {
	s.under.dry = true
	n, _ := s.tls.Read(p) // an error comes again, or there is no more now
	s.under.dry = false
	return n
}

// maxRecord is how much one record of TLS holds, at most.
const maxRecord = 16 << 10

// send writes a head and a body that is not copied behind it, but for what makes
// the head's record a full one.
func (s *secured) send(sc *scratch, body []byte) (int64, error) {
	with := min(len(body), max(0, maxRecord-len(sc.out)))
	sc.out = append(sc.out, body[:with]...)
	n, err := s.tls.Write(sc.out)
	if err == nil {
		var more int
		more, err = s.tls.Write(body[with:])
		n += more
	}
	return int64(n), err
}

// An underTLS is the connection that a tls.Conn reads from. While it is dry,
// the tls.Conn has what it has read already, and waits for nothing.
type underTLS struct {
	net.Conn
	raw *rawConn
	dry bool
}

func (u *underTLS) Write(p []byte) (int, error) { return u.raw.write(u.Conn, p) }

func (u *underTLS) Read(p []byte) (int, error) {
	if u.dry {
		return 0, dryError{}
	}
	return u.Conn.Read(p)
}

// A dryError is none that a tls.Conn keeps, as it keeps no timeout.
type dryError struct{}

func (dryError) Error() string   { return "proxy: no more has been read" }
func (dryError) Timeout() bool   { return true }
func (dryError) Temporary() bool { return true }

// handshakeTimeout is the server's, as net/http takes it: the least of those that
// are set.
func (in *Inline) handshakeTimeout() (least time.Duration) {
	for _, d := range [...]time.Duration{in.server.ReadHeaderTimeout, in.server.ReadTimeout, in.server.WriteTimeout} {
		if d > 0 && (least == 0 || d < least) {
			least = d
		}
	}
	return least
}

func (in *Inline) logf(format string, args ...any) {
	if in.server.ErrorLog != nil {
		in.server.ErrorLog.Printf(format, args...)
	} else {
		log.Printf(format, args...)
	}
}

// tlsState is nil for a plain connection.
func (c *inlineConn) tlsState() *tls.ConnectionState {
	if c.secure == nil {
		return nil
	}
	return &c.secure.state
}

// misdirected is Proxy.misdirected of a request for a host.
func (c *inlineConn) misdirected(host string) bool {
	p := c.in.proxy
	return c.secure != nil && p.covers != nil && !p.covers(c.tlsState(), host) && !p.isTrusted(c.client())
}

// socket is the connection itself, below all.
func (c *inlineConn) socket() net.Conn {
	if c.secure == nil {
		return c.Conn
	}
	return c.secure.under.Conn
}
