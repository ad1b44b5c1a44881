package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// framings are responses, each with the place, |, where it ends. What has none
// ends with its connection, or is refused.
var framings = []struct {
	name, method, wire string
	want               string // "" for one that may be followed by another, "odd", "open" or "refused"
}{
	{"exact", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc|", ""},
	{"surplus", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc|def", ""},
	{"a response as surplus", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc|HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
	{"no body", "GET", "HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n|x", ""},
	{"no reason", "GET", "HTTP/1.1 200\r\nContent-Length: 3 \t\r\n\r\nabc|", ""},
	{"two spaces", "GET", "HTTP/1.1  200 OK\r\nContent-Length: 3\r\n\r\nabc|", ""},
	{"bare line feeds", "GET", "HTTP/1.1 200 OK\nContent-Length: 3\n\nabc|\n", ""},
	{"zeros", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 00000000000000000003\r\n\r\nabc|", ""},
	{"a folded field", "GET", "HTTP/1.1 200 OK\r\nA: b\r\n  Content-Length: 9\r\n \r\nContent-Length: 3\r\n\r\nabc|", ""},
	{"HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\nabc|", ""},
	{"long lines", "GET", "HTTP/1.1 200 " + strings.Repeat("OK", 99) + "\r\nX: " + strings.Repeat("y", 300) + "\r\nContent-Length: 3\r\n\r\nabc|", ""},
	{"close", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc|", ""},

	{"chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10;x=\"y\"\r\n0123456789abcdef\r\n0\r\n\r\n|", ""},
	{"chunked with surplus", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding:CHUNKED\r\n\r\nA \r\n0123456789\r\n000\r\n\r\n|\r\n", ""},
	{"trailers", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n1\r\nx\r\n0\r\nA: b\r\n c\r\nD: e\r\n\r\n|HTTP/1.1 200 OK\r\n\r\n", ""},
	{"a line end in a chunk", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n|", ""},
	{"long chunk line", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;" + strings.Repeat("x", 200) + "\r\nabc\r\n0\r\n\r\n|", ""},

	{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n|abc", ""},
	{"HEAD chunked", "HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n|0\r\n\r\n", ""},
	{"204", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n|abc", ""},
	{"304", "GET", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n|0\r\n\r\n", ""},
	{"1xx", "GET", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc|d", ""},
	{"1xx and HEAD", "HEAD", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n|abc", ""},

	{"until the end", "GET", "HTTP/1.1 200 OK\r\n\r\nabc", "open"},
	{"until the end, HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nabc", "open"},
	{"a space before the colon", "GET", "HTTP/1.1 200 OK\r\nContent-Length : 3\r\n\r\nabcdef", "open"},
	{"101", "GET", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\nContent-Length: 3\r\n\r\nabcdef", "open"},
	{"cut", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nabc", "open"},
	{"a head without an end", "GET", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 99), "open"},

	{"length twice", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc|", "odd"},
	{"length and chunked", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n|", "odd"},
	{"chunked and length", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n1\r\nx\r\n0\r\n\r\n|", "odd"},
	{"chunked in HTTP/1.0", "GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc|", "odd"},

	{"lengths that differ", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "refused"},
	{"a list of lengths", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabcd", "refused"},
	{"a signed length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabcd", "refused"},
	{"a length below 0", "GET", "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabcd", "refused"},
	{"a length too large", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775808\r\n\r\nabcd", "refused"},
	{"an empty length", "GET", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nabcd", "refused"},
	{"a folded length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 0\r\n\r\nabcd", "refused"},
	{"a long length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: " + strings.Repeat("0", 60) + "3\r\n\r\nabcd", "refused"},
	{"a folded coding", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n x\r\n\r\n0\r\n\r\n", "refused"},
	{"gzip, chunked", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "refused"},
	{"two codings", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "refused"},
	{"identity", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 1\r\n\r\nx", "refused"},
	{"no HTTP", "GET", "hello\r\nContent-Length: 1\r\n\r\nx", "refused"},
	{"HTTP/2.0", "GET", "HTTP/2.0 200 OK\r\nContent-Length: 1\r\n\r\nx", "refused"},
	{"a signed status", "GET", "HTTP/1.1 +20 OK\r\nContent-Length: 1\r\n\r\nx", "refused"},
	{"a status of four digits", "GET", "HTTP/1.1 2000 OK\r\nContent-Length: 1\r\n\r\nx", "refused"},
	{"a status below 100", "GET", "HTTP/1.1 099 OK\r\nContent-Length: 1\r\n\r\nx", "refused"},
	{"chunk: no size", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n;x\r\nabc\r\n", "refused"},
	{"chunk: a bare line feed", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", "refused"},
	{"chunk: 17 digits", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000003\r\nabc\r\n0\r\n\r\n", "refused"},
	{"chunk: 0x", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", "refused"},
	{"chunk: longer than it says", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", "refused"},
	{"trailer: bare line feeds", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\nx\r\n\r\n", "refused"},
}

// followed is what a framing makes of the pieces of a response: how many bytes
// come through, and how it ended.
func followed(method string, pieces ...[]byte) (n int, how string) {
	m := framing{step: stepStatus}
	for _, b := range pieces {
		k, err := m.take(b, method == "HEAD")
		n += k
		switch {
		case err != nil:
			return n, "refused"
		case m.step == stepDone && m.odd:
			return n, "odd"
		case m.step == stepDone:
			return n, ""
		}
	}
	return n, "open"
}

// TestFraming follows each response in one piece, in any two and byte by byte.
func TestFraming(t *testing.T) {
	for _, c := range framings {
		t.Run(c.name, func(t *testing.T) {
			before, after, ends := strings.Cut(c.wire, "|")
			wire := []byte(before + after)
			want := len(before)
			check := func(how string, pieces ...[]byte) {
				t.Helper()
				if n, got := followed(c.method, pieces...); got != c.want || ends && n != want {
					t.Errorf("%s: %q after %d bytes, want %q after %d", how, got, n, c.want, want)
				}
			}
			check("whole", wire)
			for i := range wire {
				check(fmt.Sprintf("cut at %d", i), wire[:i], wire[i:])
			}
			check("byte by byte", single(wire)...)
			checkAgainstHTTP(t, c.method, wire)
		})
	}
}

// FuzzFraming: whatever an origin sends, what the framing lets through is what
// net/http takes for the response.
func FuzzFraming(f *testing.F) {
	for _, c := range framings {
		f.Add(c.method == "HEAD", []byte(strings.Replace(c.wire, "|", "", 1)))
	}
	f.Fuzz(func(t *testing.T, head bool, wire []byte) {
		method := "GET"
		if head {
			method = "HEAD"
		}
		n, how := followed(method, wire)
		if m, got := followed(method, single(wire)...); got != how || how != "refused" && m != n {
			t.Errorf("%q after %d bytes, byte by byte %q after %d", how, n, got, m)
		}
		checkAgainstHTTP(t, method, wire)
	})
}

func single(b []byte) [][]byte { return slices.Collect(slices.Chunk(b, 1)) }

// TestFramingOfAnything puts responses together from what matters in them.
func TestFramingOfAnything(t *testing.T) {
	parts := strings.Split(`HTTP/1.1 |HTTP/1.0 |HTTP/1.1 200 OK~|HTTP/1.1 103 x~|HTTP/1.1 304 x~|HTTP/1.0 200 OK~Connection: keep-alive~|200|204|`+
		`~|~|~~|\n|\r| |	|:|;|,|Content-Length: |content-length:|Content-Length: 3~|Content-Length: 7~|Content-Length|Transfer-Encoding: chunked~|`+
		`Transfer-Encoding:Chunked~|Transfer-Encoding: |chunked|A: b~| c~|0|3|7|a|abc|0123456|0~|0~~|3~abc~|7~0123456~|3;x=y~abc~|0~A: b~~|Connection: close~`, "|")
	for i, p := range parts {
		parts[i] = strings.NewReplacer("~", "\r\n", `\n`, "\n", `\r`, "\r").Replace(p)
	}
	ended := map[string]int{}
	for seed := range uint64(30_000) {
		r := rand.New(rand.NewPCG(seed, 1))
		wire := []byte("HTTP/1.1 200 OK\r\n"[:r.IntN(2)*17])
		for range 1 + r.IntN(12) {
			wire = append(wire, parts[r.IntN(len(parts))]...)
		}
		wire = append(wire, "\r\n\r\nabc"[:r.IntN(8)]...)
		method := []string{"GET", "GET", "HEAD"}[r.IntN(3)]
		_, how := followed(method, wire)
		ended[how]++
		if checkAgainstHTTP(t, method, wire); t.Failed() {
			t.Fatalf("seed %d: %s %q", seed, method, wire)
		}
	}
	for _, how := range []string{"", "odd", "open", "refused"} {
		if ended[how] < 50 {
			t.Errorf("only %d responses were %q: %v", ended[how], how, ended)
		}
	}
}

// checkAgainstHTTP compares the framing of a response with net/http's.
func checkAgainstHTTP(t *testing.T, method string, wire []byte) {
	t.Helper()
	let, how := followed(method, wire)
	used, again, err := readAsTransport(method, wire)
	switch {
	case err == nil && again && let > used:
		t.Errorf("%q: %d bytes come through, net/http takes %d and goes on", how, let, used)
	case err == nil && again && how != "refused" && let != used:
		t.Errorf("%q after %d bytes, net/http's end is after %d", how, let, used)
	case err == nil && !again && (how == "" || how == "odd") && used < let:
		t.Errorf("%q after %d bytes, net/http's end is after %d", how, let, used)
	}
	if how == "" || how == "odd" {
		// net/http must not want more than it is given.
		if _, _, short := readAsTransport(method, wire[:let]); err == nil && again && short != nil {
			t.Errorf("%q after %d bytes, which net/http does not find enough: %v", how, let, short)
		}
	}
}

// readAsTransport reads a response as http.Transport does, and returns how many
// bytes of wire that took and whether the connection would be used again.
func readAsTransport(method string, wire []byte) (used int, again bool, _ error) {
	rest := bytes.NewReader(wire)
	br := bufio.NewReaderSize(rest, 16<<10)
	for {
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return 0, false, err
		}
		if resp.StatusCode/100 == 1 && resp.StatusCode != 101 {
			continue
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil && !errors.Is(err, io.EOF) {
			return 0, false, err
		}
		return len(wire) - rest.Len() - br.Buffered(), !resp.Close && resp.StatusCode > 199, nil
	}
}

// TestFramingAllocates: nothing, for any response.
func TestFramingAllocates(t *testing.T) {
	wire := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
	if n := testing.AllocsPerRun(100, func() {
		m := framing{step: stepStatus}
		k, _ := m.take(wire, false)
		m = framing{step: stepStatus}
		m.take(wire[k:], false)
		m = framing{step: stepStatus}
		for i := range wire {
			m.take(wire[i:i+1], false)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
