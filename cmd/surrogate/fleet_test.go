package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"surrogate/store/redisstore/redistest"
)

// A fleetOf3 is three nodes in front of one origin, with one Redis.
type fleetOf3 struct {
	*testing.T
	nodes [3]*process
	redis *redistest.Server

	origin  string
	stop    func()       // ends the origin
	version atomic.Int64 // what the origin answers
	fetches atomic.Int64 // how often it was asked for what is not /check…
	pause   atomic.Int64 // how long it takes, in nanoseconds
}

const lease = time.Second

// sameHost is what a load balancer in front of the nodes would leave as it was.
const sameHost = "Host: shop.example"

func newFleet(t *testing.T, set ...string) *fleetOf3 {
	redis := redistest.StartTCP(t)
	f := newFleetOn(t, redis.URL, set...)
	f.redis = redis
	return f
}

// patient are settings with which nothing is given up because the machine is
// busy: by default a node that has no word from Redis in time fetches for itself,
// and what a fleet agrees upon cannot be counted.
var patient = []string{"--set", "redis.budget=20s", "--set", "redis.timeout=20s", "--set", "defaults.fill.wait=60s"}

func newFleetOn(t *testing.T, url string, set ...string) *fleetOf3 {
	f := &fleetOf3{T: t}
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		v := f.version.Load()
		f.fetches.Add(1)
		time.Sleep(time.Duration(f.pause.Load()))
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("Etag", strconv.Quote(fmt.Sprint(v)))
		w.Header().Set("Surrogate-Key", "page")
		fmt.Fprint(w, v)
	}))
	t.Cleanup(origin.Close)
	f.origin, f.stop = origin.URL, origin.Close
	for i := range f.nodes {
		f.nodes[i] = serveFor(t, origin.URL, append([]string{"--redis", url, "--set", "fleet.node=" + nodeName(i), "--set", "fleet.max_deaf=" + lease.String()}, set...)...)
	}
	f.hearing(0, 1, 2)
	f.confirmed(0) // a young Redis waits for those that it may not know
	return f
}

func nodeName(i int) string { return fmt.Sprintf("n%d", i) }

// hearing waits until these nodes hear.
func (f *fleetOf3) hearing(nodes ...int) {
	f.Helper()
	for _, i := range nodes {
		f.until("node "+nodeName(i)+" hears", func() bool {
			a, err := try("GET", f.nodes[i].admin+"/v1/nodes", "")
			return err == nil && strings.Contains(a.body, `"hears":true`)
		})
	}
}

// until waits until ok, which is asked again and again.
func (f *fleetOf3) until(what string, ok func() bool) {
	f.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(patience); !ok(); <-again.C {
		if time.Now().After(end) {
			for _, n := range f.nodes {
				f.Log(n.log.String())
			}
			f.Fatal("never: " + what)
		}
	}
}

// A receiptOf is what of a receipt these tests look at.
type receiptOf struct {
	ID       string           `json:"id"`
	Complete bool             `json:"complete"`
	Nodes    map[string]int64 `json:"nodes"`
	Detail   string           `json:"detail"`
}

// purge purges the page on one node.
func (f *fleetOf3) purge(node int, wait string) (status int, r receiptOf) {
	f.Helper()
	a := ask(f.T, "POST", f.nodes[node].admin+"/v1/purge", `{"tags":["page"],"wait":"`+wait+`"}`)
	if err := json.Unmarshal([]byte(a.body), &r); err != nil {
		f.Fatalf("%v in %s", err, a.body)
	}
	return a.StatusCode, r
}

// confirmed purges on one node until the receipt is complete, as some node sees it.
func (f *fleetOf3) confirmed(node int) {
	f.Helper()
	var r receiptOf
	f.until("a purge goes through", func() bool {
		var status int
		status, r = f.purge(node, "1s")
		return status == http.StatusOK || status == http.StatusAccepted
	})
	f.completes(node, r.ID)
}

// completes waits until a receipt is complete.
func (f *fleetOf3) completes(node int, id string) {
	f.Helper()
	f.until("the receipt is complete", func() bool {
		var r receiptOf
		a := ask(f.T, "GET", f.nodes[node].admin+"/v1/purges/"+id, "")
		return json.Unmarshal([]byte(a.body), &r) == nil && r.Complete
	})
}

// shows wants a node to show the newest version.
func (f *fleetOf3) shows(node int, path string) {
	f.Helper()
	a := get(f.T, f.nodes[node].proxy+path, sameHost)
	if want := fmt.Sprint(f.version.Load()); a.StatusCode != http.StatusOK || a.body != want {
		f.Errorf("%s shows %d %q, want %q; %s", nodeName(node), a.StatusCode, a.body, want, a.cache())
	}
}

