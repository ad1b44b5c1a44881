package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// An http2Script is what a client sends over HTTP/2.
type http2Script struct {
	bytes.Buffer
	frames *http2.Framer
	block  bytes.Buffer
	fields *hpack.Encoder
}

// newHTTP2Script begins with the preface, and a window as browsers open it.
func newHTTP2Script() *http2Script {
	s := newNarrowScript()
	s.window(0, 15<<20)
	return s
}

// newNarrowScript has no window but the first.
func newNarrowScript(settings ...http2.Setting) *http2Script {
	s := &http2Script{}
	s.WriteString(http2.ClientPreface)
	s.frames = http2.NewFramer(s, nil)
	s.frames.AllowIllegalWrites = true
	s.fields = hpack.NewEncoder(&s.block)
	s.frames.WriteSettings(settings...)
	return s
}

func (s *http2Script) window(stream, n uint32) *http2Script {
	s.frames.WriteWindowUpdate(stream, n)
	return s
}

// pairs encodes fields, given as "name: value".
func (s *http2Script) pairs(fields ...string) []byte {
	s.block.Reset()
	for _, f := range fields {
		i := strings.Index(f[1:], ": ") + 1
		s.fields.WriteField(hpack.HeaderField{Name: f[:i], Value: f[i+2:]})
	}
	return slices.Clone(s.block.Bytes())
}

// ask begins a stream with a request; with fields that have the name of a pseudo-field
// in place of those it has by itself.
func (s *http2Script) ask(stream uint32, method, path string, fields ...string) *http2Script {
	s.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: s.request(method, path, fields...), EndStream: method != "POST", EndHeaders: true})
	return s
}

func (s *http2Script) request(method, path string, fields ...string) []byte {
	all := []string{":method: " + method, ":authority: shop.example", ":scheme: http", ":path: " + path}
	for _, f := range fields {
		name, _, _ := strings.Cut(f[1:], ": ")
		at := slices.IndexFunc(all, func(of string) bool { return strings.HasPrefix(of, ":"+name+": ") })
		if at >= 0 && f[0] == ':' {
			all[at] = f
		} else {
			all = append(all, f)
		}
	}
	return s.pairs(all...)
}

func (s *http2Script) get(stream uint32, path string, fields ...string) *http2Script {
	return s.ask(stream, "GET", path, fields...)
}

func (s *http2Script) data(stream uint32, text string, ends bool) *http2Script {
	s.frames.WriteData(stream, ends, []byte(text))
	return s
}

func (s *http2Script) raw(text string) *http2Script {
	s.WriteString(text)
	return s
}

// An http2Reply is what came of a stream.
type http2Reply struct {
	heads []string // each with its fields in order, and what depends on the clock blotted out
	clock []string // which is here
	body  []byte
	ended bool
	reset string
}

func (r *http2Reply) String() string {
	return fmt.Sprintf("%s\n%d %.40q ended=%v reset=%s", strings.Join(r.heads, "\n\n"), len(r.body), r.body, r.ended, r.reset)
}

// An http2Heard is all that a server said.
type http2Heard struct {
	streams map[uint32]*http2Reply
	goaway  string // the code of the last
	closed  bool   // by the server, not having said that it would
	pings   int

	headBytes int    // of header blocks
	bad       string // what no server may send
}

func hearHTTP2(output []byte) *http2Heard { return hearHTTP2With(4096, output) }

