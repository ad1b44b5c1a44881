package proxy

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"surrogate/store"
)

func TestParseContentRange(t *testing.T) {
	for _, c := range []struct {
		v    string
		part store.Part
		size int64
		ok   bool
	}{
		{"bytes 0-4/10", store.Part{From: 0, Len: 5}, 10, true},
		{"bytes 4-9/10", store.Part{From: 4, Len: 6}, 10, true},
		{"BYTES 4-9/*", store.Part{From: 4, Len: 6}, -1, true},
		{" bytes 9-9/10 ", store.Part{From: 9, Len: 1}, 10, true},
		{"bytes 5-10/10", store.Part{}, -1, false},
		{"bytes 5-4/10", store.Part{}, -1, false},
		{"bytes */10", store.Part{}, -1, false},
		{"bytes 0-4", store.Part{}, -1, false},
		{"bytes=0-4/10", store.Part{}, -1, false},
		{"lines 0-4/10", store.Part{}, -1, false},
		{"bytes -4/10", store.Part{}, -1, false},
		{"bytes +0-4/10", store.Part{}, -1, false},
		{"bytes 0-99999999999999999999/*", store.Part{}, -1, false},
		{"", store.Part{}, -1, false},
	} {
		part, size, ok := parseContentRange(c.v)
		if part != c.part || size != c.size || ok != c.ok {
			t.Errorf("%q: %v of %d, %v", c.v, part, size, ok)
		}
	}
}

// TestParseRange: RFC 9110 sections 14.1 and 14.2. want is the ranges, "ignore"
// or "416".
func TestParseRange(t *testing.T) {
	for _, c := range []struct {
		v    string
		size int64
		want string
	}{
		{"bytes=0-1", 10, "0-1"},
		{"bytes=0-0", 10, "0-0"},
		{"Bytes=0-1", 10, "0-1"},
		{"bytes=5-", 10, "5-9 open"},
		{"bytes=-3", 10, "7-9 suffix"},
		{"bytes=-30", 10, "0-9 suffix"},
		{"bytes=-0", 10, "416"},
		{"bytes=5-99", 10, "5-9"},
		{"bytes=5-99999999999999999999", 10, "5-9"},
		{"bytes=10-", 10, "416"},
		{"bytes=10-12", 10, "416"},
		{"bytes=99999999999999999999-", 10, "416"},
		{"bytes=0-1, 4-5", 10, "0-1 4-5"},
		{"bytes=0-1,,\t4-5", 10, "0-1 4-5"},
		{"bytes=4-5,0-1", 10, "4-5 0-1"},
		{"bytes=0-1,20-30", 10, "0-1"},
		{"bytes=0-,0-,0-", 10, "ignore"}, // more than there is
		{"bytes=" + strings.Repeat("0-0,", maxRanges), 100, strings.TrimSpace(strings.Repeat("0-0 ", maxRanges))},
		{"bytes=" + strings.Repeat("0-0,", maxRanges+1), 100, "ignore"},
		{"bytes=5-4", 10, "ignore"},
		{"bytes=a-b", 10, "ignore"},
		{"bytes=5", 10, "ignore"},
		{"bytes=-", 10, "ignore"},
		{"bytes=", 10, "ignore"},
		{"bytes", 10, "ignore"},
		{"", 10, "ignore"},
		{"bytes=0-1,x", 10, "ignore"},
		{"bytes=+1-2", 10, "ignore"},
		{"bytes=1 - 2", 10, "ignore"},
		{"lines=1-2", 10, "ignore"},
		{"bytes=0-0", 0, "ignore"},
		{"bytes=-1", 0, "ignore"},
		{"bytes=3-4", -1, "3-4"},
		{"bytes=3-", -1, "ignore"},
		{"bytes=-3", -1, "ignore"},
	} {
		ranges, ok, satisfiable := parseRange(c.v, c.size)
		var got []string
		for _, r := range ranges {
			s := fmt.Sprintf("%d-%d", r.from, r.to)
			if r.open {
				s += " open"
			}
			if r.suffix {
				s += " suffix"
			}
			got = append(got, s)
		}
		s := strings.Join(got, " ")
		switch {
		case !ok:
			s = "ignore"
		case !satisfiable:
			s = "416"
		}
		if s != c.want {
			t.Errorf("%q of %d: %s, want %s", c.v, c.size, s, c.want)
		}
	}
}

