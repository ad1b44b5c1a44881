package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"surrogate/config"
)

// BenchmarkHit is a hit of 1 KiB over one connection, in the ways that clients
// have: in the clear, over TLS, and over TLS by HTTP/2. Client and server share the
// machine; x-plain is the time in terms of the first.
func BenchmarkHit(b *testing.B) {
	a := newAuthority(b)
	var fetches atomic.Int64
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		w.Header().Set("Cache-Control", "max-age=6000")
		w.Write(bytes.Repeat([]byte("x"), 1024))
	}))
	defer origin.Close()
	cfg := benchConfig(b, a, origin.URL)
	n, f, err := start(cfg, io.Discard)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		f.drain(b.Context())
		n.close()
	}()
	plainAt, secureAt := f.publicAt[0].Addr().String(), f.secureAt[0].Addr().String()
	secure := func(proto string) net.Conn {
		c, err := tls.Dial("tcp", secureAt, &tls.Config{RootCAs: a.pool, ServerName: "shop.example", NextProtos: []string{proto}})
		if err != nil {
			b.Fatal(err)
		}
		return c
	}
	var plain float64
	run := func(name string, open func() (ask func() error, end func() error)) {
		b.Run(name, func(b *testing.B) {
			ask, end := open()
			defer end()
			for range 3 { // the first stores it, for its scheme
				if err := ask(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				if err := ask(); err != nil {
					b.Fatal(err)
				}
			}
			each := float64(b.Elapsed()) / float64(b.N)
			if name == "plain" {
				plain = each
			}
			b.ReportMetric(each/plain, "x-plain")
		})
	}
	run("plain", func() (func() error, func() error) {
		c, err := net.Dial("tcp", plainAt)
		if err != nil {
			b.Fatal(err)
		}
		return asksHTTP1(c), c.Close
	})
	run("tls", func() (func() error, func() error) {
		c := secure("http/1.1")
		return asksHTTP1(c), c.Close
	})
	run("tls-http2", func() (func() error, func() error) {
		c := secure("h2")
		ask, err := asksHTTP2(c)
		if err != nil {
			b.Fatal(err)
		}
		return ask, c.Close
	})
	// What a client pays that makes a connection for each request.
	run("tls-handshake", func() (func() error, func() error) {
		return func() error {
			c := secure("http/1.1")
			defer c.Close()
			return asksHTTP1(c)()
		}, func() error { return nil }
	})
	if n := fetches.Load(); n > 4 { // one for each scheme, and those that came before it was stored
		b.Errorf("%d requests were no hits", n)
	}
}

func benchConfig(b *testing.B, a *authority, origin string) *config.Config {
	b.Helper()
	certificate, key := a.sign(b, newKey(b), 90*days, "shop.example")
	file := filepath.Join(b.TempDir(), "shop.pem")
	if err := os.WriteFile(file, []byte(certificate+key), 0o600); err != nil {
		b.Fatal(err)
	}
	cfg, err := config.Load(config.Source{Flags: config.Flags{
		Origin: []string{origin}, Listen: []string{"127.0.0.1:0"}, Admin: new(""),
		Set: []string{"tls.listen=127.0.0.1:0", "tls.certificates=" + file, "log.access=false", "log.level=error"},
	}})
	if err != nil {
		b.Fatal(err)
	}
	return cfg
}

// asksHTTP1 asks for a page and reads all of the answer.
func asksHTTP1(c net.Conn) func() error {
	r := bufio.NewReader(c)
	return func() error {
		if _, err := io.WriteString(c, "GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n"); err != nil {
			return err
		}
		size := -1
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return err
			}
			if len(line) <= 2 {
				break
			}
			if len(line) > 16 && strings.EqualFold(string(line[:16]), "Content-Length: ") {
				if _, err := fmt.Sscan(string(line[16:]), &size); err != nil {
					return err
				}
			}
		}
		if size != 1024 {
			return fmt.Errorf("the body has %d bytes", size)
		}
		_, err := r.Discard(size)
		return err
	}
}

// asksHTTP2 does so by HTTP/2, one request at a time.
func asksHTTP2(c net.Conn) (func() error, error) {
	w := bufio.NewWriter(c)
	f := http2.NewFramer(w, bufio.NewReader(c))
	f.SetReuseFrames()
	if _, err := io.WriteString(w, http2.ClientPreface); err != nil {
		return nil, err
	}
	f.WriteSettings()
	f.WriteWindowUpdate(0, 1<<30)
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	enc.SetMaxDynamicTableSize(0)
	for _, h := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "shop.example"}, {":path", "/a"}} {
		enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	id, read := uint32(1), 0
	return func() error {
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true})
		id += 2
		if read > 1<<29 {
			f.WriteWindowUpdate(0, uint32(read))
			read = 0
		}
		if err := w.Flush(); err != nil {
			return err
		}
		for size := 0; ; {
			frame, err := f.ReadFrame()
			if err != nil {
				return err
			}
			switch frame := frame.(type) {
			case *http2.SettingsFrame:
				if !frame.IsAck() {
					f.WriteSettingsAck()
				}
			case *http2.DataFrame:
				size += len(frame.Data())
				read += len(frame.Data())
				if frame.StreamEnded() {
					if size != 1024 {
						return fmt.Errorf("the body has %d bytes", size)
					}
					return nil
				}
			case *http2.GoAwayFrame, *http2.RSTStreamFrame:
				return fmt.Errorf("got %v", frame)
			}
		}
	}, nil
}
