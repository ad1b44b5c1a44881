package redisstore

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
	"surrogate/store/redisstore/redistest"
)

// A tape records what a client sends: a line for each round trip.
type tape struct {
	mu    sync.Mutex // guards trips
	trips []string
}

func (t *tape) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (t *tape) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		t.add([]redis.Cmder{cmd})
		return next(ctx, cmd)
	}
}

func (t *tape) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		t.add(cmds)
		return next(ctx, cmds)
	}
}

func (t *tape) add(cmds []redis.Cmder) {
	var words []string
	for _, c := range cmds {
		w := strings.ToUpper(c.Name())
		if w == "EVALSHA" {
			w = "?"
			for name, sc := range map[string]*redis.Script{
				"put": putScript, "remove": removeScript, "look": lookScript, "enter": enterScript, "leave": leaveScript,
				"climb": climbScript, "link": linkScript, "commit": commitScript, "lead": leadScript, "fallen": fallenScript,
			} {
				if sc.Hash() == c.Args()[1] {
					w = name + ".lua"
				}
			}
			for name, sc := range queueScripts {
				if sc.Hash() == c.Args()[1] {
					w = "queue_" + name + ".lua"
				}
			}
		}
		words = append(words, w)
	}
	var line []string
	for i := 0; i < len(words); {
		n := 1
		for i+n < len(words) && words[i+n] == words[i] {
			n++
		}
		if w := words[i]; n > 1 {
			line = append(line, fmt.Sprintf("%d×%s", n, w))
		} else {
			line = append(line, w)
		}
		i += n
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trips = append(t.trips, strings.Join(line, " "))
}

func (t *tape) of(f func()) string {
	t.mu.Lock()
	t.trips = nil
	t.mu.Unlock()
	f()
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.trips, " | ")
}

// TestCost holds the package comment to what calls really send to the data plane.
func TestCost(t *testing.T) {
	s := start(t, fresh(redistest.Start(t).URL))
	rec := &tape{}
	s.rdb.AddHook(rec)
	ctx := t.Context()
	page := func(path string, tags store.NameList, deps ...store.Name) *store.Entry {
		return &store.Entry{
			Key: store.Key("http://shop.test" + path), Status: 200, Body: []byte("x"), Tags: tags, Deps: store.NamesOf(deps...),
			Life: store.Life{Born: time.Now(), TTL: time.Minute}, Ticket: s.heard(),
		}
	}
	put := func(e *store.Entry) func() {
		return func() {
			if err := s.Put(ctx, e); err != nil {
				t.Error(err)
			}
		}
	}
	get := func(path string, ask store.Fields, hit bool) func() {
		return func() {
			if f, err := s.Get(ctx, store.Key("http://shop.test"+path), ask); err != nil || f.Hit != hit {
				t.Errorf("Get %s: hit %v, %v", path, f.Hit, err)
			}
		}
	}
	big := page("/big", "a\nb")
	big.Body = bytes.Repeat([]byte("x"), 1200<<10)
	gzip := http.Header{"Accept-Encoding": {"gzip"}}
	vary := page("/vary", "a\nb")
	vary.Vary, vary.Pick = "accept-encoding", store.PickOf("accept-encoding", gzip)
	url := func(path string) store.Name { return store.URLName(store.Key("http://shop.test" + path)) }

	// Scripts are sent once by their text; that is not what a call costs.
	put(page("/warm", "a\nb", url("/up")))()
	put(page("/warm", "a", url("/up")))()
	for range s.Sweep(ctx, store.Event{Purge: store.Purge{Names: []store.Name{"a"}}, Seq: 1}) {
	}
	_ = s.rememberFallen(ctx, s.inc.Load(), map[id]store.Seq{})

	var got strings.Builder
	for _, c := range []struct {
		what string
		f    func()
	}{
		{"a miss", get("/a", nil, false)},
		{"Put, two tags", put(page("/a", "a\nb"))},
		{"Put in its place, the same two tags", put(page("/a", "a\nb"))},
		{"a hit", get("/a", nil, true)},
		{"a hit that wants no body", get("/a", headOnly{}, true)},
		{"Put that varies", put(vary)},
		{"a hit, the node not knowing that it varies", func() { s.data.varies.set(placeOf(vary.Key), ""); get("/vary", gzip, true)() }},
		{"a hit, the node knowing it", get("/vary", gzip, true)},
		{"Put of 1.2 MB", put(big)},
		{"a hit of 1.2 MB", get("/big", nil, true)},
		{"Put of what depends on one URL", put(page("/y", "a", url("/a")))},
		{"the same again", put(page("/y", "a", url("/a")))},
		{"Put of what is depended on", put(page("/a", "a\nb"))},
		{"Dependents of a tag", func() { _, _ = s.Dependents(ctx, []store.Name{"a"}) }},
		{"Count of a tag", func() { _, _ = s.Count(ctx, "a") }},
		{"Count of a host", func() { _, _ = s.Count(ctx, store.HostName("shop.test")) }},
		{"List of a tag, a page", func() { _, _, _ = s.List(ctx, "a", "", 2) }},
	} {
		fmt.Fprintf(&got, "//\t%-44s %s\n", c.what, rec.of(c.f))
	}
	doc, err := os.ReadFile("cost.go")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	calls, _, _ := strings.Cut(string(doc), monitored)
	for line := range strings.Lines(calls) {
		if strings.HasPrefix(line, "//\t") {
			want = append(want, line)
		}
	}
	if g := slices.Collect(strings.Lines(got.String())); !slices.Equal(g, want) {
		t.Errorf("cost.go says\n%s\nwhat is sent is\n%s", strings.Join(want, ""), got.String())
	}
}

type headOnly struct{}

func (headOnly) Values(string) []string { return nil }
func (headOnly) WantsBody() bool        { return false }
