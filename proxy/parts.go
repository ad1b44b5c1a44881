package proxy

import (
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"surrogate/store"
)

// A byteRange is one range of a request, resolved against the representation's
// size: positions from and to, both inclusive.
type byteRange struct {
	from, to int64
	open     bool // was "5-": to the end
	suffix   bool // was "-5": the last bytes
}

// maxRanges is how many ranges one request may have; with more the field is
// ignored, as RFC 9110 section 14.2 allows.
const maxRanges = 32

// parseContentRange parses the Content-Range of a 206 (RFC 9110 section 14.4).
// size is the complete length, -1 when the field leaves it open.
func parseContentRange(v string) (part store.Part, size int64, ok bool) {
	unit, rest, _ := strings.Cut(strings.Trim(v, " \t"), " ")
	if !strings.EqualFold(unit, "bytes") {
		return part, -1, false
	}
	span, length, ok := strings.Cut(rest, "/")
	if !ok {
		return part, -1, false
	}
	size = -1
	if length != "*" {
		if size, ok = parseDigits(length); !ok {
			return part, -1, false
		}
	}
	first, last, _ := strings.Cut(span, "-")
	from, ok1 := parseDigits(first)
	to, ok2 := parseDigits(last)
	if !ok1 || !ok2 || to < from || to == math.MaxInt64 || size >= 0 && to >= size {
		return part, -1, false
	}
	return store.Part{From: from, Len: to - from + 1}, size, true
}

// parseRange parses a Range for a representation of size bytes (RFC 9110
// section 14.2); with a size of -1 only ranges with both ends are understood. ok
// is false when the field is to be ignored: another unit, bad syntax, too many
// ranges, or more bytes than there are. satisfiable is false when none of the
// ranges overlaps the representation (416). Ranges are returned in the order
// asked for, cut at the end, without those that cannot be satisfied.
func parseRange(v string, size int64) (ranges []byteRange, ok, satisfiable bool) {
	unit, set, found := strings.Cut(strings.Trim(v, " \t"), "=")
	if !found || !strings.EqualFold(unit, "bytes") || size == 0 {
		return nil, false, false
	}
	count, total := 0, int64(0)
	for spec := range strings.SplitSeq(set, ",") {
		spec = strings.Trim(spec, " \t")
		if spec == "" {
			continue
		}
		if count++; count > maxRanges {
			return nil, false, false
		}
		r, valid, fits := parseRangeSpec(spec, size)
		if !valid {
			return nil, false, false
		}
		if !fits {
			continue
		}
		ranges = append(ranges, r)
		if n := r.to - r.from; n >= math.MaxInt64-1-total {
			return nil, false, false
		}
		total += r.to - r.from + 1
	}
	if count == 0 || size > 0 && total > size {
		return nil, false, false
	}
	return ranges, true, len(ranges) > 0
}

// parseRangeSpec parses one range. fits is false when it cannot be satisfied.
func parseRangeSpec(spec string, size int64) (r byteRange, valid, fits bool) {
	first, last, found := strings.Cut(spec, "-")
	switch {
	case !found:
		return r, false, false
	case first == "": // the last n bytes
		n, ok := parseDigits(last)
		if !ok || size < 0 {
			return r, false, false
		}
		return byteRange{from: max(0, size-n), to: size - 1, suffix: true}, true, n > 0
	}
	var ok bool
	if r.from, ok = parseDigits(first); !ok {
		return r, false, false
	}
	if last == "" {
		if size < 0 {
			return r, false, false
		}
		r.to, r.open = size-1, true
		return r, true, r.from < size
	}
	if r.to, ok = parseDigits(last); !ok || r.to < r.from {
		return r, false, false
	}
	if size >= 0 {
		r.to = min(r.to, size-1)
		return r, true, r.from < size
	}
	return r, true, true
}

// parseDigits parses a number as RFC 9110's grammar writes it: digits only. What
// does not fit is the largest there is.
func parseDigits(v string) (int64, bool) {
	if v == "" || strings.ContainsFunc(v, func(c rune) bool { return c < '0' || c > '9' }) {
		return 0, false
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		n = math.MaxInt64
	}
	return n, true
}

// slicePart returns the content of a range that parseRange made for the entry's
// size, if the entry holds it.
//
// Origins are known whose 206 has less content than its Content-Range says
// (one off, mostly). Such a part is kept as labelled and counted from where the
// client counts: from its first byte, or for "-5" from its last, the answer the
// origin gave being right for one of them at least. "5-" then ends where the
// content does, as a server may always send less (RFC 9110 section 15.3.7).
// For a part that is as long as it says the two are the same.
func slicePart(e *store.Entry, r byteRange) ([]byte, bool) {
	if e.Complete() {
		if r.from < 0 || r.from > r.to || r.to >= int64(len(e.Body)) {
			return nil, false
		}
		return e.Body[r.from : r.to+1 : r.to+1], true
	}
	off := int64(0) // of the part in Body
	for _, part := range e.Parts {
		held := max(0, min(part.Len, int64(len(e.Body))-off))
		body := e.Body[off : off+held : off+held]
		off += held
		end := part.From + part.Len
		if r.from < part.From || r.from >= end || r.to >= end {
			continue
		}
		from, to := r.from-part.From, r.to-part.From+1
		if short := part.Len - held; short > 0 {
			switch {
			case r.suffix:
				from, to = from-short, to-short
			case r.open: // and this is the last part, or it would end before the range
				to = held
			}
		}
		if from < 0 || from >= to || to > held {
			return nil, false
		}
		return body[from:to:to], true
	}
	return nil, false
}

