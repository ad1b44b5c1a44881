package main

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// This program plays its parts when the environment says so; so does its test.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := play(role); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// able ends a test that cannot run here, which is a failure where nothing may be
// missing.
func able(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes some seconds: not with -short")
	}
	for _, n := range needs {
		if n.must && !n.there() {
			if os.Getenv("REQUIRE_JUDGES") != "" {
				t.Fatalf("%s is not installed", n.pkg)
			}
			t.Skipf("%s is not installed", n.pkg)
		}
	}
	t.Setenv("TMPDIR", t.TempDir())
	t.Cleanup(func() { nothingLeft(t) })
}

// nothingLeft checks that every process has ended, and that every directory is gone.
func nothingLeft(t *testing.T) {
	t.Helper()
	if pids := tree(os.Getpid()); len(pids) > 1 {
		t.Errorf("these run on: %v", pids[1:])
	}
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range commands {
		if text, err := os.ReadFile(name); err == nil && bytes.Contains(text, []byte(os.TempDir()+"/surrogate-bench-")) {
			t.Errorf("%s runs on: %q", name, text)
		}
	}
	if left, _ := filepath.Glob(os.TempDir() + "/surrogate-bench-*"); len(left) > 0 {
		t.Errorf("these are left: %v", left)
	}
}

// A run measures everything, with whatever is installed.
func TestRun(t *testing.T) {
	able(t)
	var out bytes.Buffer
	if err := run(t.Context(), quickly(), &out, t.Output()); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + out.String())
	want := []string{"| hit, 1 KiB |", "| hit, 1 KiB, TLS |", "| miss, 1 KiB, stored |", " 2,000, beyond those, surrogate |", "on 1,000 objects, request to answer, surrogate |", "hits a second, quiet", "visitors a second, an origin", "visitors' own misses"}
	if has("h2load") {
		want = append(want, "| hit, 1 KiB, HTTP/2 |")
	}
	if has("redis-server") {
		want = append(want, "| hit from Redis, 1 KiB |", "a bare GET's", "50 clients at once on a cold key", "in force on three nodes")
	}
	for _, w := range want {
		if !strings.Contains(out.String(), w) {
			t.Errorf("there is no %q", w)
		}
	}
	for _, name := range []string{floorName, haproxyName, nginxName, varnishName} {
		if is := strings.Contains(out.String(), " "+name+" |"); is != (&bench{floor: programPath("gcc")}).there(name) {
			t.Errorf("%s takes part: %v", name, is)
		}
	}
}

// Whoever interrupts a run finds nothing of it left.
func TestInterrupted(t *testing.T) {
	able(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o := quickly()
	o.only = []string{"requests"}
	progress := &trigger{word: "round 1", pull: cancel}
	if err := run(ctx, o, t.Output(), progress); err == nil {
		t.Error("it went on to the end")
	}
	if !progress.pulled {
		t.Error("it never came to measuring")
	}
}

// A trigger is pulled when a word is written.
type trigger struct {
	mu     sync.Mutex // guards pulled
	word   string
	pull   func()
	pulled bool
}

func (x *trigger) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.pulled && bytes.Contains(p, []byte(x.word)) {
		x.pulled = true
		x.pull()
	}
	return len(p), nil
}

func TestUnknownStage(t *testing.T) {
	o := quickly()
	o.only = []string{"requets"}
	if err := run(t.Context(), o, t.Output(), t.Output()); err == nil || !strings.Contains(err.Error(), `no stage "requets"`) {
		t.Error(err)
	}
}

func TestParseCores(t *testing.T) {
	for list, want := range map[string][]int{"0": {0}, "0-1": {0, 1}, "2,4-6": {2, 4, 5, 6}} {
		if got, err := parseCores(list); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q is %v, %v", list, got, err)
		}
	}
	for _, list := range []string{"", "a", "1-"} {
		if got, err := parseCores(list); err == nil {
			t.Errorf("%q is %v", list, got)
		}
	}
}

