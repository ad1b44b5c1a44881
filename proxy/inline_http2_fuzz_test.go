package proxy_test

import (
	"bytes"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
)

// Whatever a client sends over HTTP/2, in pieces of whatever size, it is answered the
// same with hits answered inline as without.
func FuzzInlineHTTP2(f *testing.F) {
	for _, c := range http2Cases() {
		if b := c.input.Bytes(); len(b) < 2000 {
			f.Add(b[len(http2.ClientPreface):], uint16(0))
			f.Add(b[len(http2.ClientPreface):], uint16(len(b)%50))
		}
	}
	f.Fuzz(func(t *testing.T, frames []byte, piece uint16) {
		if len(frames) > 4000 {
			return // as many streams as net/http takes at once
		}
		input := append([]byte(http2.ClientPreface), frames...)
		synctest.Test(t, func(t *testing.T) {
			h, seal := newInlineHouse(t)
			defer h.close()
			seal()
			by, _ := playHTTP2(t, h, input, int(piece), false)
			inline, _ := playHTTP2(t, h, input, int(piece), true)
			if by.goaway == "" && inline.goaway == "" {
				for id := range revisited(frames) {
					// How much was said on it before is a matter of time.
					delete(by.streams, id)
					delete(inline.streams, id)
				}
				for id, r := range by.streams { // what a window keeps back
					if x := inline.streams[id]; !r.ended && r.reset == "" && x != nil && !x.ended && x.reset == "" {
						delete(by.streams, id)
						delete(inline.streams, id)
					}
				}
			}
			if err := by.same(inline); err != nil {
				t.Errorf("%q in pieces of %d: %v", frames, piece, err)
			}
		})
	})
}

// revisited are the streams that more is said about than what begins them.
func revisited(frames []byte) map[uint32]bool {
	begun, again := map[uint32]bool{}, map[uint32]bool{}
	fr := http2.NewFramer(nil, bytes.NewReader(frames))
	fr.AllowIllegalReads = true
	for {
		frame, err := fr.ReadFrame()
		if err != nil {
			return again
		}
		head := frame.Header()
		switch head.Type {
		case http2.FrameContinuation, http2.FramePriority:
			continue
		}
		if begun[head.StreamID] {
			again[head.StreamID] = true
		}
		begun[head.StreamID] = true
	}
}
