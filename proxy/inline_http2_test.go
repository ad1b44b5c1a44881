package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"surrogate/proxy"
)

// An http2Script is what a client sends over HTTP/2.
type http2Script struct {
	bytes.Buffer
	scheme string
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
	s := &http2Script{scheme: "http"}
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
	all := []string{":method: " + method, ":authority: shop.example", ":scheme: " + s.scheme, ":path: " + path}
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
	s.close()
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

// A hit over HTTP/2 is told as any other request is, while the next are read.
func TestInlineHTTP2Log(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told bytes.Buffer
		h, _ := newInlineHouse(t, func(o *proxy.Options) { o.Access = slog.New(slog.NewTextHandler(&told, nil)) })
		defer h.close()
		told.Reset()
		s := newWired(h, true)
		defer s.close()
		w := newWire(inFront, newHTTP2Script().Bytes(), 0)
		w.open = true
		done := s.serve(w)
		const n = 200
		for i := range uint32(n) {
			script := newHTTP2Script()
			script.Reset()
			if i < n/2 {
				script.get(2*i+1, "/page")
			} else { // whether it counts depends on who the client is
				script.get(2*i+1, "/page", "x-forwarded-proto: http")
			}
			w.say(script.String())
		}
		synctest.Wait()
		hits := strings.Count(told.String(), "msg=request client="+inFront+" method=GET host=shop.example url=/page status=200 bytes=10 ")
		if hits != n || strings.Count(told.String(), " cache=hit proto=HTTP/2.0 ") != n {
			t.Errorf("%d of %d hits are told:\n%.2000s", hits, n, told.String())
		}
		w.Close()
		<-done
	})
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
