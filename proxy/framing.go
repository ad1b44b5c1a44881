package proxy

import (
	"bytes"
	"strconv"
)

// A framing is how far one HTTP/1 message has come. It follows a message through
// pieces of any size without keeping it.
//
// Where it sees an end net/http sees the same one. What net/http would refuse,
// or is too odd to follow, is an error. Where net/http is sure but others might
// read the same message differently, it is odd, and its connection should carry
// nothing after it.
type framing struct {
	step    step
	left    uint64 // bytes of the body or of the chunk
	status  int
	old     bool // HTTP/1.0
	length  int64
	sized   bool // there is a Content-Length, of length
	chunked bool
	odd     bool // framed in a way that others might read differently
	framer  bool // the field before was one of the two; if it goes on, its value is another
	line    [64]byte
	kept    int  // bytes of a line that has not ended, of which line holds the first
	cr      bool // the last of them is a CR
}

// A step is what comes next in a message.
type step uint8

const (
	stepDone    step = iota // the next message
	stepStatus              // a response's first line
	stepRequest             // a request's
	stepField               // a field, or the line that ends the head
	stepBody                // left bytes
	stepSize                // a chunk's first line
	stepChunk               // left bytes of it
	stepChunked             // the line end behind it
	stepTrailer             // a field behind the last chunk, or the line that ends it all
	stepRest                // all there is until the connection ends
	stepTunnel              // bytes that are not HTTP/1 any more, both ways
)

// take follows b and returns how many of its bytes the message has.
func (m *framing) take(b []byte, head bool) (n int, err error) {
	for n < len(b) && m.step != stepDone {
		switch m.step {
		case stepRest, stepTunnel:
			return len(b), nil
		case stepBody, stepChunk:
			k := min(m.left, uint64(len(b)-n))
			m.left -= k
			n += int(k)
			if m.left == 0 && m.step == stepBody {
				m.step = stepDone
			} else if m.left == 0 {
				m.step = stepChunked
			}
		default:
			line, k, crlf, ok := m.nextLine(b[n:])
			if ok && !m.next(line, crlf, head) {
				return n, errFraming
			}
			n += k
		}
	}
	return n, nil
}

// nextLine returns the line that ends in b, without its end and cut to what
// matters, and how many bytes of b belong to it. A line ends where it does for
// net/http, at an LF with or without a CR.
func (m *framing) nextLine(b []byte) (line []byte, n int, crlf, ok bool) {
	n = bytes.IndexByte(b, '\n') + 1
	if ok = n > 0; ok {
		b = b[:n-1]
	} else {
		n = len(b)
	}
	whole := m.kept == 0 && ok
	if len(b) > 0 {
		m.cr = b[len(b)-1] == '\r'
	}
	if !whole {
		copy(m.line[min(m.kept, len(m.line)):], b)
		if m.kept += len(b); !ok {
			return nil, n, false, false
		}
		b = m.line[:min(m.kept, len(m.line))]
	}
	size := max(m.kept, len(b))
	if crlf = m.cr; crlf {
		size--
	}
	m.kept, m.cr = 0, false
	return b[:min(size, len(m.line))], n, crlf, true
}

// next goes one line on, and reports whether the line is one to be sure of.
func (m *framing) next(line []byte, crlf, head bool) bool {
	switch m.step {
	case stepStatus:
		return m.begins(line)
	case stepRequest:
		m.step = stepField
	case stepField:
		if len(line) > 0 {
			return m.field(line)
		}
		m.headEnds(head)
	case stepSize:
		return crlf && m.size(line)
	case stepChunked:
		m.step = stepSize
		return crlf && len(line) == 0
	case stepTrailer:
		if len(line) == 0 {
			m.step = stepDone
		}
		return crlf // net/http would wait for a CR LF CR LF
	}
	return true
}

func (m *framing) begins(line []byte) bool {
	version, rest, _ := bytes.Cut(line, []byte(" "))
	code, _, _ := bytes.Cut(bytes.TrimLeft(rest, " "), []byte(" "))
	status, err := strconv.ParseUint(string(code), 10, 16)
	if err != nil || len(code) != 3 || status < 100 {
		return false
	}
	old := string(version) == "HTTP/1.0"
	ok := old || string(version) == "HTTP/1.1"
	*m = framing{step: stepField, status: int(status), old: old, odd: m.odd}
	return ok
}

func (m *framing) field(line []byte) bool {
	if line[0] == ' ' || line[0] == '\t' {
		return !m.framer
	}
	name, value, _ := bytes.Cut(line, []byte(":"))
	length := len(name) == len("Content-Length") && bytes.EqualFold(name, []byte("Content-Length"))
	coding := len(name) == len("Transfer-Encoding") && bytes.EqualFold(name, []byte("Transfer-Encoding"))
	if m.framer = length || coding; !m.framer {
		return true
	}
	value = bytes.Trim(value, " \t")
	switch {
	case len(line) == len(m.line): // it may have been cut
		return false
	case length:
		n, err := strconv.ParseUint(string(value), 10, 63)
		if err != nil || m.sized && int64(n) != m.length {
			return false
		}
		m.odd = m.odd || m.sized || m.chunked
		m.sized, m.length = true, int64(n)
	case m.old: // it has none; net/http overlooks the field
		m.odd = true
	default:
		m.odd = m.odd || m.sized
		if m.chunked || !bytes.EqualFold(value, []byte("chunked")) {
			return false
		}
		m.chunked = true
	}
	return true
}

// headEnds decides what follows a head (RFC 9112, section 6.3).
func (m *framing) headEnds(head bool) {
	switch {
	case m.status == 101:
		m.step = stepTunnel
	case m.status/100 == 1:
		m.step = stepStatus
	case head || m.status == 204 || m.status == 304:
		m.step = stepDone
	case m.chunked:
		m.step = stepSize
	case m.sized && m.length > 0:
		m.step, m.left = stepBody, uint64(m.length)
	case m.sized || m.status == 0: // a request has no body unless it says so
		m.step = stepDone
	default:
		m.step = stepRest
	}
}

func (m *framing) size(line []byte) bool {
	n := 0
	for n < len(line) && bytes.IndexByte([]byte("0123456789abcdefABCDEF"), line[n]) >= 0 {
		n++
	}
	left, err := strconv.ParseUint(string(line[:n]), 16, 64)
	if err != nil || n > 16 || n < len(line) && bytes.IndexByte([]byte("; \t"), line[n]) < 0 {
		return false
	}
	if m.step, m.left = stepChunk, left; left == 0 {
		m.step = stepTrailer
	}
	return true
}