func TestAPurgeIsInForceOnEveryNodeWhenItAnswers(t *testing.T) {
	f := newFleet(t, patient...)
	for i := range 60 {
		for n := range f.nodes {
			f.shows(n, "/a")
		}
		f.version.Add(1)
		if status, r := f.purge(i%3, "5s"); status != http.StatusOK || !r.Complete || len(r.Nodes) != 3 {
			t.Fatalf("purge: %d %+v", status, r)
		}
	}
	// One fetch for each purge: what one node fetched the others took.
	if n := f.fetches.Load(); n != 60 {
		t.Errorf("%d fetches, want 60", n)
	}
}

func TestReceiptsCompleteWhenADeadNodesLeaseEnds(t *testing.T) {
	f := newFleet(t)
	f.nodes[2].signal(t, syscall.SIGKILL)
	f.nodes[2].ended(t)
	status, r := f.purge(0, "1ms")
	if status != http.StatusAccepted || r.Complete {
		t.Errorf("purge: %d %+v; want 202", status, r)
	}
	f.completes(0, r.ID)
	f.completes(1, r.ID)
	if status, r := f.purge(1, "1ms"); status != http.StatusOK {
		status, r = f.purge(1, "5s") // two nodes may take longer than a millisecond
		if status != http.StatusOK || len(r.Nodes) != 2 {
			t.Errorf("then %d %+v", status, r)
		}
	}
}

func TestANodeThatWasStoppedShowsNothingStale(t *testing.T) {
	f := newFleet(t)
	for range 3 {
		f.shows(2, "/a")
		f.shows(2, "/a")
		f.nodes[2].signal(t, syscall.SIGSTOP)
		f.version.Add(1)
		f.confirmed(0) // its lease has ended by then
		f.nodes[2].signal(t, syscall.SIGCONT)
		f.shows(2, "/a")
		f.hearing(2)
		f.shows(2, "/a")
	}
}

func TestRedisGoesAndComesBack(t *testing.T) {
	f := newFleet(t)
	for n := range f.nodes {
		f.shows(n, "/a")
	}
	for _, restart := range []func(){f.redis.RestartEmpty, f.redis.RestartEmpty} {
		f.redis.Kill()
		for n := range f.nodes {
			for i := range 20 {
				began := time.Now()
				f.shows(n, fmt.Sprintf("/%d", i%5))
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("a request took %v", took)
				}
			}
		}
		status, r := f.purge(0, "1s")
		if status != http.StatusServiceUnavailable || !strings.Contains(r.Detail, "othing was purged") {
			t.Errorf("purge without Redis: %d %+v", status, r)
		}
		if a := get(t, f.nodes[1].admin+"/readyz"); a.StatusCode != http.StatusOK {
			t.Errorf("readyz: %d %s", a.StatusCode, a.body)
		}
		f.until("a node says so", func() bool { return strings.Contains(get(t, f.nodes[1].admin+"/readyz").body, "Redis") })
		f.version.Add(1)
		restart()
		f.confirmed(0)
		f.hearing(0, 1, 2)
		for n := range f.nodes {
			f.shows(n, "/a")
		}
	}
}

func TestASilentRedisHoldsNoRequestUp(t *testing.T) {
	f := newFleet(t)
	for n := range f.nodes {
		f.shows(n, "/a")
	}
	f.redis.Pause()
	for i := range 30 {
		began := time.Now()
		f.shows(i%3, fmt.Sprintf("/%d", i))
		// The budget is 100 ms; the rest is for a machine that has other things to do.
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("request %d took %v", i, took)
		}
	}
	f.redis.Continue()
	f.version.Add(1)
	f.confirmed(0)
	f.hearing(0, 1, 2)
	for n := range f.nodes {
		f.shows(n, "/a")
	}
}

func TestANodeStartsWithoutRedis(t *testing.T) {
	f := newFleet(t)
	f.redis.Kill()
	f.version.Add(1)
	late := serveFor(t, f.origin, "--redis", f.redis.URL)
	if a := get(t, late.proxy+"/a", sameHost); a.StatusCode != http.StatusOK || a.body != "1" {
		t.Errorf("%d %q", a.StatusCode, a.body)
	}
	f.redis.Restart()
	f.until("it hears", func() bool {
		return strings.Contains(get(t, late.admin+"/v1/nodes").body, `"hears":true`)
	})
}

