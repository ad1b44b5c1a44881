package store_test

import (
	"bytes"
	"errors"
	"math"
	"net/http"
	"reflect"
	"slices"
	"testing"
	"time"

	"surrogate/store"
)

func full() store.Entry {
	return store.Entry{
		Key: "https://h/a?b", Vary: "x,y", Pick: "x: 1\n", Alt: "x: =\n", Status: 206,
		Head: store.HeadText("A: b\r\nA: \r\n"), Hidden: store.HeadText("Surrogate-Control: x\r\n"), Trailer: store.HeadText("T: u\r\n"), Body: []byte("body"),
		Parts: []store.Part{{From: 0, Len: 2}, {From: 7, Len: 2}}, Size: -1,
		Tags: "t\nu", Deps: "d",
		Life: store.Life{
			Born: time.Unix(1_700_000_000, 123), TTL: math.MaxInt64, WhileRevalidate: 1, IfError: 2, Keep: 3,
			Flags: store.NoCache | store.CatchAll,
		},
		Ticket: math.MaxUint64, Cost: time.Second,
	}
}

func TestCodec(t *testing.T) {
	noParts := full()
	noParts.Parts = []store.Part{}
	complete := full()
	complete.Parts, complete.Size = nil, 0
	for _, want := range []store.Entry{{Life: store.Life{Born: time.Unix(0, 0)}}, full(), noParts, complete} {
		b := want.AppendMeta([]byte("before"))
		got, n, rest, err := store.DecodeMeta(append(b, "after"...)[len("before"):])
		if err != nil || n != len(want.Body) || string(rest) != "after" {
			t.Fatalf("%d, %q, %v", n, rest, err)
		}
		got.Body = want.Body
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got\n%+v\nwant\n%+v", got, want)
		}
	}
}

// An entry has no field that the codec leaves out.
func TestCodecKnowsEveryField(t *testing.T) {
	e := full()
	v := reflect.ValueOf(e)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("the test's entry has no %s", v.Type().Field(i).Name)
		}
	}
}

// Cut short anywhere, an encoding does not decode.
func TestCodecCutShort(t *testing.T) {
	e := full()
	b := e.AppendMeta(nil)
	for i := range b {
		if _, _, _, err := store.DecodeMeta(b[:i]); !errors.Is(err, store.ErrCodec) {
			t.Fatalf("%d of %d bytes: %v", i, len(b), err)
		}
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	e := full()
	e.Parts = nil
	b := e.AppendMeta(nil)
	if n := testing.AllocsPerRun(100, func() {
		if e, _, _, err := store.DecodeMeta(b); err != nil || e.Status != 206 {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Whatever the bytes, decoding them neither panics nor takes much memory, and
// what decodes comes back the same from its own encoding.
func FuzzDecodeMeta(f *testing.F) {
	e := full()
	f.Add(e.AppendMeta(nil))
	e.Parts = nil
	f.Add(append(e.AppendMeta(nil), "rest"...))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, n, rest, err := store.DecodeMeta(b)
		if err != nil {
			if !errors.Is(err, store.ErrCodec) {
				t.Errorf("the error is %v", err)
			}
			return
		}
		if n < 0 || len(rest) > len(b) || !bytes.HasSuffix(b, rest) {
			t.Fatalf("a body of %d and %d bytes left of %d", n, len(rest), len(b))
		}
		again, _, left, err := store.DecodeMeta(e.AppendMeta(nil))
		if err != nil || len(left) != 0 || !reflect.DeepEqual(again, e) {
			t.Errorf("%+v comes back as %+v, %v", e, again, err)
		}
	})
}

func TestHead(t *testing.T) {
	h := http.Header{"A": {"1", "2"}, "B": {""}}
	head := store.HeadOf(h)
	if got := head.Header(); !reflect.DeepEqual(got, h) {
		t.Errorf("%q comes back as %q", h, got)
	}
	if head.Get("A") != "1" || head.Get("B") != "" || head.Get("C") != "" {
		t.Errorf("Get: %q", head)
	}
	if !head.Has("B") || head.Has("C") || head.Has("b") {
		t.Errorf("Has: %q", head)
	}
	if got := head.Values("a"); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("Values: %q", got)
	}
	into := http.Header{"A": {"0"}}
	if head.AddTo(into); !slices.Equal(into["A"], []string{"0", "1", "2"}) {
		t.Errorf("AddTo: %q", into)
	}
}

func TestLife(t *testing.T) {
	born := time.Unix(1000, 0)
	l := store.Life{Born: born, TTL: 10 * time.Second, WhileRevalidate: 5 * time.Second, IfError: 7 * time.Second, Keep: time.Second}
	if got := l.Expires(); !got.Equal(born.Add(10 * time.Second)) {
		t.Errorf("expires %v", got)
	}
	if got := l.Ends(); !got.Equal(born.Add(17 * time.Second)) {
		t.Errorf("ends %v", got)
	}
	l.TTL, l.Keep = math.MaxInt64, math.MaxInt64
	if got := l.Ends(); !got.Equal(born.Add(math.MaxInt64)) {
		t.Errorf("ends %v", got)
	}
}
