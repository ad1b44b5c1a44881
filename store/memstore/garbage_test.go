package memstore

import "testing"

func TestGarbageByWhatIsAlive(t *testing.T) {
	const mib, gib = int64(1) << 20, int64(1) << 30
	for _, c := range []struct {
		name                   string
		maxBytes, alive, other int64
		percent, limit         int64
	}{
		{"a small store is empty", 256 * mib, 4 * mib, 8 * mib, 800, (256 + 16 + 128 + 8) * mib},
		{"a small store is full", 256 * mib, 256 * mib, 8 * mib, 25, (256 + 16 + 128 + 8) * mib},
		{"a large store is full", 16 * gib, 16 * gib, 256 * mib, 12, (16+1+4)*gib + 256*mib},
		{"more is alive than the store's", 256 * mib, 1024 * mib, 16 * mib, 6, (1024 + 64 + 128 + 16) * mib},
		{"far more is alive than the store's", 256 * mib, 16 * gib, 0, 5, 17*gib + 128*mib},
	} {
		if p := gcPercent(c.maxBytes, c.alive); p != c.percent {
			t.Errorf("%s: GOGC is %d, want %d", c.name, p, c.percent)
		}
		l := memoryLimit(c.maxBytes, c.alive, c.other)
		if l != c.limit {
			t.Errorf("%s: the limit is %d MiB, want %d", c.name, l/mib, c.limit/mib)
		}
		if aim := c.alive + c.alive*gcPercent(c.maxBytes, c.alive)/100 + c.other; aim > l && c.alive <= c.maxBytes {
			t.Errorf("%s: the limit presses before the garbage is as much as is allowed", c.name)
		}
	}
}
