package config

import (
	"math"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"0": 0, "0s": 0, "250ms": 250 * time.Millisecond, "90s": 90 * time.Second, "1h30m": 90 * time.Minute,
		"1.5h": 90 * time.Minute, "7d": 7 * day, "1w": 7 * day, "1w2d3h": 9*day + 3*time.Hour, "0.5d": 12 * time.Hour,
		"3us": 3000, "3µs": 3000, "5ns": 5, "106751d": 106751 * day, "9223372036854775807ns": math.MaxInt64,
	} {
		got, err := ParseDuration(text)
		if err != nil || time.Duration(got) != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "5", "-5s", "+5s", "s", ".s", "1.2.3s", "5S", "5 s", " 5s", "5s ", "1h-5m", "1h5", "five", "1e3s", "0x5s", "1y",
		"106752d", "9223372036854775808ns", "106751d1d", "9e999d", "99999999999999999999999w",
	} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

func TestDurationString(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 250 * time.Millisecond: "250ms", 60 * time.Second: "1m", 90 * time.Second: "1m30s", time.Hour: "1h",
		90 * time.Minute: "1h30m", 48 * time.Hour: "2d", 36 * time.Hour: "36h", 20 * time.Second: "20s",
	} {
		if got := Duration(d).String(); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0": 0, "1": 1, "1000": 1000, "12B": 12, "512k": 512 << 10, "512K": 512 << 10, "64MiB": 64 << 20, "64 MiB": 64 << 20,
		"64mib": 64 << 20, "1GB": 1e9, "1.5GiB": 3 << 29, "1T": 1 << 40, "1TB": 1e12, "0.5k": 512, "9223372036854775807": math.MaxInt64,
	} {
		got, err := ParseBytes(text)
		if err != nil || got != want {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "-1", "+1", "k", "MiB", "1.2.3k", "1k1k", "1 k 1", "64XB", "1e3", "0x10", "1_000", "9223372036854775808",
		"8388608T", "9223372036854776KB", "1ib", "１k",
	} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("%q: got %d", text, got)
		}
	}
}

func TestBytesString(t *testing.T) {
	for b, want := range map[Bytes]string{0: "0B", 1000: "1000B", 1 << 10: "1KiB", 1536: "1536B", 64 << 20: "64MiB", 3 << 29: "1536MiB", 1 << 40: "1TiB"} {
		if got := b.String(); got != want {
			t.Errorf("%d: got %q, want %q", b, got, want)
		}
	}
}

func FuzzUnits(f *testing.F) {
	for _, s := range []string{"0", "1h30m", "1.5d", "64MiB", "9223372036854776KB", "-1s"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDuration(s); err == nil {
			if again, err := ParseDuration(d.String()); d < 0 || err != nil || again != d {
				t.Errorf("%q: %d is written %q and read as %d, %v", s, d, d, again, err)
			}
		}
		if b, err := ParseBytes(s); err == nil {
			if again, err := ParseBytes(b.String()); b < 0 || err != nil || again != b {
				t.Errorf("%q: %d is written %q and read as %d, %v", s, b, b, again, err)
			}
		}
	})
}
