package http1

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// ErrHeadTooLarge is a response whose head is larger than Options.HeadBytes.
var ErrHeadTooLarge = errors.New("http1: the head of the response is too large")

// answer reads heads until that of the response.
func (l *link) answer(r *http.Request, interim func(int, http.Header) error) (*http.Response, error) {
	for {
		b, ok, err := l.head()
		if err != nil {
			return nil, brokeOff(err)
		}
		var h heading
		if !ok || !h.parse(b) {
			return l.leave(r, interim)
		}
		l.r += len(b)
		if h.status/100 != 1 || h.status == http.StatusSwitchingProtocols {
			return l.respond(r, &h), nil
		}
		if err := l.told(h.status, h.fields, interim); err != nil {
			return nil, err
		}
	}
}

// told passes on an interim response.
func (l *link) told(status int, fields http.Header, interim func(int, http.Header) error) error {
	if status == http.StatusContinue && l.upload != nil {
		l.upload.proceed()
	}
	if interim == nil {
		return nil
	}
	return interim(status, fields)
}

// head returns the bytes of the next head; false if they are not going to be one
// that is read here.
func (l *link) head() (head []byte, ok bool, err error) {
	for looked := 0; ; {
		b := l.room.in[l.r:l.w]
		if len(b) > 0 && !begins(b) {
			return nil, false, nil
		}
		if end, plain := headEnd(b, looked); end > 0 {
			return b[:end], plain, nil
		}
		looked = max(0, len(b)-3)
		if err := l.more(); err != nil {
			return nil, false, err
		}
	}
}

// headEnd returns the length of the head at the front of b, 0 where it has not
// ended, and whether it ends in CR LF CR LF. It has been looked for in b[:from].
func headEnd(b []byte, from int) (n int, plain bool) {
	for i := from; ; {
		j := bytes.IndexByte(b[i:], '\n')
		if j < 0 {
			return 0, false
		}
		i += j + 1
		switch rest := b[i:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return i + 1, false
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return i + 2, i > 1 && b[i-2] == '\r'
		}
	}
}

// brokeOff is why the head of a response did not come.
func brokeOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// leave leaves the response to net/http, and the connection ends with it.
func (l *link) leave(r *http.Request, interim func(int, http.Header) error) (*http.Response, error) {
	br := bufio.NewReader((*rest)(l))
	for {
		resp, err := http.ReadResponse(br, r)
		switch {
		case err != nil && l.quota == 0:
			return nil, ErrHeadTooLarge // whatever the half of it looked like
		case err != nil:
			return nil, fmt.Errorf("http1: %w", err)
		case resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols:
			if err := l.told(resp.StatusCode, resp.Header, interim); err != nil {
				return nil, err
			}
			continue
		}
		l.headed()
		resp.Body = l.adopt(resp, br)
		return resp, nil
	}
}

// rest reads what comes, from what has been read on.
type rest link

func (s *rest) Read(p []byte) (int, error) {
	l := (*link)(s)
	if l.r < l.w {
		n := copy(p, l.room.in[l.r:l.w])
		l.r += n
		return n, nil
	}
	return l.read(p)
}

// headed is told that the response's head is here: nothing bounds the rest but
// the context.
func (l *link) headed() {
	l.quota, l.due = -1, time.Time{}
	if l.upload != nil {
		l.upload.answered()
	}
}
