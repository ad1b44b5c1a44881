package warm_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/store"
	"surrogate/warm"
)

func keyOf(i int) store.Key { return store.Key(fmt.Sprintf("http://shop.example/products/%d", i)) }

func TestHeatDecays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := warm.NewHeat(warm.HeatOptions{Half: 10 * time.Minute})
		for range 40 {
			h.Asked("http://a/", "", "", time.Now())
		}
		first := h.Of("http://a/", time.Now())
		if want := 40 * math.Ln2 / 10; math.Abs(first-want) > 1e-4 {
			t.Errorf("40 requests at once are %g requests a minute, want %g", first, want)
		}
		time.Sleep(20 * time.Minute)
		if got := h.Of("http://a/", time.Now()); math.Abs(got-first/4) > 1e-4 {
			t.Errorf("after two half-lives it is %g, and was %g", got, first)
		}
		if got := h.Of("http://b/", time.Now()); got != 0 {
			t.Errorf("what nobody asked for is %g", got)
		}
	})
}

// TestHeatIsItsRate: what is asked for steadily is as hot as it is asked for,
// however hot that is.
func TestHeatIsItsRate(t *testing.T) {
	for _, perMinute := range []int{6, 600, 60_000} {
		synctest.Test(t, func(t *testing.T) {
			h := warm.NewHeat(warm.HeatOptions{Half: time.Minute})
			for range 10 * perMinute {
				h.Asked("http://a/", "", "", time.Now())
				time.Sleep(time.Minute / time.Duration(perMinute))
			}
			if got := h.Of("http://a/", time.Now()); math.Abs(got/float64(perMinute)-1) > 0.35 {
				t.Errorf("%d requests a minute are told as %g", perMinute, got)
			}
		})
	}
}

func TestHeatKnowsThePicks(t *testing.T) {
	now := time.Now()
	h := warm.NewHeat(warm.HeatOptions{})
	ask := func(n int, vary string, p store.Pick) {
		for range n {
			h.Asked("http://a/", vary, p, now)
		}
	}
	ask(3, "accept-language", "accept-language: de\n")
	ask(5, "accept-language", "accept-language: fr\n")
	hot, _ := h.Look("http://a/", now)
	if len(hot.Picks) != 2 || hot.Picks[0].Pick != "accept-language: fr\n" || hot.Picks[0].Vary != "accept-language" {
		t.Errorf("asked for in French and German: %+v", hot)
	}
	ask(1, "cookie", "")
	if hot, _ = h.Look("http://a/", now); len(hot.Picks) != 1 || hot.Picks[0].Vary != "cookie" {
		t.Errorf("it varies by cookie now: %+v", hot)
	}
	for i := range 1000 {
		ask(1, "cookie", store.Pick(fmt.Sprintf("cookie: %d\n", i)))
	}
	if hot, _ = h.Look("http://a/", now); len(hot.Picks) != 16 {
		t.Errorf("%d picks of one key are remembered", len(hot.Picks))
	}
}

func TestHottest(t *testing.T) {
	now := time.Now()
	h := warm.NewHeat(warm.HeatOptions{})
	for i := range 100 {
		for range i {
			h.Asked(keyOf(i), "", "", now)
		}
	}
	given := slices.Values([]store.Key{keyOf(3), keyOf(0), keyOf(50), keyOf(7), "http://unknown/"})
	var got []store.Key
	for _, x := range h.Hottest(given, 2, now) {
		got = append(got, x.Key)
	}
	if !slices.Equal(got, []store.Key{keyOf(50), keyOf(7)}) {
		t.Errorf("the two hottest given are %v", got)
	}
	if top := h.Top(1, now); len(top) != 1 || top[0].Heat < h.Of(keyOf(90), now) {
		t.Errorf("the hottest of all is %+v", top)
	}
	if h.Top(0, now) != nil {
		t.Error("none were asked for")
	}
}

