package main

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// The origin's paths are /KIND/SIZE/TAGS/N: the kind of response, the length of its
// body, its tags with "+" between. N makes them differ. A body begins with its path.
const (
	kindHit   = "hit"   // may be stored for a day
	kindOwn   = "own"   // a visitor's own, not to be stored, and without tags
	kindSlow  = "slow"  // as hit, after slowness
	kindBrief = "brief" // as slow, for a second
	countPath = "/count"
)

const slowness = 200 * time.Millisecond

func pathOf(kind string, size int, tags string, n int) string {
	return fmt.Sprintf("/%s/%d/%s/%d", kind, size, tags, n)
}

// etagOf is what the origin says of a response of a length.
func etagOf(size int) string { return fmt.Sprintf(`"5d8c72a5edda8-%x"`, size) }

// serveOrigin answers until the listener closes.
func serveOrigin(l net.Listener) error {
	o := &origin{}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go o.serve(c)
	}
}

// An origin counts what it is asked for.
type origin struct{ asked atomic.Int64 }

func (o *origin) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReaderSize(c, 64<<10)
	var out, body []byte
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		_, rest, _ := bytes.Cut(line, []byte(" "))
		target, _, _ := bytes.Cut(rest, []byte(" "))
		path := string(target)
		for len(line) > 2 { // no request here has a body
			if line, err = in.ReadSlice('\n'); err != nil {
				return
			}
		}
		if path == countPath {
			out = fmt.Appendf(out[:0], "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n%20d", o.asked.Load())
		} else {
			o.asked.Add(1)
			out, body = appendAnswer(out[:0], body, path)
		}
		if _, err := c.Write(out); err != nil {
			return
		}
	}
}

// appendAnswer appends the response at a path, after the time it takes. Body is
// room that is used again.
func appendAnswer(out, body []byte, path string) (_, _ []byte) {
	parts := strings.SplitN(path, "/", 5)
	if len(parts) < 5 {
		return append(out, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"...), body
	}
	size, err := strconv.Atoi(parts[2])
	if err != nil || size < 0 {
		return append(out, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"...), body
	}
	cache := "public, max-age=86400"
	switch parts[1] {
	case kindOwn:
		cache = "private, no-store"
	case kindSlow:
		time.Sleep(slowness)
	case kindBrief:
		time.Sleep(slowness)
		cache = "public, max-age=1"
	}
	out = append(out, "HTTP/1.1 200 OK\r\nServer: origin/1.0\r\nDate: "...)
	out = time.Now().UTC().AppendFormat(out, "Mon, 02 Jan 2006 15:04:05 GMT")
	out = append(out, "\r\nContent-Type: text/html; charset=utf-8\r\nContent-Language: en\r\nContent-Length: "...)
	out = strconv.AppendInt(out, int64(size), 10)
	out = append(out, "\r\nETag: "...)
	out = append(out, etagOf(size)...)
	out = append(out, "\r\nLast-Modified: Mon, 02 Nov 2026 09:00:00 GMT\r\nVary: Accept-Encoding\r\nCache-Control: "...)
	out = append(out, cache...)
	out = append(out, "\r\nStrict-Transport-Security: max-age=63072000; includeSubDomains\r\nX-Content-Type-Options: nosniff\r\n"+
		"X-Frame-Options: SAMEORIGIN\r\nReferrer-Policy: strict-origin-when-cross-origin\r\n"+
		"Content-Security-Policy: default-src 'self'; img-src 'self' data:; object-src 'none'\r\n"...)
	if tags := strings.ReplaceAll(parts[3], "+", " "); parts[1] != kindOwn {
		out = append(out, "xkey: "...)
		out = append(out, tags...)
		out = append(out, "\r\n"...)
	}
	out = append(out, "\r\n"...)
	for len(body) < size {
		body = append(body, "<p>What is on the page, again and again.</p>\n"...)
	}
	at := len(out)
	out = append(out, body[:size]...)
	copy(out[at:], path)
	return out, body
}
