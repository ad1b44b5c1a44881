package memstore

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"surrogate/store"
)

func TestDivide(t *testing.T) {
	many := strings.Repeat("Via: a\r\n", 40)
	for _, c := range []struct{ name, head, own, common string }{
		{"nothing", "", "", ""},
		{"own only", "Date: x\r\nEtag: y\r\n", "Date: x\r\nEtag: y\r\n", ""},
		{"in any order", "Vary: a\r\nDate: x\r\nServer: b\r\nAccept-Ranges: c\r\n", "Date: x\r\n", "Accept-Ranges: c\r\nServer: b\r\nVary: a\r\n"},
		{"lines of a name stay in order", "Via: 2\r\nX-A: 2\r\nServer: b\r\nVia: 1\r\nX-A: 1\r\nVia: 3\r\n", "X-A: 2\r\nX-A: 1\r\n", "Server: b\r\nVia: 2\r\nVia: 1\r\nVia: 3\r\n"},
		{"an empty value", "Date: \r\nServer: \r\n", "Date: \r\n", "Server: \r\n"},
		{"a line without an end", "Server: a\r\nDate: x", "Date: x", "Server: a\r\n"},
		{"too many lines", "Date: x\r\n" + many, "Date: x\r\n" + many, ""},
	} {
		own, common := divide(store.HeadText(c.head), nil, nil)
		if string(own) != c.own || string(common) != c.common {
			t.Errorf("%s: own %q, common %q", c.name, own, common)
		}
		// What came from the store is stored again.
		text := c.common
		if again, shared := divide(store.HeadText(c.own).With(&text), nil, nil); string(again) != c.own || string(shared) != c.common {
			t.Errorf("%s: again, own %q, common %q", c.name, again, shared)
		}
	}
}

// What is asked for once is not kept, what is asked for twice is until the last
// has left, and its number goes to another then.
func TestCommonsComeAndGo(t *testing.T) {
	s := New(Options{})
	defer s.Close()
	c := &s.commons
	text := func(i int) []byte { return fmt.Appendf(nil, "Server: %060d\r\n", i) }
	if c.join(text(1)) != 0 || c.bytes.Load() != 0 {
		t.Error("kept at first sight")
	}
	one := c.join(text(1))
	if one == 0 || c.join(text(1)) != one || *c.text(one) != string(text(1)) {
		t.Fatal("not kept at second sight")
	}
	for range 2 {
		if c.join([]byte("Server: a\r\n")) != 0 {
			t.Error("a short one is kept")
		}
	}
	c.leave(0)
	c.leave(one)
	if c.text(one) == nil || c.bytes.Load() == 0 {
		t.Error("gone before the last has left")
	}
	c.leave(one)
	if c.text(one) != nil || c.bytes.Load() != 0 || c.text(7) != nil || c.text(60_000) != nil {
		t.Error("there when all have left")
	}
	c.join(text(2))
	if n := c.join(text(2)); n != one {
		t.Errorf("the next is number %d, want %d again", n, one)
	}
	for i := range 2 * (maxCommons + 10) {
		c.join(text(10 + i/2))
	}
	if c.ids.n != maxCommons {
		t.Errorf("%d are there, at most %d may be", c.ids.n, maxCommons)
	}
	s.Close()
	c.leave(one)
	for range 2 {
		if c.join(text(3)) != 0 {
			t.Error("kept after the end")
		}
	}
}

// A hit is given its own head, and without allocating, whatever of it is common,
// while others come and go and numbers pass from one common to the next.
//
// It fails when remove lets a block leave its common before its shard, and others
// come between (runtime.Gosched).
func TestHeadsAmongChanges(t *testing.T) {
	s := New(Options{MaxBytes: 64 << 20})
	const sites = 50
	at := func(page, site int) *store.Entry {
		return &store.Entry{
			Key:  store.Key(fmt.Sprintf("http://a.test/%d", page)),
			Head: store.HeadText(fmt.Sprintf("Server: %060d\r\nEtag: %d\r\nVary: a\r\nVary: b\r\n", site, site)),
			Body: make([]byte, page%2*bigBody),
			Life: store.Life{Born: time.Now(), TTL: time.Hour},
		}
	}
	put := func(page, site int) {
		if err := s.Put(t.Context(), at(page, site)); err != nil {
			t.Error(err)
		}
	}
	var writers, readers sync.WaitGroup
	var over atomic.Bool
	for w := range 2 {
		writers.Go(func() {
			for i := range 20_000 {
				page, site := 4*w+i%4, i/8%sites
				if i%3 == 0 {
					s.Drop(at(page, site))
				} else {
					put(page, site)
				}
			}
		})
	}
	right := func(h store.Head) bool {
		site, err := strconv.Atoi(h.Get("Server"))
		vary := h.Values("Vary")
		return err == nil && h.Count() == 4 && h.Get("Etag") == fmt.Sprint(site) && len(vary) == 2 && vary[0] == "a"
	}
	hits := 0
	readers.Go(func() {
		for i := 0; !over.Load(); i++ {
			f, err := s.Get(t.Context(), at(i%8, 0).Key, nil)
			if err != nil || f.Hit && !right(f.Entry.Head) {
				t.Errorf("%v, %q", err, f.Entry.Head)
				return
			}
			if f.Hit {
				hits++
			}
		}
	})
	writers.Wait()
	over.Store(true)
	readers.Wait()
	if sound(t, s); hits == 0 {
		t.Error("nothing was hit")
	}
	for page := range 8 {
		put(page, 1)
		put(page, 1)
	}
	if sound(t, s); s.commons.ids.n != 1 {
		t.Errorf("%d commons for one site", s.commons.ids.n)
	}
	if page, _, err := s.List(t.Context(), store.HostName("a.test"), "", 10); err != nil || len(page) != 8 || !right(page[0].Head) {
		t.Errorf("listed are %d, %v", len(page), err)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = s.Get(t.Context(), "http://a.test/0", nil) }); n != 0 {
		t.Errorf("%v allocations a hit", n)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A common counts as long as something has it, and nothing that is refused has it.
func TestCommonsAreAccounted(t *testing.T) {
	s := New(Options{MaxBytes: 1 << 20})
	defer s.Close()
	long := strings.Repeat("x", 10_000)
	for i := range 1000 {
		e := &store.Entry{
			Key:  store.Key(fmt.Sprintf("http://a.test/%d", i)),
			Head: store.HeadText(fmt.Sprintf("Content-Security-Policy: %s%d\r\n", long, i/4)),
			Tags: store.NamesOf("t"),
			Life: store.Life{Born: time.Now(), TTL: time.Hour},
		}
		if err := s.Put(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if s.used() > s.opt.MaxBytes {
			t.Fatalf("%d bytes", s.used())
		}
	}
	sound(t, s)
	ev, _ := s.Purge(t.Context(), store.Purge{Names: []store.Name{"t"}})
	late := &store.Entry{Key: "http://a.test/999", Head: store.HeadText(fmt.Sprintf("Content-Security-Policy: %s%d\r\n", long, 249)), Tags: store.NamesOf("t")}
	if err := s.Put(t.Context(), late); err == nil {
		t.Error("what fell is stored")
	}
	sound(t, s)
	for range s.Sweep(t.Context(), ev) {
	}
	if sound(t, s); s.used() != 0 || s.evictions == 0 {
		t.Errorf("%d bytes when nothing is left, after %d evictions", s.used(), s.evictions)
	}
}