const ten = "0123456789"

func partEntry(head string, size int64, body string, parts ...store.Part) *store.Entry {
	return &store.Entry{Status: 206, Head: store.HeadOf(fields(head)), Body: []byte(body), Parts: parts, Size: size, Life: store.Life{Born: epoch}}
}

func TestSlicePart(t *testing.T) {
	whole := &store.Entry{Status: 200, Body: []byte(ten)}
	start := partEntry("", 10, ten[:5], store.Part{From: 0, Len: 5})
	end := partEntry("", 10, ten[5:], store.Part{From: 5, Len: 5})
	both := partEntry("", 10, ten[:3]+ten[7:], store.Part{From: 0, Len: 3}, store.Part{From: 7, Len: 3})
	unknown := partEntry("", -1, ten[2:5], store.Part{From: 2, Len: 3})
	// The public test suite for caches has a 206 with one byte less than its
	// Content-Range says, and wants all four of these from it.
	short := partEntry("", 10, "01234", store.Part{From: 4, Len: 6})
	inner := partEntry("", 10, "01", store.Part{From: 1, Len: 3})
	for _, c := range []struct {
		says string
		e    *store.Entry
		size int64
		rng  string
		want string
	}{
		{"all of a complete entry", whole, 10, "bytes=0-", ten},
		{"some of it", whole, 10, "bytes=3-4", "34"},
		{"its end", whole, 10, "bytes=-2", "89"},
		{"within the part", start, 10, "bytes=1-3", "123"},
		{"all of the part", start, 10, "bytes=0-4", "01234"},
		{"beyond the part", start, 10, "bytes=4-5", ""},
		{"to the end, which is not there", start, 10, "bytes=1-", ""},
		{"the last bytes, which are not there", start, 10, "bytes=-1", ""},
		{"to the end", end, 10, "bytes=7-", "789"},
		{"the last bytes", end, 10, "bytes=-5", "56789"},
		{"more last bytes than are there", end, 10, "bytes=-6", ""},
		{"before the part", end, 10, "bytes=4-5", ""},
		{"the first of two", both, 10, "bytes=1-2", "12"},
		{"the second of two", both, 10, "bytes=8-8", "8"},
		{"across the gap", both, 10, "bytes=2-7", ""},
		{"in the gap", both, 10, "bytes=4-5", ""},
		{"of a size unknown", unknown, -1, "bytes=3-4", "34"},
		{"mislabelled, the same range again", short, 10, "bytes=-5", "01234"},
		{"mislabelled, from the first byte", short, 10, "bytes=6-8", "234"},
		{"mislabelled, to the end", short, 10, "bytes=6-", "234"},
		{"mislabelled, the last byte", short, 10, "bytes=-1", "4"},
		{"mislabelled, a byte that never came", short, 10, "bytes=6-9", ""},
		{"mislabelled, and not the end", inner, 10, "bytes=2-", ""},
		{"mislabelled, more than came", short, 10, "bytes=-6", ""},
	} {
		ranges, ok, satisfiable := parseRange(c.rng, c.size)
		if !ok || !satisfiable {
			t.Fatalf("%s: %q", c.says, c.rng)
		}
		got, ok := slicePart(c.e, ranges[0])
		if string(got) != c.want || ok != (c.want != "") {
			t.Errorf("%s: %q, %v", c.says, got, ok)
		}
		if ok && cap(got) != len(got) {
			t.Errorf("%s: appending would write into the entry", c.says)
		}
	}
}

