package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
	"unsafe"
)

// ErrCodec is bytes that no Entry was encoded to.
var ErrCodec = errors.New("not an encoded entry")

// codecVersion is the first byte of an encoding. An entry written by another
// version is a miss, never a guess.
const codecVersion = 1

// AppendMeta appends everything of e but its Body to b: a version byte, the
// numbers as varints, then the strings, each behind its length.
func (e *Entry) AppendMeta(b []byte) []byte {
	b = append(b, codecVersion, byte(e.Life.Flags))
	b = binary.AppendUvarint(b, uint64(e.Status))
	b = binary.AppendUvarint(b, uint64(e.Ticket))
	b = binary.AppendVarint(b, e.Life.Born.UnixNano())
	for _, d := range [...]time.Duration{e.Life.TTL, e.Life.WhileRevalidate, e.Life.IfError, e.Life.Keep, e.Cost} {
		b = binary.AppendVarint(b, int64(d))
	}
	b = binary.AppendUvarint(b, uint64(len(e.Body)))
	if e.Parts == nil {
		b = append(b, 0)
	} else {
		// One more, because an entry of no parts yet is not a complete one.
		b = binary.AppendUvarint(b, uint64(len(e.Parts))+1)
		b = binary.AppendVarint(b, e.Size)
		for _, p := range e.Parts {
			b = binary.AppendVarint(b, p.From)
			b = binary.AppendVarint(b, p.Len)
		}
	}
	for _, s := range [...]string{string(e.Key), e.Vary, string(e.Pick), string(e.Alt)} {
		b = appendText(b, s)
	}
	for _, h := range [...]Head{e.Head, e.Hidden, e.Trailer} {
		b = binary.AppendUvarint(b, uint64(h.Len()))
		b = h.AppendTo(b)
	}
	return appendText(appendText(b, string(e.Tags)), string(e.Deps))
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// DecodeMeta returns the entry whose AppendMeta begins b, without its Body, the
// length of that Body, and the bytes after the encoding. The entry's strings
// share b's memory: nobody may write to b afterwards.
func DecodeMeta(b []byte) (e Entry, body int, rest []byte, err error) {
	body, rest, err = e.ReadMeta(b)
	return e, body, rest, err
}

// ReadMeta is DecodeMeta into e, whose Body it leaves nil. After an error e is
// the zero value.
func (e *Entry) ReadMeta(b []byte) (body int, rest []byte, err error) {
	*e = Entry{}
	if len(b) < 2 || b[0] != codecVersion {
		return 0, nil, fmt.Errorf("%w: version", ErrCodec)
	}
	d := decoder{b: b[2:]}
	e.Life.Flags = Flags(b[1])
	e.Status = int(d.uvarint())
	e.Ticket = Seq(d.uvarint())
	e.Life.Born = time.Unix(0, d.varint())
	for _, p := range [...]*time.Duration{&e.Life.TTL, &e.Life.WhileRevalidate, &e.Life.IfError, &e.Life.Keep, &e.Cost} {
		*p = time.Duration(d.varint())
	}
	body = int(d.uvarint())
	if n := d.uvarint(); n > 0 {
		if n--; n > uint64(len(d.b))/2 {
			*e = Entry{}
			return 0, nil, fmt.Errorf("%w: parts", ErrCodec)
		}
		e.Size = d.varint()
		e.Parts = make([]Part, n)
		for i := range e.Parts {
			e.Parts[i] = Part{From: d.varint(), Len: d.varint()}
		}
	}
	e.Key = Key(d.str())
	e.Vary = d.str()
	e.Pick = Pick(d.str())
	e.Alt = Pick(d.str())
	e.Head = HeadText(d.str())
	e.Hidden = HeadText(d.str())
	e.Trailer = HeadText(d.str())
	e.Tags = NameList(d.str())
	e.Deps = NameList(d.str())
	if d.bad || body < 0 {
		*e = Entry{}
		return 0, nil, fmt.Errorf("%w: cut short", ErrCodec)
	}
	return body, d.b, nil
}

// A decoder reads values off the front of b. After bad input it returns zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uvarint() uint64 {
	if len(d.b) > 0 && d.b[0] < 0x80 { // most are short
		v := d.b[0]
		d.b = d.b[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v := d.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

func (d *decoder) str() string {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return ""
	}
	if n == 0 {
		return ""
	}
	s := unsafe.String(&d.b[0], int(n))
	d.b = d.b[n:]
	return s
}
