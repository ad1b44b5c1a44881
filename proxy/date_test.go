package proxy

import (
	"net/http"
	"testing"
	"time"
)

// TestParseDate: RFC 9110 section 5.6.7, RFC 9111 section 4.2.
func TestParseDate(t *testing.T) {
	const want = "1994-11-06T08:49:37Z"
	for _, c := range []struct{ v, want string }{
		{"Sun, 06 Nov 1994 08:49:37 GMT", want},
		{"Sunday, 06-Nov-94 08:49:37 GMT", want},
		{"Sun Nov  6 08:49:37 1994", want},
		{"Sun Nov 16 08:49:37 1994", "1994-11-16T08:49:37Z"},
		{" Sun, 06 Nov 1994 08:49:37 GMT\t", want},
		{"SUN, 06 nOV 1994 08:49:37 gmt", want},
		{"SUNDAY, 06-NOV-94 08:49:37 gMT", want},
		{"Thursday, 18-Aug-50 02:01:18 GMT", "2050-08-18T02:01:18Z"},
		{"Thursday, 18-Aug-75 02:01:18 GMT", "2075-08-18T02:01:18Z"}, // within 50 years of 2026
		{"Thursday, 18-Aug-77 02:01:18 GMT", "1977-08-18T02:01:18Z"}, // beyond them
		{"Wednesday, 04-Mar-76 05:06:07 GMT", "2076-03-04T05:06:07Z"},
		{"Wednesday, 04-Mar-76 05:06:08 GMT", "1976-03-04T05:06:08Z"},
		{"Sun, 21 Nov 2286 04:46:39 GMT", "2286-11-21T04:46:39Z"},
		{"Thu, 29 Feb 2024 00:00:00 GMT", "2024-02-29T00:00:00Z"},
		{"Sat, 31 Dec 2016 23:59:60 GMT", "2016-12-31T23:59:59Z"}, // a leap second
		{"", ""},
		{"0", ""},
		{"-1", ""},
		{"Thu, 31 Feb 2024 00:00:00 GMT", ""},
		{"Thu, 00 Mar 2024 00:00:00 GMT", ""},
		{"Foo, 06 Nov 1994 08:49:37 GMT", ""},
		{"Sun, 06 Foo 1994 08:49:37 GMT", ""},
		{"Sun, 06 Nov 1994 24:00:00 GMT", ""},
		{"Sun, 06 Nov 1994 08:60:00 GMT", ""},
		{"Sun, 06 Nov 1994 08:49:61 GMT", ""},
		{"Sun, 06 Nov 1994 08:49:37 UTC", ""},
		{"Sun, 06 Nov 1994 08:49:37 AEST", ""},
		{"Sun, 06 Nov 1994 08:49:37", ""},
		{"Sun, 06 Nov 94 08:49:37 GMT", ""},
		{"Sun 06 Nov 1994 08:49:37 GMT", ""},
		{"Sun, 06  Nov  1994 08:49:37 GMT", ""},
		{"Sun, 06-Nov-1994 08:49:37 GMT", ""},
		{"Sun, 06 Nov 1994 08.49.37 GMT", ""},
		{"Sun, 06 Nov 1994 8:49:37 GMT", ""},
		{"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT", ""},
		{"Sun, +6 Nov 1994 08:49:37 GMT", ""},
		{"1994-11-06T08:49:37Z           ", ""},
	} {
		got, ok := parseDate(c.v, epoch)
		s := ""
		if ok {
			s = got.Format(time.RFC3339)
		}
		if s != c.want {
			t.Errorf("%q: %q, want %q", c.v, s, c.want)
		}
	}
}

// TestCenturies: a two-digit year is the nearest that is not more than 50 years
// ahead.
func TestCenturies(t *testing.T) {
	for now, want := range map[int]int{1999: 2005, 2026: 2005, 2054: 2005, 2056: 2105, 2099: 2105, 2105: 2105} {
		got, ok := parseDate("Monday, 05-Dec-05 00:00:00 GMT", time.Date(now, 1, 1, 0, 0, 0, 0, time.UTC))
		if !ok || got.Year() != want {
			t.Errorf("in %d it is %v", now, got)
		}
	}
}

// FuzzDate: what the standard library parses and we take, is the same; what it
// writes we can read.
func FuzzDate(f *testing.F) {
	f.Add("Sun, 06 Nov 1994 08:49:37 GMT", int64(0))
	f.Add("Sunday, 06-Nov-94 08:49:37 GMT", int64(1<<33))
	f.Add("Sun Nov  6 08:49:37 1994", int64(-1))
	f.Fuzz(func(t *testing.T, v string, sec int64) {
		if got, ok := parseDate(v, epoch); ok {
			if want, err := http.ParseTime(got.Format(http.TimeFormat)); err != nil || !want.Equal(got) {
				t.Errorf("%q is %v", v, got)
			}
			if want, err := http.ParseTime(v); err == nil && !want.Equal(got) && want.AddDate(100, 0, 0) != got {
				t.Errorf("%q is %v, not %v", v, got, want)
			}
		}
		if at := time.Unix(sec%(1<<37), 0).UTC(); at.Year() > 0 && at.Year() < 10000 {
			for _, layout := range []string{http.TimeFormat, time.ANSIC} {
				if got, ok := parseDate(at.Format(layout), epoch); !ok || !got.Equal(at) {
					t.Errorf("%s is %v, %v", at.Format(layout), got, ok)
				}
			}
		}
	})
}
