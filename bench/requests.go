package main

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// cacheMegabytes is what each server may cache in where memory is not the subject.
const cacheMegabytes = 1024

// A row is a kind of request that several servers are measured with.
type row struct {
	title   string
	kind    string // of the origin's path
	size    int    // of the body
	objects int    // that are asked for in turn; 0 for ever new ones
	status  int
	hit     bool     // the origin is not asked
	fields  []string // of the request
	names   []string // of the servers
	over    over
}

// over is what a request comes over.
type over uint8

const (
	overTCP over = iota
	overTLS
	overHTTP2 // and TLS
)

var (
	peers   = []string{haproxyName, nginxName, varnishName}
	caches  = append([]string{surrogateName, besideName}, peers...)
	hitters = append([]string{floorName}, caches...)
	secured = []string{surrogateName, besideName, haproxyName, nginxName} // that speak TLS
	session = []string{"Cookie", "session=0123456789abcdef"}
)

// dialer opens connections for a kind of row. What HTTP/2 is asked for is looked up
// by the same names as over TLS alone, so that can fill a cache for it.
func dialer(o over) func(addr string) (*conn, error) {
	if o == overTCP {
		return dial
	}
	return dialTLS
}

// Rows that others speak of.
const (
	hitRow   = 0
	hit10Row = 1
	missRow  = 4
	passRow  = 5
	tlsRow   = 6
	http2Row = 8
)

var rows = []row{
	{"hit, 1 KiB", kindHit, 1 << 10, 1000, 200, true, nil, hitters, overTCP},
	{"hit, 10 KiB", kindHit, 10 << 10, 1000, 200, true, nil, hitters, overTCP},
	{"hit, 100 KiB", kindHit, 100 << 10, 100, 200, true, nil, hitters, overTCP},
	{"304, to If-None-Match", kindHit, 1 << 10, 1000, 304, true, []string{"If-None-Match", etagOf(1 << 10)}, hitters, overTCP},
	{"miss, 1 KiB, stored", kindHit, 1 << 10, 0, 200, false, nil, caches, overTCP},
	{"passed through, 1 KiB", kindOwn, 1 << 10, 100, 200, false, session, append(slices.Clone(caches), reverseName), overTCP},
	{"hit, 1 KiB, TLS", kindHit, 1 << 10, 1000, 200, true, nil, secured, overTLS},
	{"hit, 10 KiB, TLS", kindHit, 10 << 10, 1000, 200, true, nil, secured, overTLS},
	{"hit, 1 KiB, HTTP/2", kindHit, 1 << 10, 1000, 200, true, nil, secured, overHTTP2},
}

// A sample is one measurement.
type sample struct {
	cpu            float64 // µs of CPU for a request
	rate           float64 // requests in a second
	p50, p99, p999 float64 // µs
	busy           float64 // of the server's core
}

// A rowResult is a row with what was measured, by server.
type rowResult struct {
	row
	samples map[string][]sample
}

// rowsLike are those whose titles match.
func rowsLike(rows []row, match *regexp.Regexp) []row {
	return slices.DeleteFunc(slices.Clone(rows), func(r row) bool { return !match.MatchString(r.title) })
}

