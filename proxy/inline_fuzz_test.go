package proxy_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// Whatever a client sends, in pieces of whatever size, it is answered the same
// with hits answered inline as without.
func FuzzInline(f *testing.F) {
	for i, c := range inlineCases {
		if len(c.input) > 10000 {
			continue // net/http takes half a second to say so
		}
		f.Add([]byte(c.input), uint16(0), c.peer == inFront)
		f.Add([]byte(c.input), uint16(1+i%40), c.peer == inFront)
		f.Add([]byte(ask("GET", "/page")+c.input+ask("GET", "/page")), uint16(0), false)
		for _, first := range []string{ask("GET", "/none"), ask("PUT", "/none", "Content-Length: 0")} {
			f.Add([]byte(first+c.input+ask("GET", "/page")), uint16(len(first)), true)
		}
	}
	// What net/http holds the beginning of is not looked at, whatever the rest
	// looks like.
	for _, begun := range []string{"X", "XX", "XXX", "XXXX", "GET /page HTTP/1.1\r\n", "GET /none HTTP/1.1\r\nHost: shop.example\r\n", "GET /none HTTP/1.1\r\nX: ",
		ask("POST", "/none", fmt.Sprintf("Content-Length: %d", len(ask("GET", "/page")))), ask("POST", "/none", "Transfer-Encoding: chunked") + "1\r\n"} {
		for _, before := range []string{ask("GET", "/none"), ask("GET", "/page") + ask("GET", "/none"), ask("GET", "/page"), ask("PUT", "/none", "Content-Length: 0")} {
			f.Add([]byte(before+begun+ask("GET", "/page")+ask("GET", "/gone")), uint16(len(before+begun)), false)
		}
	}
	for n := range 5 {
		f.Add([]byte(ask("GET", "/page")+"0000"[:n]), uint16(0), false)
		f.Add([]byte(ask("HEAD", "/page")+"0000"[:n]), uint16(1), false)
	}
	h, seal := newInlineHouse(f)
	seal()
	servers := [2]*wired{newWired(h, false), newWired(h, true)}
	var long atomic.Int64
	servers[1].long = func() { long.Add(1) }
	f.Cleanup(func() {
		for _, s := range servers {
			s.close()
		}
		h.close()
	})
	f.Fuzz(func(t *testing.T, input []byte, piece uint16, trusted bool) {
		if strings.Contains(strings.ToLower(string(input)), "upgrade") {
			return // the origin has no other protocol
		}
		if strings.Contains(string(input), "PRI * HTTP/2.0") {
			return // another test is about that
		}
		peer := visitor
		if trusted {
			peer = inFront
		}
		var out [2][]string
		for i, s := range servers {
			w := newWire(peer, slices.Clone(input), int(piece))
			<-s.serve(w)
			out[i] = answersIn(w.output.Bytes(), false)
		}
		if !slices.Equal(out[0], out[1]) {
			t.Errorf("%q in pieces of %d is answered\n%s\n\nand inline\n%s", input, piece, strings.Join(out[0], "\n\n"), strings.Join(out[1], "\n\n"))
		}
	})
}