func TestAThousandClientsOverThreeNodesMakeOneFetch(t *testing.T) {
	f := newFleet(t, patient...)
	f.pause.Store(int64(300 * time.Millisecond))
	before := f.fetches.Load()
	start := make(chan struct{})
	var all sync.WaitGroup
	var wrong atomic.Int64
	for i := range 1000 {
		all.Go(func() {
			<-start
			if a, err := try("GET", f.nodes[i%3].proxy+"/cold", "", sameHost); err != nil || a.StatusCode != http.StatusOK || a.body != "0" {
				wrong.Add(1)
			}
		})
	}
	close(start)
	all.Wait()
	if n := f.fetches.Load() - before; n != 1 || wrong.Load() != 0 {
		t.Errorf("%d fetches, %d wrong answers; want 1 and 0", n, wrong.Load())
		for _, p := range f.nodes {
			t.Log(regexp.MustCompile("(?m)^surrogate_claims.*$").FindAllString(get(t, p.admin+"/metrics").body, -1))
		}
	}
}

// TestEachNodeSaysWhatARunWaitsFor: whichever is asked, when none can go on.
func TestEachNodeSaysWhatARunWaitsFor(t *testing.T) {
	f := newFleet(t, patient...)
	f.stop()
	list := strings.Replace(pages(100), "/p/", "http://shop.example/p/", -1)
	if a := ask(t, "POST", f.nodes[0].admin+"/v1/warm?id=r", list, "Content-Type: text/plain"); a.StatusCode != 202 {
		t.Fatal(a.body)
	}
	for _, n := range f.nodes {
		f.until("the run waits", func() bool {
			body := get(f.T, n.admin+"/v1/warm/r").body
			return strings.Contains(body, `"for":"down"`) && strings.Contains(body, `"trouble":{"url":"http://shop.example/p/`)
		})
	}
}

func TestStatisticsAreShared(t *testing.T) {
	f := newFleet(t, patient...)
	for n := range f.nodes {
		f.shows(n, "/a")
		f.shows(n, "/a")
	}
	f.until("every node knows of all", func() bool {
		for _, n := range f.nodes {
			var r struct{ Fleet fleetReport }
			if err := json.Unmarshal([]byte(get(f.T, n.admin+"/v1/stats").body), &r); err != nil {
				t.Fatal(err)
			}
			if total := r.Fleet.Total; len(r.Fleet.Nodes) != 3 || total.Fetches != 1 || total.Hits+total.Misses != 6 {
				return false
			}
			for name, node := range r.Fleet.Nodes {
				if !node.Hears {
					t.Logf("%s is deaf", name)
					return false
				}
			}
		}
		return true
	})
	for _, gauge := range []string{"surrogate_fleet_deaf 0", "surrogate_redis_down 0", "surrogate_memory_entries 1"} {
		if body := get(t, f.nodes[0].admin+"/metrics").body; !strings.Contains(body, gauge) {
			t.Errorf("no %q in /metrics", gauge)
		}
	}
}

func TestARedisThatCouldEvictFencesIsRefused(t *testing.T) {
	redis := redistest.StartTCP(t, "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru")
	p := launch(t, programWith(t, "--origin", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--redis", redis.URL))
	if code := p.ended(t); code != 1 || !strings.Contains(p.log.String(), "allkeys-lru") {
		t.Errorf("exit code %d:\n%s", code, p.log)
	}
}

func TestSentinelFailsOver(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a failover")
	}
	redis := redistest.StartSentinel(t)
	f := newFleetOn(t, redis.URL)
	f.survives(func() { redis.Servers[0].Kill() })
}

func TestClusterLosesAMaster(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a failover")
	}
	redis := redistest.StartCluster(t)
	f := newFleetOn(t, redis.URL)
	f.survives(func() {
		for _, r := range redis.Servers {
			c := r.Client()
			n, err := c.Exists(t.Context(), "{surrogate}:state").Result()
			_ = c.Close()
			if err == nil && n == 1 {
				r.Kill() // the master that keeps the purges
				return
			}
		}
		t.Error("no master has the purges")
	})
}

// survives wants the site served, and nothing stale, whatever happens to Redis,
// and purges to be confirmed again by themselves.
func (f *fleetOf3) survives(trouble func()) {
	f.Helper()
	for n := range f.nodes {
		f.shows(n, "/a")
	}
	f.version.Add(1)
	f.confirmed(1)
	for n := range f.nodes {
		f.shows(n, "/a")
	}
	trouble()
	for n := range f.nodes {
		f.shows(n, "/a")
		f.shows(n, "/b")
	}
	f.version.Add(1)
	f.confirmed(2)
	f.hearing(0, 1, 2)
	for n := range f.nodes {
		f.shows(n, "/a")
	}
}
