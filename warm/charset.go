package warm

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// utf16Order is the byte order of text in UTF-16, by its byte order mark or by
// the "<" that XML begins with; nil if it is not in UTF-16.
func utf16Order(start []byte) binary.ByteOrder {
	if len(start) < 2 {
		return nil
	}
	switch [2]byte(start) {
	case [2]byte{0xff, 0xfe}, [2]byte{'<', 0}:
		return binary.LittleEndian
	case [2]byte{0xfe, 0xff}, [2]byte{0, '<'}:
		return binary.BigEndian
	}
	return nil
}

// inUTF8 reads XML in UTF-16 as UTF-8, and passes over a byte order mark. What
// else there is the document declares; see charset.
func inUTF8(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 1024)
	start, err := b.Peek(3)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if order := utf16Order(start); order != nil {
		return &utf16Reader{r: b, order: order, first: true}, nil
	}
	if string(start) == "\xef\xbb\xbf" {
		_, err = b.Discard(3)
	}
	return b, err
}

// charset reads text in the encodings that XML declares. URLs are in ASCII, and
// the rest of a sitemap is not looked at, so of others than UTF-8 and UTF-16
// those will do that have ASCII in common, as the bytes they are.
func charset(label string, r io.Reader) (io.Reader, error) {
	switch l := strings.ToLower(label); {
	case l == "utf-8", l == "utf8", l == "us-ascii", l == "ascii", strings.HasPrefix(l, "utf-16"):
		return r, nil
	case strings.HasPrefix(l, "iso-8859-"), strings.HasPrefix(l, "windows-125"), strings.HasPrefix(l, "cp125"), l == "latin1", strings.HasPrefix(l, "koi8"):
		return &byteReader{r: bufio.NewReader(r)}, nil
	}
	return nil, fmt.Errorf("the encoding %q is not understood", excerpt(label, 50))
}

// A byteReader reads one byte as one character (ISO-8859-1).
type byteReader struct {
	r    *bufio.Reader
	left []byte
}

func (c *byteReader) Read(b []byte) (int, error) {
	if len(c.left) == 0 {
		one, err := c.r.ReadByte()
		if err != nil {
			return 0, err
		}
		c.left = utf8.AppendRune(c.left[:0], rune(one))
		for len(c.left) < 512 && c.r.Buffered() > 0 {
			one, _ = c.r.ReadByte() // it is buffered
			c.left = utf8.AppendRune(c.left, rune(one))
		}
	}
	n := copy(b, c.left)
	c.left = c.left[n:]
	return n, nil
}

// A utf16Reader reads UTF-16 as UTF-8.
type utf16Reader struct {
	r     *bufio.Reader
	order binary.ByteOrder
	first bool
	left  []byte
	back  rune // read too far; 0 for nothing
}

func (u *utf16Reader) unit() (rune, error) {
	if c := u.back; c != 0 {
		u.back = 0
		return c, nil
	}
	var two [2]byte
	if _, err := io.ReadFull(u.r, two[:]); err != nil {
		return 0, err
	}
	return rune(u.order.Uint16(two[:])), nil
}

func (u *utf16Reader) Read(b []byte) (int, error) {
	for len(u.left) == 0 {
		c, err := u.unit()
		if err != nil {
			return 0, err
		}
		if utf16.IsSurrogate(c) {
			low, err := u.unit()
			if err != nil {
				return 0, err
			}
			if both := utf16.DecodeRune(c, low); both != utf8.RuneError {
				c = both
			} else {
				c, u.back = utf8.RuneError, low
			}
		}
		if u.first {
			u.first = false
			if c == 0xfeff {
				continue
			}
		}
		u.left = utf8.AppendRune(u.left[:0], c)
	}
	n := copy(b, u.left)
	u.left = u.left[n:]
	return n, nil
}
