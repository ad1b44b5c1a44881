package proxy_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// bothWays runs a test over plain connections, and over TLS.
func bothWays(t *testing.T, f func(t *testing.T, secure bool)) {
	t.Run("plain", func(t *testing.T) { f(t, false) })
	t.Run("tls", func(t *testing.T) { f(t, true) })
}

func serverTLS() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{ownCertificate()}, NextProtos: []string{"h2", "http/1.1", "acme-tls/1"}}
}

func clientTLS(protocols ...string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: shopHost, NextProtos: protocols}
}

var ownCertificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{shopHost}, NotAfter: time.Unix(1<<32, 0)}
	text, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{text}, PrivateKey: key}
})

// A caller is a client at the other end of a wire, plain or over TLS.
type caller struct {
	*wire
	conn *tls.Conn // nil: plain
	read chan struct{}

	mu   sync.Mutex // guards what follows
	said bytes.Buffer
}

// call lets a client call. Who calls over TLS has shaken hands then.
func (s *wired) call(peer string, secure bool) *caller {
	c := &caller{wire: newWire(peer, nil, 0)}
	c.open = true
	s.serve(c.wire)
	if secure {
		c.conn = tls.Client(farEnd{c.wire}, clientTLS("http/1.1"))
		if err := c.conn.Handshake(); err != nil {
			panic(err)
		}
		c.read = make(chan struct{})
		go func() {
			defer close(c.read)
			_, _ = io.Copy(writerFunc(c.note), c.conn)
		}()
	}
	return c
}

func (c *caller) say(text string) {
	if c.conn == nil {
		c.wire.say(text)
	} else if text != "" {
		_, _ = io.WriteString(c.conn, text)
	}
}

// leave says that there is no more, and waits for the server's end. It is for TLS.
func (c *caller) leave() {
	_ = c.conn.CloseWrite()
	<-c.done
	<-c.read
}

// heard is what the server has said so far.
func (c *caller) heard() string {
	if c.conn == nil {
		c.wire.mu.Lock()
		defer c.wire.mu.Unlock()
		return c.output.String()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said.String()
}

func (c *caller) note(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.said.Write(p)
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A farEnd is the client's end of a wire.
type farEnd struct{ w *wire }

func (e farEnd) Read(p []byte) (int, error) { return clientsEnd(e).Read(p) }
func (e farEnd) Write(p []byte) (int, error) {
	e.w.say(string(p))
	return len(p), nil
}
func (e farEnd) Close() error                     { return e.w.Close() }
func (e farEnd) SetDeadline(time.Time) error      { return nil }
func (e farEnd) SetReadDeadline(time.Time) error  { return nil }
func (e farEnd) SetWriteDeadline(time.Time) error { return nil }
func (e farEnd) LocalAddr() net.Addr              { return e.w.RemoteAddr() }
func (e farEnd) RemoteAddr() net.Addr             { return e.w.LocalAddr() }
