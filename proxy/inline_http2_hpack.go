package proxy

import "strconv"

// Fields are written without HPACK's dynamic table, and without its Huffman code:
// "literal header field without indexing" (RFC 7541, section 6.2.2), after a first
// byte that names a field of the static table, or 0. So HAProxy does, too.

// appendKnown appends a field by the name that HTTP/1.1 gives it.
func appendKnown(b []byte, name, value string) []byte {
	if index := indexOf(name); index != "" {
		return appendText(append(b, index...), value)
	}
	b = appendLength(append(b, 0), len(name))
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		b = append(b, c)
	}
	return appendText(b, value)
}

// appendNumbered appends a field of the static table with a number.
func appendNumbered(b []byte, index string, value int64) []byte {
	var room [20]byte
	return appendText(append(b, index...), view(strconv.AppendInt(room[:0], value, 10)))
}

// appendField appends a field whose name is in lower case.
func appendField(b []byte, name, value string) []byte {
	return appendText(appendText(append(b, 0), name), value)
}

// appendText appends a string literal (section 5.2).
func appendText(b []byte, s string) []byte { return append(appendLength(b, len(s)), s...) }

// appendLength appends a length with a prefix of 7 bits (section 5.1).
func appendLength(b []byte, n int) []byte {
	if n < 127 {
		return append(b, byte(n))
	}
	b = append(b, 127)
	for n -= 127; n >= 128; n >>= 7 {
		b = append(b, byte(n)|128)
	}
	return append(b, byte(n))
}

// indexOf is how a field begins whose name is in the static table (appendix A), "" for
// one that is not. They are those that come with what is stored.
func indexOf(name string) string {
	switch name {
	case "Accept-Ranges":
		return "\x0f\x03"
	case "Access-Control-Allow-Origin":
		return "\x0f\x05"
	case "Age":
		return "\x0f\x06"
	case "Cache-Control":
		return "\x0f\x09"
	case "Content-Disposition":
		return "\x0f\x0a"
	case "Content-Encoding":
		return "\x0f\x0b"
	case "Content-Language":
		return "\x0f\x0c"
	case "Content-Length":
		return "\x0f\x0d"
	case "Content-Location":
		return "\x0f\x0e"
	case "Content-Type":
		return "\x0f\x10"
	case "Date":
		return "\x0f\x12"
	case "Etag":
		return "\x0f\x13"
	case "Expires":
		return "\x0f\x15"
	case "Last-Modified":
		return "\x0f\x1d"
	case "Link":
		return "\x0f\x1e"
	case "Location":
		return "\x0f\x1f"
	case "Server":
		return "\x0f\x27"
	case "Strict-Transport-Security":
		return "\x0f\x29"
	case "Vary":
		return "\x0f\x2c"
	case "Via":
		return "\x0f\x2d"
	}
	return ""
}