// A piece is content from a position on.
type piece struct {
	from int64
	body []byte
}

// pieces returns what e holds; ok is false when its content is not what its
// parts say.
func pieces(e *store.Entry) (ps []piece, ok bool) {
	if e.Complete() {
		return []piece{{0, e.Body}}, true
	}
	off := int64(0)
	for _, part := range e.Parts {
		if part.Len <= 0 || part.Len > int64(len(e.Body))-off {
			return nil, false
		}
		ps = append(ps, piece{part.From, e.Body[off : off+part.Len]})
		off += part.Len
	}
	return ps, off == int64(len(e.Body))
}

// combine puts the parts of old and new together, if they are of one
// representation (RFC 9111 section 3.4, RFC 9110 section 15.3.7.3): both have
// the same strong validator. The result is new with new's fields over old's;
// it is complete, and a 200, when nothing is missing any more.
func combine(old, new *store.Entry) (store.Entry, bool) {
	v := strongValidator(new)
	a, ok1 := pieces(old)
	b, ok2 := pieces(new)
	if !ok1 || !ok2 || v == "" || v != strongValidator(old) || !sameCoding(old, new) {
		return store.Entry{}, false
	}
	size := wholeSize(new)
	if s := wholeSize(old); s >= 0 {
		if size >= 0 && size != s {
			return store.Entry{}, false
		}
		size = s
	}
	out := *new
	out.Body, out.Parts = join(append(b, a...))
	out.Size = size
	last := out.Parts[len(out.Parts)-1]
	if size >= 0 && last.From+last.Len > size {
		return store.Entry{}, false
	}
	h := old.Head.Header()
	maps.Copy(h, new.Head.Header())
	delete(h, "Content-Range")
	delete(h, "Content-Length")
	out.Status, out.Head = http.StatusPartialContent, store.HeadOf(h)
	makeWhole(&out)
	return out, true
}

// makeWhole makes an entry that has parts, but lacks nothing, the complete one
// that it is: a 206 may well hold all there is. e must not be stored yet.
func makeWhole(e *store.Entry) {
	if len(e.Parts) != 1 || e.Parts[0] != (store.Part{From: 0, Len: e.Size}) || e.Size != int64(len(e.Body)) {
		return
	}
	h := e.Head.Header()
	delete(h, "Content-Range")
	h["Content-Length"] = []string{strconv.FormatInt(e.Size, 10)}
	e.Head, e.Status, e.Parts, e.Size = store.HeadOf(h), http.StatusOK, nil, 0
}

// sameCoding reports whether both have the same Content-Encoding: bytes of two
// codings are not of one representation, whatever their tags say.
func sameCoding(a, b *store.Entry) bool {
	return slices.Equal(a.Head.Values("Content-Encoding"), b.Head.Values("Content-Encoding"))
}

func wholeSize(e *store.Entry) int64 {
	if e.Complete() {
		return int64(len(e.Body))
	}
	return e.Size
}

// join merges pieces into parts without gaps or overlaps, and their content in
// a row. Where they overlap they are the same.
func join(ps []piece) (body []byte, parts []store.Part) {
	slices.SortStableFunc(ps, func(a, b piece) int {
		switch {
		case a.from < b.from:
			return -1
		case a.from > b.from:
			return 1
		}
		return 0
	})
	for _, p := range ps {
		if n := len(parts); n > 0 {
			last := &parts[n-1]
			if end := last.From + last.Len; p.from <= end {
				if more := p.from + int64(len(p.body)) - end; more > 0 {
					body = append(body, p.body[int64(len(p.body))-more:]...)
					last.Len += more
				}
				continue
			}
		}
		body = append(body, p.body...)
		parts = append(parts, store.Part{From: p.from, Len: int64(len(p.body))})
	}
	return body, parts
}

// missingRange returns the Range that would complete e, and the If-Range to go
// with it, "" when e has no strong validator: then a 206 cannot be combined
// with e (RFC 9111 section 3.4), and only a 200 is of use. ok is false when e
// lacks nothing, or more than one range.
func missingRange(e *store.Entry) (rng, ifRange string, ok bool) {
	if _, sound := pieces(e); e.Complete() || !sound || len(e.Parts) == 0 || len(e.Parts) > 2 {
		return "", "", false
	}
	first, last := e.Parts[0], e.Parts[len(e.Parts)-1]
	end := last.From + last.Len
	switch {
	case len(e.Parts) == 1 && first.From == 0 && end != e.Size:
		rng = "bytes=" + strconv.FormatInt(end, 10) + "-"
	case len(e.Parts) == 1 && first.From > 0 && end == e.Size:
		rng = "bytes=0-" + strconv.FormatInt(first.From-1, 10)
	case len(e.Parts) == 2 && first.From == 0 && end == e.Size:
		rng = "bytes=" + strconv.FormatInt(first.Len, 10) + "-" + strconv.FormatInt(last.From-1, 10)
	default:
		return "", "", false
	}
	return rng, strongValidator(e), true
}