// hearHTTP2With is hearHTTP2 of a client with a table of so many bytes.
func hearHTTP2With(table uint32, output []byte) *http2Heard {
	heard := &http2Heard{streams: map[uint32]*http2Reply{}}
	f := http2.NewFramer(io.Discard, bytes.NewReader(output))
	f.SetMaxReadFrameSize(1 << 14)
	f.ReadMetaHeaders = hpack.NewDecoder(table, nil)
	stream := func(id uint32) *http2Reply {
		if heard.streams[id] == nil {
			heard.streams[id] = &http2Reply{}
		}
		return heard.streams[id]
	}
	for n := 0; ; n++ {
		frame, err := f.ReadFrame()
		if err == io.EOF {
			return heard
		}
		if err != nil {
			heard.bad = err.Error()
			return heard
		}
		if _, settings := frame.(*http2.SettingsFrame); n == 0 && !settings {
			heard.bad = fmt.Sprintf("the first frame is %v", frame)
			return heard
		}
		r := stream(frame.Header().StreamID)
		if r.ended && frame.Header().StreamID > 0 && frame.Header().Type != http2.FrameRSTStream {
			heard.bad = fmt.Sprintf("after the end of its stream comes %v", frame)
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			heard.headBytes += int(frame.Header().Length)
			var lines []string
			for _, hf := range frame.Fields {
				line := hf.Name + ": " + hf.Value
				if hf.Name == "age" || ttls.MatchString(hf.Value) {
					r.clock = append(r.clock, line)
				}
				if hf.Name == "date" || hf.Name == "age" {
					line = hf.Name + ": *"
				}
				lines = append(lines, ttls.ReplaceAllString(line, "ttl=*"))
			}
			slices.Sort(lines)
			r.heads = append(r.heads, strings.Join(lines, "\n"))
			r.ended = frame.StreamEnded()
		case *http2.DataFrame:
			r.body = append(r.body, frame.Data()...)
			r.ended = frame.StreamEnded()
		case *http2.RSTStreamFrame:
			r.reset = frame.ErrCode.String()
		case *http2.GoAwayFrame:
			heard.goaway = frame.ErrCode.String()
		case *http2.PingFrame:
			heard.pings++
		}
	}
}

// same tells where two servers differ. Where the connection was ended with an error, what
// was answered before is a matter of time; and where it was closed, so is whether that
// was said before: net/http closes it at the second error.
func (a *http2Heard) same(b *http2Heard) error {
	if a.closed && (b.closed || b.goaway != "") || b.closed && a.goaway != "" {
		return nil
	}
	if a.bad != "" || b.bad != "" || a.goaway != b.goaway {
		return fmt.Errorf("net/http: %q %s; inline: %q %s", a.bad, a.goaway, b.bad, b.goaway)
	}
	ids := maps.Clone(a.streams)
	maps.Copy(ids, b.streams)
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		x, y := a.streams[id], b.streams[id]
		if id == 0 {
			continue // the connection's
		}
		if a.goaway != "" && (x == nil || y == nil || !x.ended || !y.ended) {
			continue
		}
		if x == nil || y == nil || x.String() != y.String() || !bytes.Equal(x.body, y.body) {
			return fmt.Errorf("stream %d is answered\n%v\n\nand inline\n%v", id, x, y)
		}
	}
	return nil
}

// playHTTP2 has a house serve what a client sends, in pieces, until nothing more
// happens.
func playHTTP2(t *testing.T, h *house, input []byte, piece int, inline bool) (heard *http2Heard, long int) {
	s := newWired(h, inline)
	var n atomic.Int64
	s.long = func() { n.Add(1) }
	w := newWire(visitor, slices.Clone(input), piece)
	w.open = true
	done := s.serve(w)
	synctest.Wait()
	w.mu.Lock()
	out, closed := slices.Clone(w.output.Bytes()), w.closed
	w.mu.Unlock()
	w.Close()
	<-done
	s.server.Close()
	time.Sleep(2 * time.Second) // net/http takes one to end what went wrong
	heard = hearHTTP2With(tableOf(input), out)
	heard.closed = closed && heard.goaway == ""
	return heard, int(n.Load())
}

// What is answered inline over HTTP/2, and what is left to net/http. Both are answered
// the same.
func TestInlineHTTP2Answers(t *testing.T) {
	for name, c := range http2Cases() {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, seal := newInlineHouse(t)
				defer h.close()
				seal()
				by, _ := playHTTP2(t, h, c.input.Bytes(), 0, false)
				for _, piece := range []int{0, 1, 7, 100} {
					inline, long := playHTTP2(t, h, c.input.Bytes(), piece, true)
					if err := by.same(inline); err != nil {
						t.Errorf("in pieces of %d: %v", piece, err)
					}
					if long != c.long {
						t.Errorf("in pieces of %d, %d requests go the long way, want %d", piece, long, c.long)
					}
					if c.streams != len(inline.streams)-1 {
						t.Errorf("in pieces of %d, %d streams are answered, want %d", piece, len(inline.streams)-1, c.streams)
					}
				}
			})
		})
	}
}