// TestHeatResistsScans: two hundred thousand keys asked for once leave what is hot.
func TestHeatResistsScans(t *testing.T) {
	now := time.Now()
	h := warm.NewHeat(warm.HeatOptions{Keys: 4096})
	for i := range 500 {
		for range 20 {
			h.Asked(keyOf(i), "", "", now)
		}
	}
	for i := range 200_000 {
		h.Asked(store.Key(fmt.Sprintf("http://shop.example/search?q=%d", i)), "", "", now)
	}
	left := 0
	for i := range 500 {
		if h.Of(keyOf(i), now) > 0 {
			left++
		}
	}
	if left < 490 {
		t.Errorf("of 500 hot keys a scan has left %d", left)
	}
}

// TestHeatAdaptsWhenFull: what becomes hot gets in, and what was long ago goes.
func TestHeatAdaptsWhenFull(t *testing.T) {
	now := time.Now()
	h := warm.NewHeat(warm.HeatOptions{Keys: 1024, Half: time.Minute})
	for i := range 4096 {
		for range 8 {
			h.Asked(keyOf(i), "", "", now)
		}
	}
	now = now.Add(10 * time.Minute)
	for range 30 {
		for i := 5000; i < 5200; i++ {
			h.Asked(keyOf(i), "", "", now)
		}
	}
	known := 0
	for i := 5000; i < 5200; i++ {
		if h.Of(keyOf(i), now) > 0 {
			known++
		}
	}
	if known < 195 {
		t.Errorf("of 200 keys that became hot %d are known", known)
	}
}

func TestHeatIsBounded(t *testing.T) {
	now := time.Now()
	h := warm.NewHeat(warm.HeatOptions{Keys: 1 << 16, Bytes: 1 << 20})
	long := strings.Repeat("x", 1000)
	for i := range 50_000 {
		h.Asked(keyOf(i)+store.Key(long[:rand.IntN(1000)]), "cookie", store.Pick(long[:rand.IntN(100)]), now)
		h.Asked(keyOf(i%100), "cookie", store.Pick(long[:rand.IntN(300)]), now)
	}
	if keys, bytes := h.Held(); bytes > 1<<20 || keys < 800 {
		t.Errorf("it holds %d keys in %d bytes, of at most %d", keys, bytes, 1<<20)
	}
	h.Asked(store.Key(strings.Repeat("y", 1<<20)), "", "", now)
	if h.Of(store.Key(strings.Repeat("y", 1<<20)), now) != 0 {
		t.Error("a key as large as all room was taken in")
	}
}

func TestHeatAllocatesNothing(t *testing.T) {
	now := time.Now()
	h := warm.NewHeat(warm.HeatOptions{})
	key, pick := keyOf(1), store.Pick("accept-encoding: gzip\n")
	if n := testing.AllocsPerRun(10_000, func() { h.Asked(key, "accept-encoding", pick, now) }); n != 0 {
		t.Errorf("a known pick costs %g allocations", n)
	}
}

func BenchmarkHeat(b *testing.B) {
	const n = 20_000
	keys := make([]store.Key, n)
	for i := range keys {
		keys[i] = keyOf(i)
	}
	for _, c := range []struct {
		name string
		of   func(r *rand.Rand) int
	}{
		{"one", func(*rand.Rand) int { return 0 }},
		{"many", func(r *rand.Rand) int { return r.IntN(n) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			h := warm.NewHeat(warm.HeatOptions{})
			now := time.Now()
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				r := rand.New(rand.NewPCG(1, 2))
				for pb.Next() {
					h.Asked(keys[c.of(r)], "", "", now)
				}
			})
		})
	}
	b.Run("unknown", func(b *testing.B) {
		h := warm.NewHeat(warm.HeatOptions{Keys: 1024})
		now := time.Now()
		for range 20 {
			for _, k := range keys {
				h.Asked(k, "", "", now)
			}
		}
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			h.Asked(keys[i%n], "", "", now)
		}
	})
}