// requests measures every row on every server, in turns.
func (b *bench) requests(ctx context.Context) error {
	origin, source, err := b.startOrigin(ctx)
	if err != nil {
		return err
	}
	started := []*process{source}
	servers := map[string]*server{}
	for _, name := range names[1:] {
		if !b.there(name) {
			continue
		}
		x, err := b.launch(ctx, name, origin, cacheMegabytes)
		if err != nil {
			return err
		}
		servers[name] = x
		started = append(started, x.process)
	}
	type turn struct {
		row  *rowResult
		at   *server
		path string
		wire int // length of an answer
	}
	var turns []*turn
	results := make([]rowResult, len(b.o.rows))
	for i, r := range b.o.rows {
		results[i] = rowResult{r, map[string][]sample{}}
		prefix := strings.TrimSuffix(pathOf(r.kind, r.size, "product+list", 0), "0")
		var canned []byte
		for _, name := range r.names {
			x := servers[name]
			if x == nil || r.over == overHTTP2 && !has("h2load") {
				continue
			}
			wire, err := b.check(ctx, r, x, origin, prefix)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", r.title, name, err)
			}
			if name == surrogateName {
				canned = wire
			}
			size := len(wire)
			if r.over == overHTTP2 {
				size = r.size // h2load counts bodies
			}
			turns = append(turns, &turn{&results[i], x, prefix, size})
		}
		if slices.Contains(r.names, floorName) && b.there(floorName) {
			x, err := b.launchFloor(ctx, canned)
			if err != nil {
				return err
			}
			started = append(started, x.process)
			turns = append(turns, &turn{&results[i], x, prefix, len(canned)})
		}
	}
	for round := range b.o.rounds {
		b.say("round %d of %d: %d measurements of %d s", round+1, b.o.rounds, len(turns), b.o.seconds)
		for _, t := range turns {
			path := t.path
			if t.row.objects == 0 {
				path += fmt.Sprintf("%d-", round) // what earlier rounds have not stored
			}
			s, err := b.measure(ctx, t.row.row, t.at, origin, path, t.wire)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", t.row.title, t.at.name, err)
			}
			t.row.samples[t.at.name] = append(t.row.samples[t.at.name], s)
		}
		slices.Reverse(turns) // so that nobody always comes after the same
	}
	b.requested = results
	if b.o.profiles != "" {
		for _, t := range turns {
			if t.at.name != surrogateName {
				continue
			}
			path := t.path
			if t.row.objects == 0 {
				path += "profile-"
			}
			if err := b.profile(ctx, t.row.row, t.at, path); err != nil {
				return err
			}
		}
	}
	return b.end(started...)
}

// check looks at what a server answers before it is measured, and fills it with
// what will be asked for. It returns an answer as it came.
func (b *bench) check(ctx context.Context, r row, x *server, origin, prefix string) (wire []byte, err error) {
	path := func(i int) string { return fmt.Sprintf("%scheck-%d", prefix, i) }
	if r.hit {
		path = func(i int) string { return fmt.Sprint(prefix, i) }
		if err := warm(ctx, r, x, origin, path); err != nil {
			return nil, fmt.Errorf("%w: %s", err, &x.said)
		}
	}
	const looks = 20
	several := func() (err error) {
		for i := range looks {
			if wire, err = look(r, x, path(i)); err != nil {
				return err
			}
		}
		return nil
	}
	n, err := askedBy(origin, several)
	if err != nil {
		return nil, err
	}
	if r.hit && n != 0 || !r.hit && n != looks {
		return nil, fmt.Errorf("the origin was asked %d times for %d requests: %s", n, looks, &x.said)
	}
	if r.objects == 0 { // what was new is stored now
		if n, err = askedBy(origin, several); err != nil {
			return nil, err
		} else if n != 0 {
			return nil, fmt.Errorf("%d of %d misses were not stored: %s", n, looks, &x.said)
		}
	}
	return wire, nil
}

// warm has a server fetch all that will be asked for, again if need be: on a busy
// machine a fleet's store may have missed some.
func warm(ctx context.Context, r row, x *server, origin string, path func(i int) string) error {
	for range 5 {
		once := func() error { return fillBy(ctx, dialer(r.over), x.at(r.over), r.objects, path) }
		if err := once(); err != nil {
			return err
		}
		if n, err := askedBy(origin, once); n == 0 || err != nil {
			return err
		}
	}
	return fmt.Errorf("it does not keep %d objects", r.objects)
}

// askedBy is how often the origin is asked while f runs.
func askedBy(origin string, f func() error) (int64, error) {
	before, err := asked(origin)
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	after, err := asked(origin)
	return after - before, err
}

