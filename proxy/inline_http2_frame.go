package proxy

import "encoding/binary"

// Frames of HTTP/2 (RFC 9113, sections 4.1 and 6), as far as they are looked at.
const (
	frameHeadLen = 9
	maxFrame     = 1 << 14 // that every client takes (section 4.2)

	frameData         = 0
	frameHeaders      = 1
	frameReset        = 3
	frameSettings     = 4
	frameGoAway       = 7
	frameWindow       = 8
	frameContinuation = 9

	flagAck        = 1
	flagEndStream  = 1
	flagEndHeaders = 4
	flagPadded     = 8
	flagPriority   = 32

	settingTable         = 1
	settingInitialWindow = 4
)

// What no client may send, each with what net/http says to it: PROTOCOL_ERROR, and
// COMPRESSION_ERROR.
const (
	frameBroken      = "\x00\x00\x00\x09\x04\x00\x00\x00\x01"     // CONTINUATION of nothing
	frameUndecodable = "\x00\x00\x01\x01\x05\x7f\xff\xff\xff\x80" // HEADERS with the field at index 0
)

// A frameHead is what a frame begins with.
type frameHead struct {
	length      int
	kind, flags byte
	stream      uint32
}

func parseFrameHead(b []byte) frameHead {
	return frameHead{int(b[0])<<16 | int(b[1])<<8 | int(b[2]), b[3], b[4], be32(b[5:]) & maxWindow}
}

// isLookedAt reports whether a client's frame is. DATA is as long as it likes, and
// nothing depends here on what else there is.
func (f frameHead) isLookedAt() bool {
	switch f.kind {
	case frameHeaders, frameContinuation, frameReset, frameSettings, frameWindow:
		return true
	}
	return false
}

func appendFrameHead(b []byte, f frameHead) []byte {
	b = append(b, byte(f.length>>16), byte(f.length>>8), byte(f.length), f.kind, f.flags)
	return binary.BigEndian.AppendUint32(b, f.stream)
}

// appendWindow appends a WINDOW_UPDATE of the connection.
func appendWindow(b []byte, n uint32) []byte {
	return binary.BigEndian.AppendUint32(appendFrameHead(b, frameHead{length: 4, kind: frameWindow}), n)
}

func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// A frameEnd knows where the frames of a stream of bytes end.
type frameEnd struct {
	head [frameHeadLen]byte
	had  int       // bytes of a head that has not come whole
	at   frameHead // the last that has, though its frame may have ended
	rest int       // bytes of its payload that are to come
}

// follow takes bytes from the front of b, and returns the others. What it took is of a
// head, which may be complete then, or of a payload.
func (e *frameEnd) follow(b []byte) (rest, payload []byte, begun bool) {
	if e.rest > 0 {
		n := min(e.rest, len(b))
		e.rest -= n
		return b[n:], b[:n], false
	}
	n := copy(e.head[e.had:], b)
	if e.had += n; e.had < frameHeadLen {
		return b[n:], nil, false
	}
	e.at = parseFrameHead(e.head[:])
	e.had, e.rest = 0, e.at.length
	return b[n:], nil, true
}

// isBlock reports whether the last frame is of a header block.
func (e *frameEnd) isBlock() bool {
	return e.had == 0 && (e.at.kind == frameHeaders || e.at.kind == frameContinuation)
}

// midway reports whether no other frame may come next.
func (e *frameEnd) midway() bool {
	return e.had > 0 || e.rest > 0 || e.isBlock() && e.at.flags&flagEndHeaders == 0
}
