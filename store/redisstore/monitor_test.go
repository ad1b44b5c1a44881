package redisstore

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
	"surrogate/store/redisstore/redistest"
)

// A monitor reads what a server does, as redis-cli MONITOR shows it.
type monitor struct {
	t    *testing.T
	r    *redistest.Server
	read *bufio.Reader
}

func newMonitor(t *testing.T, r *redistest.Server) *monitor {
	t.Helper()
	c, err := net.Dial("unix", r.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	if _, err := c.Write([]byte("MONITOR\r\n")); err != nil {
		t.Fatal(err)
	}
	m := &monitor{t: t, r: r, read: bufio.NewReader(c)}
	if ok, err := m.read.ReadString('\n'); err != nil || ok != "+OK\r\n" {
		t.Fatalf("MONITOR: %q, %v", ok, err)
	}
	return m
}

// of returns the commands that clients sent while f ran, one after the other and
// each once, without what a node sends anyhow, and whatever else until and with
// those that are named: those come in no order.
func (m *monitor) of(f func(), until ...string) string {
	m.t.Helper()
	m.r.Do("ECHO", "begin")
	f()
	if len(until) == 0 {
		m.r.Do("ECHO", "end")
	}
	var seen []string
	missing := slices.Clone(until)
	for began := false; ; {
		line, err := m.read.ReadString('\n')
		if err != nil {
			m.t.Fatal(err)
		}
		_, rest, _ := strings.Cut(line, "] ")
		args := strings.Split(strings.TrimSpace(rest), `" "`)
		word := strings.ToUpper(strings.Trim(args[0], `"`))
		switch {
		case strings.Contains(line, " lua] "):
			continue // a script did it
		case word == "ECHO" && strings.HasPrefix(args[1], "begin"):
			began = true
			continue
		case word == "ECHO":
			return strings.Join(seen, " ")
		case !began:
			continue
		case word == "EVALSHA":
			word = scriptOf(args[1])
		}
		if slices.Contains(until, word) {
			missing = slices.DeleteFunc(missing, func(w string) bool { return w == word })
		} else if !slices.Contains([]string{"XREAD", "lease.lua", "trim.lua", "HELLO", "CLIENT", "SELECT", "PING", "ZRANGE", "ZRANGEBYSCORE"}, word) && !slices.Contains(seen, word) {
			seen = append(seen, word)
		}
		if len(until) > 0 && len(missing) == 0 {
			return strings.Join(append(seen, until...), " ")
		}
	}
}

func scriptOf(hash string) string {
	for name, sc := range map[string]*redis.Script{
		"purge": purgeScript, "lease": leaseScript, "nodes": nodesScript, "trim": trimScript, "release": releaseScript,
		"renew": renewScript, "begin": beginScript, "load": loadScript, "settle": settleScript,
		"put": putScript, "enter": enterScript, "leave": leaveScript, "look": lookScript,
	} {
		if sc.Hash() == hash {
			return name + ".lua"
		}
	}
	return "?"
}

// monitored is where in cost.go that begins.
const monitored = "# What MONITOR shows"

// TestWhatMonitorShows holds the package comment to what a server sees of a hit, a
// miss, a purge and a claim, whoever sends it.
func TestWhatMonitorShows(t *testing.T) {
	r := redistest.Start(t)
	s := start(t, Options{Redis: Redis{URL: r.URL}, MaxDeaf: deaf})
	waitFor(t, "it is used", (&tried{t, s}).works) // the scripts are known, connections open
	if c, _, err := s.Claim(t.Context(), "warm", time.Minute); err != nil {
		t.Fatal(err)
	} else {
		c.Release(t.Context())
	}
	f := &tried{t, s}
	if err := f.write(); err != nil {
		t.Fatal(err)
	}
	m := newMonitor(t, r)
	get := func(path string, hit bool) func() {
		return func() {
			if f, err := s.Get(t.Context(), store.Key("http://shop.test"+path), http.Header{}); err != nil || f.Hit != hit {
				t.Errorf("%s: %+v, %v", path, f, err)
			}
		}
	}
	var claim store.Claim
	var got strings.Builder
	for _, c := range []struct {
		what  string
		f     func()
		until []string
	}{
		{"a hit", get("/a", true), nil},
		{"a miss", get("/nothing", false), nil},
		{"a purge, until all know that all have heard", func() { s.awaited(t, "t") }, []string{"XREAD", "lease.lua"}},
		{"a claim", func() { claim, _, _ = s.Claim(t.Context(), "x", time.Minute) }, nil},
		{"its release", func() { claim.Release(context.Background()) }, nil},
	} {
		fmt.Fprintf(&got, "//\t%-44s %s\n", c.what, m.of(c.f, c.until...))
	}
	doc, err := os.ReadFile("cost.go")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	_, shown, _ := strings.Cut(string(doc), monitored)
	for line := range strings.Lines(shown) {
		if strings.HasPrefix(line, "//\t") {
			want = append(want, line)
		}
	}
	if g := slices.Collect(strings.Lines(got.String())); !slices.Equal(g, want) {
		t.Errorf("cost.go says\n%s\nMONITOR shows\n%s", strings.Join(want, ""), got.String())
	}
}