// TestCombine: RFC 9111 section 3.4, RFC 9110 section 15.3.7.3.
func TestCombine(t *testing.T) {
	const tag = `ETag: "a"`
	part := func(head string, from, to int64) *store.Entry {
		return partEntry(head, 10, ten[from:to], store.Part{From: from, Len: to - from})
	}
	for _, c := range []struct {
		says     string
		old, new *store.Entry
		want     string // the content, with "." for what is missing; "" when they cannot be combined
	}{
		{"start and end", part(tag, 0, 5), part(tag, 5, 10), ten},
		{"end and start", part(tag, 5, 10), part(tag, 0, 5), ten},
		{"with an overlap", part(tag, 0, 7), part(tag, 3, 10), ten},
		{"one within the other", part(tag, 0, 9), part(tag, 3, 5), "012345678."},
		{"with a gap", part(tag, 0, 3), part(tag, 7, 10), "012....789"},
		{"two parts and what is between", partEntry(tag, 10, "01289", store.Part{From: 0, Len: 3}, store.Part{From: 8, Len: 2}), part(tag, 3, 8), ten},
		{"a strong date", part("Last-Modified: @-60\nDate: @", 0, 5), part("Last-Modified: @-60\nDate: @", 5, 10), ten},
		{"a weak date", part("Last-Modified: @-59\nDate: @", 0, 5), part("Last-Modified: @-59\nDate: @", 5, 10), ""},
		{"no validators", part("", 0, 5), part("", 5, 10), ""},
		{"weak tags", part(`ETag: W/"a"`, 0, 5), part(`ETag: W/"a"`, 5, 10), ""},
		{"another tag", part(tag, 0, 5), part(`ETag: "b"`, 5, 10), ""},
		{"one without a tag", part(tag, 0, 5), part("", 5, 10), ""},
		{"another coding", part(tag, 0, 5), part(tag+"\nContent-Encoding: gzip", 5, 10), ""},
		{"another size", part(tag, 0, 5), partEntry(tag, 11, ten[5:], store.Part{From: 5, Len: 5}), ""},
		{"a size only the old one knows", part(tag, 0, 5), partEntry(tag, -1, ten[5:], store.Part{From: 5, Len: 5}), ten},
		{"a size only the new one knows", partEntry(tag, -1, ten[:5], store.Part{From: 0, Len: 5}), part(tag, 5, 10), ten},
		{"a part beyond the size", partEntry(tag, -1, ten, store.Part{From: 5, Len: 10}), part(tag, 0, 5), ""},
		{"a part shorter than it says", partEntry(tag, 10, "01", store.Part{From: 0, Len: 5}), part(tag, 5, 10), ""},
		{"a new part shorter than it says", part(tag, 0, 5), partEntry(tag, 10, "56", store.Part{From: 5, Len: 5}), ""},
		{"a part longer than it says", partEntry(tag, 10, ten, store.Part{From: 0, Len: 5}), part(tag, 5, 10), ""},
	} {
		got, ok := combine(c.old, c.new)
		if ok != (c.want != "") {
			t.Errorf("%s: %v", c.says, ok)
			continue
		}
		if !ok {
			continue
		}
		shown := []byte("..........")
		if got.Complete() {
			copy(shown, got.Body)
			if got.Status != 200 || got.Head.Get("Content-Length") != "10" || got.Head.Has("Content-Range") {
				t.Errorf("%s: complete, but %d %q", c.says, got.Status, got.Head)
			}
		}
		off := int64(0)
		for _, p := range got.Parts {
			copy(shown[p.From:p.From+p.Len], got.Body[off:off+p.Len])
			off += p.Len
		}
		if string(shown) != c.want {
			t.Errorf("%s: %s", c.says, shown)
		}
		if got.Complete() == strings.Contains(c.want, ".") {
			t.Errorf("%s: complete is %v", c.says, got.Complete())
		}
	}
	// The new response's fields over the old one's.
	got, _ := combine(part(tag+"\nX: old\nY: old\nContent-Range: bytes 0-4/10\nContent-Length: 5", 0, 5), part(tag+"\nX: new\nContent-Range: bytes 5-9/10", 5, 10))
	if got.Head.Get("X") != "new" || got.Head.Get("Y") != "old" {
		t.Errorf("%q", got.Head)
	}
}

// TestMakeWhole: a 206 that holds everything is a complete response.
func TestMakeWhole(t *testing.T) {
	for _, c := range []struct {
		says string
		e    *store.Entry
		want bool
	}{
		{"all of it", partEntry("Content-Range: bytes 0-9/10", 10, ten, store.Part{From: 0, Len: 10}), true},
		{"its end missing", partEntry("", 10, ten[:5], store.Part{From: 0, Len: 5}), false},
		{"its start missing", partEntry("", 10, ten[5:], store.Part{From: 5, Len: 5}), false},
		{"of a size unknown", partEntry("", -1, ten, store.Part{From: 0, Len: 10}), false},
		{"less than it says", partEntry("", 10, ten[:9], store.Part{From: 0, Len: 10}), false},
	} {
		makeWhole(c.e)
		if c.e.Complete() != c.want {
			t.Errorf("%s: complete is %v", c.says, c.e.Complete())
		}
		if c.want && (c.e.Status != 200 || c.e.Head.Has("Content-Range") || c.e.Head.Get("Content-Length") != "10") {
			t.Errorf("%s: %d %q", c.says, c.e.Status, c.e.Head)
		}
	}
}

