package proxy_test

import (
	"fmt"
	"strings"

	"golang.org/x/net/http2"
)

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
		"te":               one(0, "GET", "/page", "te: trailers"),
		"te of more":       one(0, "GET", "/page", "te: trailers, gzip"),
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
		"long field":       one(1, "GET", "/page", "x: "+strings.Repeat("x", 9000)),
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
	add("too long, in pieces", 0, 1, func(s *http2Script) {
		b := s.request("GET", "/page", "x: "+strings.Repeat("x", 40_000), "y: "+strings.Repeat("y", 40_000), "z: z")
		s.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b[:10_000], EndStream: true})
		s.frames.WriteContinuation(1, false, b[10_000:20_000])
		s.frames.WriteContinuation(1, true, b[20_000:])
	})
	add("long, in pieces", 1, 1, func(s *http2Script) {
		b := s.request("GET", "/none", "x: "+strings.Repeat("\xfe", 3_000), "y: "+strings.Repeat("\xfd", 3_000), "z: "+strings.Repeat("\xfc", 3_000))
		s.frames.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: b[:9_000], EndStream: true})
		s.frames.WriteContinuation(1, false, b[9_000:9_000])
		s.frames.WriteContinuation(1, true, b[9_000:])
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
