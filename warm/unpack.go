package warm

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Bounds of what is read of a response.
const (
	maxRatio     = 250     // bytes that one compressed byte may come to
	ratioAllowed = 4 << 20 // bytes before that counts: the beginning of much text compresses well
)

// errBomb says that something compressed comes to more than anybody means.
var errBomb = errors.New("compressed to less than a 250th: a bomb")

// An tooLong says that something is longer than it may be.
type tooLong int64

func (e tooLong) Error() string { return fmt.Sprintf("longer than %d MiB uncompressed", int64(e)>>20) }

// errCoding says that a response came in a coding that this package cannot undo.
var errCoding = errors.New("its content coding cannot be undone")

// unpacked returns the content of a body that came with h: its content codings
// undone and, of what is a gzip file by its first bytes, its content. Reading
// ends with an error where there is more than most bytes, or where it is
// compressed more than any text is.
func unpacked(h http.Header, body io.Reader, most int64) (io.Reader, error) {
	codings := strings.Split(strings.ToLower(strings.Join(h.Values("Content-Encoding"), ",")), ",")
	if len(codings) > 3 {
		return nil, errCoding
	}
	for i := len(codings) - 1; i >= 0; i-- {
		var err error
		switch strings.TrimSpace(codings[i]) {
		case "", "identity":
		case "gzip", "x-gzip":
			body, err = inflate(body, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) })
		case "deflate":
			body, err = inflate(body, func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) })
		default:
			return nil, fmt.Errorf("%w: %s", errCoding, excerpt(codings[i], 50))
		}
		if err != nil {
			return nil, err
		}
	}
	b := bufio.NewReader(body)
	body = b
	if magic, _ := b.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		var err error
		if body, err = inflate(b, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }); err != nil {
			return nil, err
		}
	}
	return &bounded{r: body, most: most}, nil
}

// inflate undoes one compression, guarded.
func inflate(r io.Reader, open func(io.Reader) (io.Reader, error)) (io.Reader, error) {
	in := &counted{r: r}
	out, err := open(in)
	if err != nil {
		return nil, fmt.Errorf("not compressed as it says: %w", err)
	}
	return &guarded{in: in, r: out}, nil
}

// counted counts what is read through it.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// guarded reads what in is uncompressed to.
type guarded struct {
	in *counted
	r  io.Reader
	n  int64
}

func (g *guarded) Read(b []byte) (int, error) {
	n, err := g.r.Read(b)
	if g.n += int64(n); g.n > ratioAllowed && g.n/maxRatio > g.in.n {
		return 0, errBomb
	}
	return n, err
}

// bounded fails, unlike io.LimitReader, where there is more.
type bounded struct {
	r    io.Reader
	most int64
	n    int64
}

func (l *bounded) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	if l.n += int64(n); l.n > l.most {
		return 0, tooLong(l.most)
	}
	return n, err
}
