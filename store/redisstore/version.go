package redisstore

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"
	"unsafe"

	"surrogate/store"
)

// An id stands for a URL or a name in Redis keys: they have one length whatever
// the text, and no braces. What it stands for is compared with where it matters.
type id [16]byte

func idOf(text string) id {
	sum := sha256.Sum256(unsafe.Slice(unsafe.StringData(text), len(text)))
	return id(sum[:16])
}

func (x id) String() string { return base64.RawURLEncoding.EncodeToString(x[:]) }

// A place is where the entries of a key are: in the slot of its URL, which both
// schemes share with what is known of the URL's dependents.
type place struct {
	url    id
	scheme byte // the first letter behind "http": 's', or ':'
}

func placeOf(k store.Key) place {
	p := place{url: idOf(k.URL()), scheme: ':'}
	if k.Scheme() == "https" {
		p.scheme = 's'
	}
	return p
}

// schemes are those a URL can have entries under.
var schemes = [...]byte{':', 's'}

// entries is the hash with the entries of a place.
func (i *incarnation) entries(p place) string {
	if p.scheme == 's' {
		return i.key("es", p.url.String())
	}
	return i.key("e", p.url.String())
}

// node is the hash with what is known of a URL's dependents and names.
func (i *incarnation) node(url id) string { return i.key("n", url.String()) }

// A pickID stands for a pick among those of a key.
type pickID [8]byte

func pickIDOf(p store.Pick) (id pickID) {
	if p != "" {
		sum := sha256.Sum256(unsafe.Slice(unsafe.StringData(string(p)), len(p)))
		copy(id[:], sum[:])
	}
	return id
}

func (p pickID) field(kind string) string { return kind + string(p[:]) }

// A version is one entry as it was stored once: no two have the same gen, so
// whoever removes an old one never removes the new. Redis has it as 32 bytes, at
// the end of an entry's meta, in its key's order and in the index.
type version struct {
	pick pickID
	gen  [12]byte // when it was stored, milliseconds in 6 bytes, and chance
	ends int64    // unix milliseconds
	held int64
}

const versionLen = 8 + 12 + 6 + 6

func newVersion(e *store.Entry, ends, now time.Time) version {
	v := version{pick: pickIDOf(e.Pick), ends: ends.UnixMilli(), held: e.Bytes()}
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(now.UnixMilli()))
	copy(v.gen[:6], b[2:])
	binary.BigEndian.PutUint64(b[:], rand.Uint64())
	copy(v.gen[6:], b[2:])
	return v
}

func (v *version) append(b []byte) []byte {
	b = append(b, v.pick[:]...)
	b = append(b, v.gen[:]...)
	b = appendInt6(b, v.ends)
	return appendInt6(b, v.held)
}

func appendInt6(b []byte, n int64) []byte {
	var x [8]byte
	binary.BigEndian.PutUint64(x[:], uint64(n))
	return append(b, x[2:]...)
}

func int6(s string) (n int64) {
	for i := range 6 {
		n = n<<8 | int64(s[i])
	}
	return n
}

// versionOf reads what append wrote.
func versionOf(s string) (v version) {
	copy(v.pick[:], s)
	copy(v.gen[:], s[8:])
	v.ends, v.held = int6(s[20:]), int6(s[26:])
	return v
}

// stored is when it was stored, by the clock of whoever did.
func (v *version) stored() int64 { return int6(string(v.gen[:6])) }

// versions reads a key's order: the least recently stored comes first.
func versions(order string) []version {
	vs := make([]version, 0, len(order)/versionLen)
	for ; len(order) >= versionLen; order = order[versionLen:] {
		vs = append(vs, versionOf(order))
	}
	return vs
}

// A kept is an entry as Redis has it, without its body.
type kept struct {
	store.Entry
	version
	body    int  // its length
	chunked bool // the body is in chunks
}

const (
	inline  = 0
	chunked = 1
)

// encode is what the entry's meta field holds.
func encode(e *store.Entry, v *version, where byte) []byte {
	b := make([]byte, 0, 256+len(e.Key)+e.Head.Len()+e.Hidden.Len()+e.Trailer.Len()+len(e.Tags)+len(e.Deps)+len(e.Vary)+len(e.Pick)+len(e.Alt))
	return v.append(append(e.AppendMeta(b), where))
}

// decode reads what encode wrote. Nobody writes to the string's bytes: it is a
// string.
func decode(meta string) (k kept, err error) {
	e, n, rest, err := store.DecodeMeta(unsafe.Slice(unsafe.StringData(meta), len(meta)))
	if err != nil {
		return kept{}, err
	}
	if len(rest) != 1+versionLen {
		return kept{}, fmt.Errorf("%w: its end", store.ErrCodec)
	}
	return kept{Entry: e, version: versionOf(string(rest[1:])), body: n, chunked: rest[0] == chunked}, nil
}

// dead reports whether it is past its end.
func (v *version) dead(now time.Time) bool { return now.UnixMilli() >= v.ends }