// What is said of an answer's age is to the second.
func TestInlineHTTP2Age(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newInlineHouse(t)
		defer h.close()
		time.Sleep(7500 * time.Millisecond)
		heard, _ := playHTTP2(t, h, newHTTP2Script().get(1, "/moved").Bytes(), 0, true)
		if got := heard.streams[1].clock; !slices.Equal(got, []string{"age: 7", "cache-status: surrogate; hit; ttl=59992"}) {
			t.Errorf("it says %q", got)
		}
	})
}

type http2Case struct {
	input   *http2Script
	long    int // how many requests go the long way
	streams int // how many streams anything is said on
}

func http2Cases() map[string]http2Case {
	one := func(long int, method, path string, fields ...string) http2Case {
		return http2Case{newHTTP2Script().ask(1, method, path, fields...), long, 1}
	}
	ended := func(s *http2Script, long int) http2Case { return http2Case{s, long, 0} }
	cases := map[string]http2Case{
		"plain":           one(0, "GET", "/page"),
		"head":            one(0, "HEAD", "/page"),
		"browser":         one(0, "GET", "/coded", "user-agent: Mozilla/5.0 (X11; Linux x86_64)", "accept: text/html,*/*;q=0.8", "accept-encoding: deflate, br;q=0.9", "priority: u=0, i", "sec-fetch-dest: document"),
		"variant":         one(0, "GET", "/variant"),
		"language":        one(1, "GET", "/language"),
		"medium":          one(0, "GET", "/medium"),
		"big":             one(1, "GET", "/big"), // longer than a stream takes at first
		"empty":           one(0, "GET", "/empty"),
		"untyped":         one(0, "GET", "/untyped"),
		"redirect":        one(0, "GET", "/moved"),
		"not found":       one(0, "GET", "/gone"),
		"odd status":      one(1, "GET", "/unlikely"),
		"odd field":       one(1, "GET", "/odd"),
		"long head":       one(0, "GET", "/fat"),
		"query":           one(0, "GET", "/q?b=2&utm_source=x&a=1"),
		"not modified":    one(0, "GET", "/page", `if-none-match: "v0", W/"v1"`),
		"two tags":        one(0, "GET", "/page", `if-none-match: "v0"`, `if-none-match: "v1"`),
		"another tag":     one(0, "GET", "/page", `if-none-match: "v2"`),
		"not modified by": one(0, "HEAD", "/page", "if-modified-since: "+fixedDate),
		"host with port":  one(0, "GET", "/page", ":authority: shop.example:8080"),
		"cookies apart":   one(0, "GET", "/variant", "cookie: a=b", "cookie: c=d"),

		"miss":             one(1, "GET", "/none"),
		"range":            one(1, "GET", "/page", "range: bytes=0-3"),
		"no-cache":         one(1, "GET", "/page", "cache-control: no-cache"),
		"authorization":    one(1, "GET", "/page", "authorization: Basic eA=="),
		"bypass":           one(1, "GET", "/page", "cookie: x=y; session_id=1"),
		"bypass apart":     one(1, "GET", "/page", "cookie: x=y", "cookie: session=1"),
		"post":             {newHTTP2Script().ask(1, "POST", "/page").data(1, "abc", true), 1, 1},
		"post, trailers":   {trailed(newHTTP2Script().ask(1, "POST", "/none", "trailer: x").data(1, "abc", false)), 1, 1},
		"stale":            one(1, "GET", "/stale"),
		"purge":            one(1, "PURGE", "/page"),
		"another scheme":   one(1, "GET", "/page", ":scheme: https"),
		"another host":     one(1, "GET", "/page", ":authority: Shop.Example"),
		"host too":         one(1, "GET", "/page", "host: shop.example"),
		"te":               one(1, "GET", "/page", "te: trailers"),
		"connection":       one(0, "GET", "/page", "connection: keep-alive"),
		"upper case":       one(0, "GET", "/page", "X-Shout: a"),
		"line end":         one(0, "GET", "/page", "x: a\r\ncookie: session=1"),
		"colon in a name":  one(0, "GET", "/page", "x: y: a"),
		"path injection":   one(0, "GET", "/page HTTP/1.1\r\nx: y"),
		"space in a path":  one(1, "GET", "/pa ge"),
		"no path":          one(0, "GET", ""),
		"unknown pseudo":   one(0, "GET", "/page", ":x: y"),
		"pseudo twice":     one(0, "GET", "/page", "x: y", ":method: GET"),
		"trailing space":   one(1, "GET", "/page", "x: y "),
		"value with a tab": one(0, "GET", "/page", "x: a\tb"),
		"high character":   one(0, "GET", "/page", "x: \xff"),
		"long field":       one(0, "GET", "/page", "x: "+strings.Repeat("x", 9000)),
		"too long":         one(0, "GET", "/page", "x: "+strings.Repeat("x", 60_000), "y: "+strings.Repeat("x", 20_000)),
		"much too long":    ended(newHTTP2Script().get(1, "/page", "x: "+strings.Repeat("\xfe", 200_000)), 0),

		"several": {newHTTP2Script().get(1, "/page").get(3, "/none").get(5, "/medium").get(7, "/none?1").get(9, "/gone").ask(11, "HEAD", "/page"), 2, 6},
		"skipped": {newHTTP2Script().get(1, "/page").get(101, "/page").get(103, "/none"), 1, 3},
	}
	add := func(name string, long, streams int, build func(s *http2Script)) {
		s := newHTTP2Script()
		build(s)
		cases[name] = http2Case{s, long, streams}
	}
	// What is said on a stream that was answered, net/http does not know.
	add("afterthoughts", 1, 3, func(s *http2Script) {
		s.get(1, "/page").get(3, "/page").window(3, 100)
		s.frames.WritePriority(3, http2.PriorityParam{Weight: 3})
		s.get(5, "/none").window(1, 100).window(3, 100)
	})
	add("pings and priorities", 0, 1, func(s *http2Script) {
		s.frames.WritePing(false, [8]byte{1})
		s.frames.WritePriority(1, http2.PriorityParam{Weight: 3})
		s.get(1, "/page")
		s.frames.WriteRawFrame(0x10, 0, 0, []byte("\x00\x00\x00\x01u=1"))
		s.frames.WritePing(false, [8]byte{2})
	})
	add("in pieces", 1, 2, func(s *http2Script) {
		for i, path := range []string{"/page", "/none"} {
			b := s.request("GET", path, "user-agent: x")
			s.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: b[:3], EndStream: true, PadLength: 9, Priority: http2.PriorityParam{StreamDep: 7, Weight: 1}})
			s.frames.WriteContinuation(uint32(2*i+1), false, b[3:4])
			s.frames.WriteContinuation(uint32(2*i+1), false, nil)
			s.frames.WriteContinuation(uint32(2*i+1), true, b[4:])
		}
	})
	// What a client's table has in it is counted on by what it sends to us and to
	// net/http in turn.
	add("table", 20, 40, func(s *http2Script) {
		for i := range uint32(20) {
			s.get(4*i+1, "/page", "user-agent: a rather long one, so that it pays to have it in the table", fmt.Sprintf("x-%d: %d", i%3, i))
			s.get(4*i+3, fmt.Sprintf("/none?%d", i), "user-agent: a rather long one, so that it pays to have it in the table", fmt.Sprintf("x-%d: %d", i%3, i))
		}
	})

	for name, text := range map[string]string{
		"undecodable":            "\x00\x00\x01\x01\x05\x00\x00\x00\x01\x80",
		"half a field":           "\x00\x00\x01\x01\x05\x00\x00\x00\x01\x40",
		"continuation alone":     "\x00\x00\x00\x09\x04\x00\x00\x00\x01",
		"headers, then a ping":   "\x00\x00\x01\x01\x01\x00\x00\x00\x01\x82\x00\x00\x08\x06\x00\x00\x00\x00\x0012345678",
		"another's continuation": "\x00\x00\x01\x01\x01\x00\x00\x00\x01\x82\x00\x00\x01\x09\x04\x00\x00\x00\x03\x84",
		"even stream":            "\x00\x00\x01\x01\x05\x00\x00\x00\x02\x82",
		"no stream":              "\x00\x00\x01\x01\x05\x00\x00\x00\x00\x82",
		"short settings":         "\x00\x00\x05\x04\x00\x00\x00\x00\x0012345",
		"short window":           "\x00\x00\x03\x08\x00\x00\x00\x00\x00123",
		"no window":              "\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		"too much window":        "\x00\x00\x04\x08\x00\x00\x00\x00\x00\x7f\xff\xff\xff",
		"window of nobody":       "\x00\x00\x04\x08\x00\x00\x00\x00\x07\x00\x00\x00\x01",
		"reset of nobody":        "\x00\x00\x04\x03\x00\x00\x00\x00\x07\x00\x00\x00\x01",
		"push":                   "\x00\x00\x05\x05\x04\x00\x00\x00\x01\x00\x00\x00\x02\x82",
		"enormous":               "\xff\xff\xff\x01\x05\x00\x00\x00\x01",
	} {
		cases["bad: "+name] = ended(newHTTP2Script().raw(text), 0)
	}
	early := &http2Script{}
	cases["bad: window before settings"] = ended(early.raw(http2.ClientPreface+"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x01\x00"), 0)
	cases["padding too long"] = http2Case{newHTTP2Script().raw("\x00\x00\x02\x01\x0d\x00\x00\x00\x01\x09\x82"), 0, 1}
	return cases
}