// look asks for one path and checks the answer against what the origin says.
func look(r row, x *server, path string) ([]byte, error) {
	ask := getHTTP2
	if r.over != overHTTP2 {
		ask = func(addr, path string, fields ...string) (answer, error) {
			return getBy(dialer(r.over), addr, path, fields...)
		}
	}
	a, err := ask(x.at(r.over), path, r.fields...)
	if err != nil {
		return nil, err
	}
	if a.status != r.status {
		return nil, fmt.Errorf("GET %s is answered %d, not %d", path, a.status, r.status)
	}
	_, meant := appendMeant(path)
	if r.status == 200 && !bytes.Equal(a.body, meant.body) {
		return nil, fmt.Errorf("the body of %s is not the origin's", path)
	}
	fields := []string{"etag", "last-modified", "vary", "cache-control", "content-type", "content-security-policy", "x-frame-options"}
	if r.status == 304 {
		fields = fields[:1] // the field that all of them send
	}
	for _, f := range fields {
		if got, want := a.field(f), meant.field(f); got != want {
			return nil, fmt.Errorf("%s of %s is %q, not %q", f, path, got, want)
		}
	}
	if a.field("xkey") != "" {
		return nil, fmt.Errorf("tags are passed on")
	}
	return append(slices.Clone(a.head), a.body...), nil
}

// appendMeant is the origin's answer at a path, as it is on the wire and taken apart.
func appendMeant(path string) ([]byte, answer) {
	wire, _ := appendAnswer(nil, nil, path)
	end := bytes.Index(wire, []byte("\r\n\r\n")) + 4
	return wire, answer{status: 200, head: wire[:end], body: wire[end:]}
}

// measure is one turn of one server at one row.
func (b *bench) measure(ctx context.Context, r row, x *server, origin, path string, wire int) (sample, error) {
	asked0, err := atRest(ctx, origin)
	if err != nil {
		return sample{}, err
	}
	cpu0, err := x.cpu()
	if err != nil {
		return sample{}, err
	}
	began := time.Now()
	l, err := b.load(ctx, r, x, path)
	if err != nil {
		return sample{}, err
	}
	took := time.Since(began)
	cpu1, err := x.cpu()
	if err != nil {
		return sample{}, err
	}
	asked1, err := asked(origin)
	if err != nil {
		return sample{}, err
	}
	if err := plausible(r, l, asked1-asked0, wire, b.o.connections); err != nil {
		return sample{}, err
	}
	seconds := float64(l.Micros) / 1e6
	return sample{
		cpu:  float64((cpu1 - cpu0).Nanoseconds()) / 1e3 / float64(l.Requests),
		rate: float64(l.Requests) / seconds,
		p50:  float64(l.P50), p99: float64(l.P99), p999: float64(l.P999),
		busy: (cpu1 - cpu0).Seconds() / took.Seconds(),
	}, nil
}

// atRest waits until the origin is asked for nothing any more, as it may be for what
// an earlier turn left under way, and returns how often it was asked. It waits for
// seconds at most: then the turn will tell that somebody else asks.
func atRest(ctx context.Context, origin string) (int64, error) {
	last, err := asked(origin)
	give := time.Now().Add(5 * time.Second)
	for same := 0; same < 5 && err == nil && time.Now().Before(give); {
		if err = sleep(ctx, 5*time.Millisecond); err != nil {
			break
		}
		var now int64
		if now, err = asked(origin); now == last {
			same++
		} else {
			last, same = now, 0
		}
	}
	return last, err
}

// plausible tells whether a load can have been what its row says, give or take the
// requests that wrk sent and did not see the end of.
func plausible(r row, l load, asked int64, wire, connections int) error {
	if r.hit && asked != 0 {
		return fmt.Errorf("the origin was asked %d times during %d hits", asked, l.Requests)
	}
	if !r.hit && (asked < l.Requests || asked > l.Requests+l.Requests/50+2*int64(connections)) {
		return fmt.Errorf("the origin was asked %d times for %d requests", asked, l.Requests)
	}
	each, slack := float64(l.Bytes)/float64(l.Requests), 32+float64(wire*connections)/float64(l.Requests)
	if each < float64(wire)-slack || each > float64(wire)+slack {
		return fmt.Errorf("an answer had %.0f bytes on average, not %d", each, wire)
	}
	return nil
}