// What was not what its row says is not measured.
func TestPlausible(t *testing.T) {
	hit, miss := row{hit: true}, row{}
	good := load{Requests: 1000, Bytes: 1000 * 1500}
	for _, c := range []struct {
		what  string
		row   row
		load  load
		asked int64
		ok    bool
	}{
		{"hits", hit, good, 0, true},
		{"hits for which the origin was asked", hit, good, 1, false},
		{"hits with other bodies", hit, load{Requests: 1000, Bytes: 1000 * 300}, 0, false},
		{"hits with longer bodies", hit, load{Requests: 1000, Bytes: 1000 * 2500}, 0, false},
		{"misses", miss, good, 1000, true},
		{"misses, some under way at the end", miss, good, 1032, true},
		{"misses that were none", miss, good, 900, false},
		{"misses that were fetched twice", miss, good, 2000, false},
	} {
		if err := plausible(c.row, c.load, c.asked, 1500, 32); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	for _, l := range []load{{}, {Requests: 5, Refused: 1}, {Requests: 5, Broken: 1}} {
		if l.err() == nil {
			t.Errorf("%+v is no error", l)
		}
	}
}

// What h2load says of a run, and its log.
func TestParseH2load(t *testing.T) {
	said := func(requests string) string {
		return "starting benchmark...\n\nfinished in 1.50s, 2.00 req/s, 3.00KB/s\nrequests: " + requests + `
status codes: 3 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 3.28KB (3358) total, 210B (210) headers (space savings 91.51%), 3.00KB (3072) data
                     min         max         mean         sd        +/- sd
`
	}
	times := "1700000000000001\t200\t150\n1700000000000002\t200\t90\n1700000000000003\t200\t2000\n"
	got, err := parseH2load(said("4 total, 4 started, 3 done, 3 succeeded, 0 failed, 0 errored, 0 timeout"), times)
	if want := (load{Requests: 3, Bytes: 3072, Micros: 1_500_000, P50: 150, P99: 2000, P999: 2000}); err != nil || got != want {
		t.Errorf("read %+v, %v", got, err)
	}
	got, err = parseH2load(said("4 total, 4 started, 4 done, 1 succeeded, 3 failed, 1 errored, 1 timeout"), times)
	if err != nil || got.Broken != 2 || got.Refused != 1 {
		t.Errorf("of failures it read %+v, %v", got, err)
	}
	for _, bad := range [][2]string{{"", times}, {said("4 done"), times}, {said("4 total, 4 started, 3 done, 3 succeeded, 0 failed, 0 errored, 0 timeout"), "200\t15\n"}} {
		if got, err := parseH2load(bad[0], bad[1]); err == nil {
			t.Errorf("%q is %+v", bad, got)
		}
	}
}

func TestParseBench(t *testing.T) {
	got := parseBench("goos: linux\nBenchmarkHit/1KiB,clients=16-2 \t 20\t 5.5 ns/hit\t 0.81 of-GET\nBenchmarkX/a-b \t 1\t 7 ms\nPASS\nok  \tsurrogate/store\t1.2s\n")
	if len(got) != 2 || got["1KiB,clients=16"]["of-GET"] != 0.81 || got["1KiB,clients=16"]["ns/hit"] != 5.5 || got["a-b"]["ms"] != 7 {
		t.Errorf("parsed %v", got)
	}
}

// Who waits for the origin after a purge: whoever is not given a hit, or has to wait
// for one, from when he came, unless nobody had asked for the page before.
func TestRushCounts(t *testing.T) {
	purged := time.Now()
	visits := []visit{
		{due: purged.Add(-time.Millisecond), took: slowness}, // too early to count
		{due: purged, took: time.Millisecond, hit: true},
		{due: purged, took: slowness},
		{due: purged.Add(2 * time.Second), took: slowness / 4, joined: true},
		{due: purged.Add(2 * time.Second), took: slowness, hit: true},
		{due: purged.Add(2 * time.Second), took: time.Millisecond, hit: true},
		{due: purged.Add(2 * time.Second), took: 2 * slowness, anew: true},
	}
	r := &rush{rewarm: 5}
	if err := r.take(visits, purged); err != nil {
		t.Fatal(err)
	}
	if r.came != 5 || r.waited != 3 || r.cameLater != 3 || r.waitedLater != 2 || len(r.own) != 2 || meanOf(r.own) != 300 {
		t.Errorf("counted %+v", r)
	}
	if err := r.take([]visit{{due: purged, took: time.Millisecond}}, purged); err == nil {
		t.Error("an origin that answers at once is none of the kind")
	}
	c := shopCount{Warming: side{Asked: 4, Most: 3}, Back: map[string]float64{}}
	var hottest []string
	for i := range 10 {
		hottest = append(hottest, productPath(i))
		if i > 0 {
			c.Back[productPath(i)] = float64(i)
		}
	}
	if err := r.look(c, hottest); err != nil || r.most != 3 || r.mostBack[0] != 9 || !math.IsInf(r.allBack[0], 1) {
		t.Errorf("saw %+v: %v", r, err)
	}
	if err := (&rush{}).look(c, hottest); err == nil {
		t.Error("what was not to be fetched again was")
	}
}

// The visitors of one seed ask for the same, whoever they ask.
func TestCrowd(t *testing.T) {
	a, b := crowdOf(1, 100), crowdOf(1, 100)
	if x, y := a.asksFor(50, false), b.asksFor(50, false); !slices.Equal(x, y) {
		t.Errorf("they ask for %q and %q", x, y)
	}
	rare := 0
	for _, path := range a.asksFor(10_000, true) {
		if strings.HasPrefix(path, "/articles/") {
			rare++
		}
	}
	if rare < 400 || rare > 600 {
		t.Errorf("%d of 10,000 ask for what nobody has", rare)
	}
	if hottest := a.hottest(1000); len(hottest) != 100/inCategory {
		t.Errorf("the hottest are %q", hottest)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		xs   []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{3, 1}, 2}, {[]float64{9, 1, 2}, 2}} {
		if got := median(c.xs); got != c.want {
			t.Errorf("median of %v is %v", c.xs, got)
		}
	}
}

