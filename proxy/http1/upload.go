package http1

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// An upload sends content while it is read. The response may come before its end.
type upload struct {
	conn     net.Conn
	body     io.ReadCloser
	length   int64 // -1 or 0: not known
	trailer  http.Header
	may      chan struct{} // closed when it is known whether the origin wants the content; nil: it was not asked
	said     sync.Once
	unwanted bool          // it does not
	over     chan struct{} // closed at its end
	// After that:
	ended    time.Time
	err      error // why not all was sent
	ofClient bool  // because it could not be read
}

const (
	// expectWithin is how long the origin may take to say that it wants the content.
	expectWithin = time.Second
	// uploadWithin is how long a connection whose response is here waits for the end
	// of the request, before it is not used again.
	uploadWithin = 50 * time.Millisecond
	uploadChunk  = 32 << 10
	chunkHead    = 8 // hexadecimal digits and CR LF
)

var uploadChunks = sync.Pool{New: func() any { b := make([]byte, chunkHead+uploadChunk+2); return &b }}

func newUpload(c net.Conn, r *http.Request) *upload {
	u := &upload{conn: c, body: r.Body, length: r.ContentLength, trailer: r.Trailer, over: make(chan struct{})}
	if expectsContinue(r) {
		u.may = make(chan struct{})
	}
	return u
}

// proceed says that the origin wants the content.
func (u *upload) proceed() {
	if u.may != nil {
		u.said.Do(func() { close(u.may) })
	}
}

// answered says that the response is here: who has not said that he wants the
// content by then is not sent it.
func (u *upload) answered() {
	if u.may != nil {
		u.said.Do(func() { u.unwanted = true; close(u.may) })
	}
}

func (u *upload) run() {
	if u.may != nil {
		wait := time.AfterFunc(expectWithin, u.proceed)
		<-u.may
		wait.Stop()
	}
	if u.err = errUnwanted; !u.unwanted {
		u.err = u.send()
	}
	_ = u.body.Close()
	u.ended = time.Now()
	close(u.over)
	if u.ofClient {
		// The origin must not take what it has for the whole, nor wait for the rest.
		u.conn.Close()
	}
}

var errUnwanted = errors.New("http1: the origin did not want the request's content")

func (u *upload) send() error {
	chunk := uploadChunks.Get().(*[]byte)
	defer uploadChunks.Put(chunk)
	room := (*chunk)[chunkHead : chunkHead+uploadChunk]
	for left := u.length; ; {
		p := room
		if left > 0 {
			p = p[:min(int64(len(p)), left)]
		}
		n, err := u.body.Read(p)
		if n > 0 {
			b := p[:n]
			if u.length <= 0 {
				b = chunkOf(*chunk, n)
			}
			if _, err := u.conn.Write(b); err != nil {
				return err
			}
			if left -= int64(n); left == 0 {
				return nil
			}
		}
		switch {
		case err == nil:
		case err != io.EOF:
			u.ofClient = true
			return fmt.Errorf("http1: the request's content broke off: %w", err)
		case left > 0:
			u.ofClient = true
			return fmt.Errorf("http1: the request's content is shorter than its length: %w", io.ErrUnexpectedEOF)
		default:
			_, err := u.conn.Write(u.end())
			return err
		}
	}
}

// chunkOf puts what a chunk needs around the n bytes behind b's first chunkHead.
func chunkOf(b []byte, n int) []byte {
	var head [chunkHead]byte
	h := append(strconv.AppendInt(head[:0], int64(n), 16), "\r\n"...)
	from := chunkHead - len(h)
	copy(b[from:], h)
	return append(b[from:chunkHead+n], "\r\n"...)
}

// end is the last chunk and the trailer.
func (u *upload) end() []byte {
	b := []byte("0\r\n")
	for k, vs := range u.trailer {
		for _, v := range vs {
			if isToken(k) && plainValue(v) {
				b = append(append(append(append(b, k...), ": "...), v...), "\r\n"...)
			}
		}
	}
	return append(b, "\r\n"...)
}

// due is when the response has to be there that may take d from the request's end.
func (u *upload) due(d time.Duration) time.Time {
	select {
	case <-u.over:
		return u.ended.Add(d)
	default:
		return time.Now().Add(d)
	}
}

// whole waits a little for the end, and reports whether all was sent.
func (u *upload) whole() bool {
	select {
	case <-u.over:
		return u.err == nil
	default:
	}
	wait := time.NewTimer(uploadWithin)
	defer wait.Stop()
	select {
	case <-u.over:
		return u.err == nil
	case <-wait.C:
		return false
	}
}

// blame returns why the exchange failed, where that is the client's doing.
func (u *upload) blame(err error) error {
	select {
	case <-u.over:
		if u.ofClient {
			return u.err
		}
	default:
	}
	return err
}
