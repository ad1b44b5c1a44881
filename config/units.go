package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Duration is a span of time, never negative: "250ms", "90s", "1h30m", "7d",
// "1w", or 0.
type Duration time.Duration

var durationUnits = map[string]time.Duration{
	"ns": time.Nanosecond, "us": time.Microsecond, "µs": time.Microsecond, "ms": time.Millisecond,
	"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
}

var (
	errDuration = errors.New(`want a duration such as "250ms", "90s", "1h30m", "7d", "1w" or 0`)
	errBytes    = errors.New(`want a size such as "64MiB", "1GB", "512k" or a number of bytes`)
	errTooLong  = errors.New("want a duration of less than 292 years")
	errTooMany  = errors.New("want a size of less than 8 EiB")
)

// ParseDuration reads a Duration as it is written in the configuration: numbers
// with units that are added up, or 0.
func ParseDuration(s string) (Duration, error) {
	if s == "0" {
		return 0, nil
	}
	var sum int64
	for rest := s; ; {
		var number, unit string
		number, unit, rest = numberAndUnit(rest)
		if number != "" && unit == "" {
			return 0, fmt.Errorf("%w: the unit is missing", errDuration)
		}
		one, known := durationUnits[unit]
		n, ok, fits := scale(number, int64(one))
		switch {
		case !ok || !known:
			return 0, errDuration
		case !fits || sum > math.MaxInt64-n:
			return 0, errTooLong
		}
		if sum += n; rest == "" {
			return Duration(sum), nil
		}
	}
}

// String is the shortest form that ParseDuration reads back: "1h30m", "7d",
// "0s".
func (d Duration) String() string {
	day := Duration(durationUnits["d"])
	if d > 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Bytes is a size in bytes, never negative: "64MiB", "1GB", "512k", or a plain
// number.
type Bytes int64

var byteUnits = map[string]int64{
	"": 1, "b": 1,
	"k": 1 << 10, "kib": 1 << 10, "kb": 1e3,
	"m": 1 << 20, "mib": 1 << 20, "mb": 1e6,
	"g": 1 << 30, "gib": 1 << 30, "gb": 1e9,
	"t": 1 << 40, "tib": 1 << 40, "tb": 1e12,
}

// ParseBytes reads a size as it is written in the configuration. The case of
// the unit does not matter, nor does a space before it.
func ParseBytes(s string) (Bytes, error) {
	number, unit, rest := numberAndUnit(s)
	one, known := byteUnits[strings.ToLower(strings.TrimLeft(unit, " "))]
	n, ok, fits := scale(number, one)
	switch {
	case !ok || !known || rest != "":
		return 0, errBytes
	case !fits:
		return 0, errTooMany
	}
	return Bytes(n), nil
}

// String is the shortest exact form in powers of 1024: "64MiB", "1000B".
func (b Bytes) String() string {
	for _, unit := range []string{"TiB", "GiB", "MiB", "KiB"} {
		if one := Bytes(byteUnits[strings.ToLower(unit)]); b >= one && b%one == 0 {
			return strconv.FormatInt(int64(b/one), 10) + unit
		}
	}
	return strconv.FormatInt(int64(b), 10) + "B"
}

// numberAndUnit splits s into the digits and dots that it begins with, what
// follows up to the next digit or dot, and the rest.
func numberAndUnit(s string) (number, unit, rest string) {
	const digits = "0123456789."
	i := len(s) - len(strings.TrimLeft(s, digits))
	j := strings.IndexAny(s[i:], digits)
	if j < 0 {
		return s[:i], s[i:], ""
	}
	return s[:i], s[i : i+j], s[i+j:]
}

// scale returns number times one, rounded; ok is false when number is none, and
// fits when the product is too large. Whole numbers are exact.
func scale(number string, one int64) (product int64, ok, fits bool) {
	if i, err := strconv.ParseInt(number, 10, 64); err == nil {
		if one > 0 && i > math.MaxInt64/one {
			return 0, true, false
		}
		return i * one, true, true
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false, false
	}
	if f *= float64(one); f >= math.MaxInt64 {
		return 0, true, false
	}
	return int64(math.Round(f)), true, true
}
