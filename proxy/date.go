package proxy

import (
	"net/http"
	"net/textproto"
	"strings"
	"time"
)

// parseDate parses an HTTP-date in any of its three formats (RFC 9110 section
// 5.6.7), without regard to case (RFC 9111 section 4.2). Anything else is no
// date, other time zones included: RFC 9111 section 5.3 has an invalid Expires
// mean a time in the past. now tells which century a two-digit year is of.
func parseDate(v string, now time.Time) (time.Time, bool) {
	v = textproto.TrimString(v)
	if len(v) < 24 {
		return time.Time{}, false
	}
	d := dateReader{s: v, ok: true}
	var year, month, day int
	switch {
	case v[3] == ',': // Sun, 06 Nov 1994 08:49:37 GMT
		d.name(shortDays)
		d.lit(", ")
		day = d.number(2)
		d.lit(" ")
		month = d.name(months)
		d.lit(" ")
		year = d.number(4)
		d.lit(" ")
		d.clock()
		d.lit(" GMT")
	case v[3] == ' ': // Sun Nov  6 08:49:37 1994
		d.name(shortDays)
		d.lit(" ")
		month = d.name(months)
		d.lit(" ")
		if strings.HasPrefix(d.s, " ") {
			d.lit(" ")
			day = d.number(1)
		} else {
			day = d.number(2)
		}
		d.lit(" ")
		d.clock()
		d.lit(" ")
		year = d.number(4)
	default: // Sunday, 06-Nov-94 08:49:37 GMT
		d.name(longDays)
		d.lit(", ")
		day = d.number(2)
		d.lit("-")
		month = d.name(months)
		d.lit("-")
		year = d.number(2)
		d.lit(" ")
		d.clock()
		d.lit(" GMT")
		year += now.Year() / 100 * 100
		if year <= now.Year()-50 {
			year += 100
		}
	}
	if !d.ok || d.s != "" {
		return time.Time{}, false
	}
	at := func(year int) time.Time {
		return time.Date(year, time.Month(month+1), day, d.hour, d.min, min(d.sec, 59), 0, time.UTC)
	}
	t := at(year)
	if t.Month() != time.Month(month+1) {
		return time.Time{}, false // 31 February
	}
	if v[3] != ',' && v[3] != ' ' && t.After(now.AddDate(50, 0, 0)) {
		// "more than 50 years in the future" means "the most recent year in the
		// past that had the same last two digits"
		t = at(year - 100)
	}
	return t, true
}

// dateOf returns the date in a field of h, if there is one and it is valid.
func dateOf(h http.Header, name string, now time.Time) (time.Time, bool) {
	vs := h[name]
	if len(vs) == 0 {
		return time.Time{}, false
	}
	return parseDate(vs[0], now)
}

const (
	shortDays = "sunmontuewedthufrisat"
	months    = "janfebmaraprmayjunjulaugsepoctnovdec"
	longDays  = "sunday,monday,tuesday,wednesday,thursday,friday,saturday"
)

// A dateReader reads a date from the front of s. After bad input ok is false.
type dateReader struct {
	s              string
	ok             bool
	hour, min, sec int
}

func (d *dateReader) take(n int) string {
	if len(d.s) < n {
		d.ok, d.s = false, ""
		return ""
	}
	t := d.s[:n]
	d.s = d.s[n:]
	return t
}

func (d *dateReader) lit(s string) {
	if !strings.EqualFold(d.take(len(s)), s) {
		d.ok = false
	}
}

// name reads one of names, of three letters each or comma-separated, and returns
// its number.
func (d *dateReader) name(names string) int {
	if names == longDays {
		i := 0
		for n := range strings.SplitSeq(names, ",") {
			if len(d.s) > len(n) && strings.EqualFold(d.s[:len(n)], n) {
				d.s = d.s[len(n):]
				return i
			}
			i++
		}
		d.ok = false
		return 0
	}
	t := d.take(3)
	for i := 0; i < len(names); i += 3 {
		if strings.EqualFold(t, names[i:i+3]) {
			return i / 3
		}
	}
	d.ok = false
	return 0
}

func (d *dateReader) number(digits int) int {
	n := 0
	for _, c := range []byte(d.take(digits)) {
		if c < '0' || c > '9' {
			d.ok = false
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// clock reads 08:49:37; a leap second is allowed.
func (d *dateReader) clock() {
	d.hour = d.number(2)
	d.lit(":")
	d.min = d.number(2)
	d.lit(":")
	d.sec = d.number(2)
	if d.hour > 23 || d.min > 59 || d.sec > 60 {
		d.ok = false
	}
}
