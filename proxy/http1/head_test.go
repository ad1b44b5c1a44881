package http1

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// TestHead: which heads are read here. All others are net/http's.
func TestHead(t *testing.T) {
	for _, c := range []struct {
		name, head string
		ok         bool
	}{
		{"plain", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nA: b\r\n\r\n", true},
		{"no reason", "HTTP/1.1 200\r\n\r\n", true},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nTrailer: X-A, x-b\r\n\r\n", true},
		{"one field twice", "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nset-cookie: b\r\nSet-Cookie: c\r\n\r\n", true},
		{"blanks around a value", "HTTP/1.1 200 OK\r\nA: \t b c \t\r\nB:\r\n\r\n", true},
		{"closes", "HTTP/1.1 200 OK\r\nConnection: keep-alive, Close\r\n\r\n", true},
		{"Pragma", "HTTP/1.1 200 OK\r\nPragma: no-cache\r\n\r\n", true},
		{"beyond ASCII", "HTTP/1.1 200 OK\r\nX: \xc3\xa9\xff\r\n\r\n", true},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\n", false},
		{"status below 100", "HTTP/1.1 099 No\r\n\r\n", false},
		{"four digits", "HTTP/1.1 2000 OK\r\n\r\n", false},
		{"LF alone", "HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n", false},
		{"a field that goes on", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", false},
		{"no colon", "HTTP/1.1 200 OK\r\nA\r\n\r\n", false},
		{"no name", "HTTP/1.1 200 OK\r\n: b\r\n\r\n", false},
		{"a blank before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\n", false},
		{"two lengths alike", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", false},
		{"a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\n", false},
		{"a signed length", "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\n", false},
		{"length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", false},
		{"another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", false},
		{"chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", false},
		{"a length announced as trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n", false},
		{"a NUL", "HTTP/1.1 200 OK\r\nA: b\x00c\r\n\r\n", false},
		{"a CR within a value", "HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := agrees(t, []byte(c.head), http.MethodGet); got != c.ok {
				t.Errorf("read here: %v, want %v", got, c.ok)
			}
		})
	}
}

// agrees reports whether a head is read here, and that net/http reads it as that.
func agrees(t *testing.T, b []byte, method string) bool {
	var h heading
	if end, plain := headEnd(b, 0); end != len(b) || !plain || !h.parse(bytes.Clone(b)) {
		return false
	}
	r := &http.Request{Method: method}
	want, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), r)
	if err != nil {
		t.Fatalf("%q is taken here, and not by net/http: %v", b, err)
	}
	if want.Close {
		// net/http forgets what else it names, which is no more for others than that.
		want.Header["Connection"] = h.fields["Connection"]
	}
	l := &link{c: New(Options{}), conn: closedConn{}, room: &room{in: make([]byte, 1)}}
	got := l.respond(r, &h)
	if want.Body == http.NoBody && (method != http.MethodHead || want.StatusCode == 204 || want.StatusCode == 304) {
		want.ContentLength = got.ContentLength // of no content there is none, or it is unknown
	}
	if got.Header["Connection"] == nil {
		delete(want.Header, "Connection")
	}
	for _, x := range []struct {
		what      string
		got, want any
	}{
		{"status", got.StatusCode, want.StatusCode}, {"status", got.Status, want.Status}, {"fields", got.Header, want.Header},
		{"length", got.ContentLength, want.ContentLength}, {"coding", got.TransferEncoding, want.TransferEncoding},
		{"trailer", len(got.Trailer), len(want.Trailer)}, {"no content", got.Body == http.NoBody, want.Body == http.NoBody},
	} {
		if !reflect.DeepEqual(x.got, x.want) {
			t.Errorf("%q: %s is %#v here, to net/http %#v", b, x.what, x.got, x.want)
		}
	}
	for k := range want.Trailer {
		if _, ok := got.Trailer[k]; !ok {
			t.Errorf("%q: the trailer %s is not announced", b, k)
		}
	}
	// To close one connection too many is no harm.
	if want.Close && !got.Close {
		t.Errorf("%q: the connection closes, and not here", b)
	}
	return true
}

type closedConn struct{ net.Conn }

func (closedConn) Close() error { return nil }

// FuzzHead: what is read here net/http reads as the same.
func FuzzHead(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nCache-Control: max-age=60\r\nVary: Accept-Encoding\r\n\r\n", false)
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n", true)
	f.Add("HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\nPragma: no-cache\r\n\r\n", false)
	f.Add("HTTP/1.1 200  OK \r\nConnection: close\r\nA:b\r\na: c\r\n\r\n", false)
	f.Fuzz(func(t *testing.T, head string, isHead bool) {
		method := http.MethodGet
		if isHead {
			method = http.MethodHead
		}
		if strings.HasPrefix(head, "HTTP/1.1 1") {
			return // interim, or no response to this
		}
		agrees(t, []byte(head), method)
	})
}

// FuzzContent: whatever comes, its content is the one that net/http would read,
// or broken where that is.
func FuzzContent(f *testing.F) {
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", uint8(0))
	f.Add("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", uint8(1))
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n", uint8(2))
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nffffffffffffffff\r\n", uint8(3))
	f.Add("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n03 \r\nabc\r\n00\r\n\r\n", uint8(0))
	f.Add("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n\r\nabc", uint8(9))
	f.Add("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", uint8(0))
	f.Fuzz(func(t *testing.T, wire string, cut uint8) {
		got, gotTrailer, gotErr := readHere(t, wire, int(cut))
		want, wantTrailer, wantErr := readByNetHTTP(wire)
		if gotErr == nil && (wantErr != nil || got != want || !reflect.DeepEqual(gotTrailer, wantTrailer)) {
			t.Errorf("%q: %q, %v here, and %q, %v, %v to net/http", wire, got, gotTrailer, want, wantTrailer, wantErr)
		}
		// Here one may be stricter, as about the trailer; but never about ordinary framing.
		if gotErr != nil && wantErr == nil && !strings.Contains(gotErr.Error(), "chunks") {
			t.Errorf("%q: %v here, and well to net/http", wire, gotErr)
		}
	})
}

// readHere reads a response that comes in two pieces.
func readHere(t *testing.T, wire string, cut int) (string, http.Header, error) {
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		if _, err := http.ReadRequest(bufio.NewReader(theirs)); err != nil {
			return
		}
		cut = min(cut, len(wire))
		for _, piece := range []string{wire[:cut], wire[cut:]} {
			if _, err := io.WriteString(theirs, piece); err != nil {
				return
			}
		}
	}()
	r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://shop.example/", nil)
	m := &room{in: make([]byte, roomSize)}
	m.out, _ = m.appendRequest(nil, r, "/")
	resp, err := newLink(New(Options{}), ours).exchange(r, m, nil)
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), valued(resp.Trailer), err
}

func readByNetHTTP(wire string) (string, http.Header, error) {
	br := bufio.NewReader(strings.NewReader(wire))
	for {
		resp, err := http.ReadResponse(br, &http.Request{Method: "GET"})
		if err != nil {
			return "", nil, err
		}
		if resp.StatusCode/100 == 1 && resp.StatusCode != 101 {
			continue
		}
		b, err := io.ReadAll(resp.Body)
		return string(b), valued(resp.Trailer), err
	}
}

// valued returns the trailers that have values.
func valued(h http.Header) http.Header {
	out := http.Header{}
	for k, v := range h {
		if v != nil {
			out[k] = v
		}
	}
	return out
}