func trailed(s *http2Script) *http2Script {
	s.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: s.pairs("x: y"), EndStream: true, EndHeaders: true})
	return s
}

// Whoever resets a stream that was answered already, as browsers do that have it in
// their cache after all, goes on undisturbed.
func TestInlineHTTP2Reset(t *testing.T) {
	for _, then := range []string{"/page", "/none"} {
		synctest.Test(t, func(t *testing.T) {
			s := newHTTP2Script().get(1, "/page").get(3, "/page")
			s.frames.WriteRSTStream(3, http2.ErrCodeCancel)
			s.frames.WriteRSTStream(1, http2.ErrCodeCancel)
			s.get(5, then)
			h, _ := newInlineHouse(t)
			defer h.close()
			heard, _ := playHTTP2(t, h, s.Bytes(), 0, true)
			if heard.goaway != "" || heard.streams[5] == nil || !heard.streams[5].ended {
				t.Errorf("%s: the connection ends with %q, and the last stream is %v", then, heard.goaway, heard.streams[5])
			}
		})
	}
}

// tableOf is the least room for a table that the first settings of a client speak of.
func tableOf(input []byte) uint32 {
	table := uint32(4096)
	f := http2.NewFramer(nil, bytes.NewReader(input[min(len(input), len(http2.ClientPreface)):]))
	if frame, err := f.ReadFrame(); err == nil {
		if settings, ok := frame.(*http2.SettingsFrame); ok {
			if n, ok := settings.Value(http2.SettingHeaderTableSize); ok {
				table = min(table, n)
			}
		}
	}
	return table
}

