package proxy

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"surrogate/store"
)

// asPlain returns the flags that say whether the head of e is, as it is stored,
// what net/http would send of it. It is looked at once, when e is stored, so that
// a hit can copy it.
func asPlain(e *store.Entry) store.Flags {
	if !e.Complete() || e.Trailer.Len() > 0 || e.Status < 200 || !bodyAllowed(e.Status) || http.StatusText(e.Status) == "" {
		return 0
	}
	var dated, sized bool
	for line := range e.Head.Lines() {
		field, ok := strings.CutSuffix(line, "\r\n")
		name, value, colon := strings.Cut(field, ": ")
		if !ok || !colon || !isPlainName(name) || !isPlainValue(value) {
			return 0
		}
		switch name {
		case "Date":
			dated = true
		case "Content-Length":
			if sized || value != strconv.Itoa(len(e.Body)) {
				return 0
			}
			sized = true
		case "Age", "Trailer", "Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Te", "Upgrade":
			return 0
		}
	}
	switch {
	case !dated: // net/http would add it
		return 0
	case sized:
		return store.Plain | store.Sized
	}
	return store.Plain
}

func isPlainName(name string) bool {
	for i := range len(name) {
		if !tokenByte[name[i]] {
			return false
		}
	}
	return name != ""
}

func isPlainValue(value string) bool {
	return !strings.ContainsAny(value, "\r\n\x00") && strings.Trim(value, " \t") == value
}

// appendHit appends the head of the answer that deliverEntry gives with a fresh
// entry that is Plain, in the form that net/http gives it.
func appendHit(b []byte, e *store.Entry, age, fresh time.Duration) []byte {
	b = appendStatus(b, e.Status)
	b = e.Head.AppendTo(b)
	if !e.Life.Flags.Has(store.Sized) {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(len(e.Body)), 10)
		b = append(b, "\r\n"...)
	}
	return appendTail(b, age, fresh)
}

// appendNotModified appends the 304 that deliverEntry gives with such an entry.
func appendNotModified(b []byte, e *store.Entry, age, fresh time.Duration) []byte {
	b = appendStatus(b, http.StatusNotModified)
	for line := range e.Head.Lines() {
		name, _, _ := strings.Cut(line, ":")
		if !describesContent(name) {
			b = append(b, line...)
		}
	}
	return appendTail(b, age, fresh)
}

// describesContent reports whether a field is not sent with a 304 (RFC 9110,
// section 15.4.5).
func describesContent(name string) bool {
	switch name {
	case "Content-Type", "Content-Length", "Content-Encoding", "Content-Language", "Content-Range", "Trailer":
		return true
	}
	return false
}

func appendStatus(b []byte, status int) []byte {
	if status == http.StatusOK {
		return append(b, "HTTP/1.1 200 OK\r\n"...)
	}
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	if text := http.StatusText(status); text != "" {
		b = append(b, text...)
	} else { // as net/http has it
		b = strconv.AppendInt(append(b, "status code "...), int64(status), 10)
	}
	return append(b, "\r\n"...)
}

// appendTail appends what a hit adds to the fields that are stored.
func appendTail(b []byte, age, fresh time.Duration) []byte {
	b = append(b, "Age: "...)
	b = strconv.AppendInt(b, int64(age/time.Second), 10)
	b = append(b, "\r\nCache-Status: "...)
	b = cacheStatus{hit: true, ttl: fresh, hasTTL: true}.append(b)
	return append(b, "\r\n\r\n"...)
}