func TestCostTable(t *testing.T) {
	r := rowResult{row{title: "hit"}, map[string][]sample{
		surrogateName: {{cpu: 5}, {cpu: 100}, {cpu: 6}},
		nginxName:     {{cpu: 12}, {cpu: 11}, {cpu: 200}},
	}}
	want := "| CPU of a request, µs (surrogate's share of it) | surrogate | nginx |\n|---|---|---|\n| hit | **6.0** | 12.0 (0.50) |\n"
	if got := costTable([]rowResult{r}); got != want {
		t.Errorf("the table is\n%s", got)
	}
}

func TestVerdicts(t *testing.T) {
	b := &bench{
		requested: []rowResult{{rows[hitRow], map[string][]sample{surrogateName: {{cpu: 8}}, haproxyName: {{cpu: 10}}, nginxName: {{cpu: 10}}}}},
		redis:     &redisResult{ofGET: map[string]float64{"1KiB": 0.6}},
		rushes: []*rush{
			{own: []time.Duration{slowness}}, {rewarm: 1, own: []time.Duration{slowness}, most: 9}, {rewarm: 2, own: []time.Duration{slowness * 5 / 4}, most: 8},
		},
		purged: []purgeResult{{surrogateName, 100_000, []float64{0.2, 9, 0.3}}, {varnishName, 100_000, []float64{11}}},
	}
	var got []string
	for _, v := range b.verdicts() {
		got = append(got, fmt.Sprintf("%.2f%s %v", v.figure, v.unit, v.met()))
	}
	want := []string{"0.80 × HAProxy true", "0.80 × nginx false", "0.30 ms true", "0.60 × a bare GET false", "9.00 false", "1.25 × without false"}
	if !slices.Equal(got, want) {
		t.Errorf("verdicts are %q", got)
	}
}
