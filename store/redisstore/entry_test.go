package redisstore

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"surrogate/store"
	"surrogate/store/redisstore/redistest"
)

// TestLargeBodies: in chunks, none of which is left when nothing names it, and
// a miss when one is gone.
func TestLargeBodies(t *testing.T) {
	srv := redistest.Start(t)
	rdb := srv.Client()
	s := start(t, fresh(srv.URL))
	chunks := func() (n int) {
		for k, ttl := range keysOf(t, rdb) {
			if strings.Contains(k, ":b:{") {
				if n++; ttl <= 0 || ttl > time.Minute {
					t.Errorf("%s ends in %v", k, ttl)
				}
			}
		}
		return n
	}
	for _, n := range []int{maxInline, maxInline + 1, chunk, chunk + 1, 3*chunk - 1, 3 * chunk} {
		e := testEntry(s, "/big", time.Minute)
		e.Body = make([]byte, n)
		for i := range e.Body {
			e.Body[i] = byte(i * 7 / 3)
		}
		mustPut(t, s, e)
		f, err := s.Get(t.Context(), e.Key, nil)
		if err != nil || !f.Hit || !bytes.Equal(f.Entry.Body, e.Body) {
			t.Errorf("%d bytes come back as %d, %v", n, len(f.Entry.Body), err)
		}
		f, err = s.Get(t.Context(), e.Key, headOnly{})
		if err != nil || !f.Hit || !f.Bodyless || f.Entry.Body != nil || f.Entry.Size != int64(n) {
			t.Errorf("without its body: %v %v, %d bytes of %d, %v", f.Hit, f.Bodyless, len(f.Entry.Body), f.Entry.Size, err)
		}
		want := 0
		if n > maxInline {
			want = (n + chunk - 1) / chunk
		}
		if got := chunks(); got != want {
			t.Errorf("%d bytes leave %d chunks, want %d", n, got, want)
		}
	}
	for k := range keysOf(t, rdb) {
		if strings.HasSuffix(k, ":1") && strings.Contains(k, ":b:{") {
			rdb.Del(t.Context(), k)
		}
	}
	if f, err := s.Get(t.Context(), "http://shop.test/big", nil); err != nil || f.Hit {
		t.Errorf("with a chunk missing: hit %v, %v", f.Hit, err)
	}
	// A refused Put leaves none behind.
	early := testEntry(s, "/late", time.Minute)
	early.Body = make([]byte, 2*chunk)
	early.Tags = "t"
	before := chunks()
	s.rdb.AddHook(&interposer{before: func(trip string) {
		if trip == "put.lua" {
			rdb.ConfigSet(t.Context(), "maxmemory", "1")
		}
	}})
	if err := s.Put(t.Context(), early); err == nil {
		t.Error("Put: no error although memory is full")
	}
	if got := chunks(); got != before {
		t.Errorf("%d chunks, %d before", got, before)
	}
	if c, err := s.Count(t.Context(), "t"); err != nil || c.Entries != 0 {
		t.Errorf("%+v counted, %v", c, err)
	}
}

// TestScriptsComeBack after a server forgot them.
func TestScriptsComeBack(t *testing.T) {
	srv := redistest.Start(t)
	s := start(t, fresh(srv.URL))
	for i := range 3 {
		srv.Do("script", "flush")
		e := testEntry(s, fmt.Sprint("/", i), time.Minute, testURL("/k"))
		mustPut(t, s, e)
		mustPut(t, s, e)
		if f, err := s.Get(t.Context(), e.Key, nil); err != nil || !f.Hit {
			t.Errorf("hit %v, %v", f.Hit, err)
		}
	}
}

// TestDeadMembersGo: those whose entries have ended or were evicted.
func TestDeadMembersGo(t *testing.T) {
	srv := redistest.Start(t)
	s := start(t, fresh(srv.URL))
	put := func(i int, life time.Duration) {
		e := testEntry(s, fmt.Sprint("/", i), life)
		e.Tags = "t"
		mustPut(t, s, e)
	}
	put(1000, time.Minute)
	for i := range 100 {
		put(i, 200*time.Millisecond)
	}
	time.Sleep(250 * time.Millisecond)
	for i := range 200 {
		put(1001+i%10, time.Minute)
	}
	if c, err := s.Count(t.Context(), "t"); err != nil || c.Entries < 11 || c.Entries > 40 {
		t.Errorf("%+v counted, %v", c, err)
	}
	var sum int64
	es, _, err := s.List(t.Context(), "t", "", 1000)
	for _, e := range es {
		sum += e.Bytes()
	}
	if err != nil || len(es) != 11 {
		t.Errorf("%d listed, %v", len(es), err)
	}
	// Stored long ago, and not there: a sweep takes them out.
	old := testEntry(s, "/evicted", time.Minute)
	old.Tags = "t"
	long := time.Now().Add(-2 * dangling)
	v := newVersion(old, time.Now().Add(time.Hour), long)
	if err := s.enter(t.Context(), s.inc.Load(), placeOf(old.Key), old, &v, time.Now()); err != nil {
		t.Fatal(err)
	}
	before, _ := s.Count(t.Context(), "t")
	for range s.Sweep(t.Context(), store.Event{Purge: store.Purge{Names: []store.Name{"t"}, Soft: true}, Seq: 1}) {
	}
	after, _ := s.Count(t.Context(), "t")
	if after.Entries >= before.Entries || after.Bytes < sum {
		t.Errorf("%+v before a sweep, %+v after; %d bytes are listed", before, after, sum)
	}
}