func TestMissingRange(t *testing.T) {
	for _, c := range []struct {
		says string
		e    *store.Entry
		want string
	}{
		{"its end", partEntry(`ETag: "a"`, 10, ten[:5], store.Part{From: 0, Len: 5}), `bytes=5- "a"`},
		{"its end, of a size unknown", partEntry(`ETag: "a"`, -1, ten[:5], store.Part{From: 0, Len: 5}), `bytes=5- "a"`},
		{"its start", partEntry(`ETag: "a"`, 10, ten[5:], store.Part{From: 5, Len: 5}), `bytes=0-4 "a"`},
		{"its middle", partEntry(`ETag: "a"`, 10, ten[:3]+ten[7:], store.Part{From: 0, Len: 3}, store.Part{From: 7, Len: 3}), `bytes=3-6 "a"`},
		{"both ends", partEntry(`ETag: "a"`, 10, ten[3:5], store.Part{From: 3, Len: 2}), ""},
		{"its start, of a size unknown", partEntry(`ETag: "a"`, -1, ten[5:], store.Part{From: 5, Len: 5}), ""},
		{"no strong validator", partEntry(`ETag: W/"a"`, 10, ten[:5], store.Part{From: 0, Len: 5}), "bytes=5- "},
		{"a strong date", partEntry("Last-Modified: Wed, 04 Mar 2026 05:00:00 GMT\nDate: @", 10, ten[:5], store.Part{From: 0, Len: 5}), "bytes=5- Wed, 04 Mar 2026 05:00:00 GMT"},
		{"nothing", &store.Entry{Status: 200, Body: []byte(ten)}, ""},
		{"nothing, though in a part", partEntry(`ETag: "a"`, 10, ten, store.Part{From: 0, Len: 10}), ""},
		{"what a mislabelled part lacks, nobody knows", partEntry(`ETag: "a"`, 10, ten[:4], store.Part{From: 0, Len: 5}), ""},
	} {
		rng, ifRange, ok := missingRange(c.e)
		if got := rng + " " + ifRange; got != orElse(c.want, " ") || ok != (c.want != "") {
			t.Errorf("%s: %q, %v", c.says, got, ok)
		}
	}
}

// FuzzRange: whatever is asked for, what comes out of any set of parts is what
// the whole has there.
func FuzzRange(f *testing.F) {
	f.Add("bytes=0-1", uint16(0b1111100000))
	f.Add("bytes=-3", uint16(0b0000011111))
	f.Add("bytes=5-", uint16(0b1110001111))
	f.Fuzz(func(t *testing.T, v string, held uint16) {
		e := partEntry(`ETag: "a"`, 10, "")
		for i := range int64(10) {
			if held&(1<<i) == 0 {
				continue
			}
			one := partEntry(`ETag: "a"`, 10, ten[i:i+1], store.Part{From: i, Len: 1})
			if e.Parts == nil {
				e = one
				continue
			}
			c, ok := combine(e, one)
			if !ok {
				t.Fatal("parts of one representation do not combine")
			}
			e = &c
		}
		if held&0x3ff == 0x3ff != e.Complete() && held&0x3ff != 0 {
			t.Fatalf("%b held, complete is %v", held, e.Complete())
		}
		ranges, ok, satisfiable := parseRange(v, 10)
		if satisfiable && !ok {
			t.Fatal("satisfiable, but to be ignored")
		}
		if e.Parts == nil && !e.Complete() || held&0x3ff == 0 {
			return
		}
		for _, r := range ranges {
			if r.from < 0 || r.from > r.to || r.to > 9 {
				t.Fatalf("%q: %+v", v, r)
			}
			all := true
			for i := r.from; i <= r.to; i++ {
				all = all && held&(1<<i) != 0
			}
			got, ok := slicePart(e, r)
			if ok != all || ok && !bytes.Equal(got, []byte(ten[r.from:r.to+1])) {
				t.Fatalf("%q of %b: %q, %v", v, held, got, ok)
			}
		}
	})
}