// Whatever room a client has for a table, answers of ours and of net/http's keep to
// it; and with the usual one, what comes again hardly takes any.
func TestInlineHTTP2Table(t *testing.T) {
	for _, table := range []uint32{0, 1, 100, 4096, 1 << 20} {
		synctest.Test(t, func(t *testing.T) {
			h, seal := newInlineHouse(t)
			defer h.close()
			seal()
			s := newNarrowScript(http2.Setting{ID: http2.SettingHeaderTableSize, Val: table}).window(0, 15<<20)
			for i := range uint32(10) {
				s.get(4*i+1, "/fat").get(4*i+3, fmt.Sprintf("/none?%d", i))
			}
			by, _ := playHTTP2(t, h, s.Bytes(), 0, false)
			inline, long := playHTTP2(t, h, s.Bytes(), 0, true)
			if err := by.same(inline); err != nil || long != 10 {
				t.Errorf("with %d bytes: %v; %d go the long way", table, err, long)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		h, _ := newInlineHouse(t)
		defer h.close()
		s := newHTTP2Script()
		for i := range uint32(101) {
			s.get(2*i+1, "/page")
		}
		heard, _ := playHTTP2(t, h, s.Bytes(), 0, true)
		if heard.headBytes > 101*150+500 {
			t.Errorf("the fields of 101 answers take %d bytes", heard.headBytes)
		}
	})
}
