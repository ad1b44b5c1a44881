package fleet

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var warmURLs = flag.Int("fleet.urls", 10_000, "how many URLs three nodes warm")

// A warmed is one URL that is to be warmed, and who fetched it.
type warmed struct{ by [3]atomic.Int32 }

// A warmRun is what a node says of a run.
type warmRun struct {
	State                                                          string
	Total, Done, Warmed, Fresh, Unkept, Failed, Dropped, Remaining int
	Rate                                                           float64
}

// TestWarmThroughADeath: three nodes warm a list together, and one is killed
// when a third of it is done. Each URL is fetched once, and at most once more if
// it was under way on the one that died; all are warm at the end; and whoever is
// asked says all the while how far it is, and is right.
func TestWarmThroughADeath(t *testing.T) {
	n := *warmURLs
	pages := make([]warmed, n)
	var reading atomic.Bool
	f := &fleet{t: t}
	f.start(func(node string) http.Handler {
		i, _ := strconv.Atoi(strings.TrimPrefix(node, "n"))
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			at, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/w/"))
			if err != nil || at < 0 || at >= n {
				http.NotFound(w, r)
				return
			}
			if !reading.Load() {
				pages[at].by[i].Add(1)
			}
			w.Header().Set("Cache-Control", "max-age=36000")
			fmt.Fprintf(w, "page %d", at)
		})
	}, "--set", "warm.queue="+strconv.Itoa(2*n), "--set", "warm.queue_memory=1GiB", "--set", "warm.lease=20s",
		"--set", "log.level=warn", "--set", "redis.budget=5s", "--set", "redis.timeout=5s")
	dying := f.nodes[1]
	began := time.Now()
	list, write := io.Pipe()
	go func() {
		for i := range n {
			fmt.Fprintf(write, "http://shop.example/w/%d\n", i)
		}
		write.Close()
	}()
	res, err := f.nodes[0].client.Post("http://"+f.nodes[0].admin+"/v1/warm?id=all", "text/plain", list)
	if err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusAccepted {
		t.Fatalf("%s: %s %v", res.Status, said, err)
	}
	t.Logf("%d URLs were queued after %v", n, time.Since(began).Round(time.Millisecond))

	killed, last, look := false, warmRun{}, time.NewTicker(50*time.Millisecond)
	defer look.Stop()
	for i := 0; ; i++ {
		asked := f.nodes[i%3]
		if killed && asked == dying {
			continue
		}
		now, err := asked.warmRun("all")
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case now.Total != n:
			t.Fatalf("of %d URLs, %s says %+v", n, asked.name, now)
		case now.Done < last.Done || now.Warmed < last.Warmed:
			t.Fatalf("%s says %+v after %+v", asked.name, now, last)
		case now.Done != now.Warmed+now.Fresh+now.Unkept+now.Failed+now.Dropped || now.Remaining != n-now.Done:
			t.Fatalf("%s does not add up: %+v", asked.name, now)
		}
		if last = now; now.State == "done" {
			break
		}
		if !killed && now.Done >= n/3 {
			dying.kill()
			killed = true
			t.Logf("killed at %d of %d", now.Done, n)
		}
		if time.Since(began) > 10*time.Minute {
			t.Fatalf("not done: %+v", now)
		}
		<-look.C
	}
	t.Logf("all done after %v: %+v", time.Since(began).Round(time.Millisecond), last)
	if last.Warmed+last.Fresh != n || !killed {
		t.Errorf("%+v, killed %t", last, killed)
	}
	twice, by := 0, [3]int{}
	for i := range pages {
		sum := 0
		for k := range pages[i].by {
			c := int(pages[i].by[k].Load())
			sum += c
			by[k] += c
		}
		switch dead := pages[i].by[1].Load(); {
		case sum == 1:
		case sum == 2 && dead >= 1:
			twice++
		default:
			t.Errorf("page %d was fetched %d times, %d of them by the one that died", i, sum, dead)
		}
	}
	t.Logf("fetched by each node: %v; twice: %d", by, twice)
	if twice > 8 {
		t.Errorf("%d pages were fetched twice: more than were under way on the one that died", twice)
	}
	reading.Store(true)
	before := f.unanswered()
	cold := f.cold(n)
	// While Redis does not answer the origin does: those are not known to be cold.
	if failed := f.unanswered() - before; len(cold) <= failed {
		t.Logf("Redis did not answer %d lookups", failed)
		return
	}
	for _, i := range cold[:min(len(cold), 20)] {
		t.Errorf("page %d is not warm; fetched by each node: %d %d %d", i, pages[i].by[0].Load(), pages[i].by[1].Load(), pages[i].by[2].Load())
	}
	if len(cold) > 0 {
		t.Errorf("%d of %d pages are not warm", len(cold), n)
	}
}

// unanswered is how many lookups Redis did not answer the nodes that live.
func (f *fleet) unanswered() (sum int) {
	for _, n := range []*node{f.nodes[0], f.nodes[2]} {
		res, err := n.hasty.Get("http://" + n.admin + "/metrics")
		if err != nil {
			f.t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		_, after, found := strings.Cut(string(text), "\nsurrogate_memory_redis_failures_total ")
		value, _, _ := strings.Cut(after, "\n")
		failed, perr := strconv.ParseFloat(value, 64)
		if err != nil || !found || perr != nil {
			f.t.Fatalf("%s does not tell its lookups' failures: %v %v", n.name, err, perr)
		}
		sum += int(failed)
	}
	return sum
}

// cold asks the nodes that live for every page as a browser would, and returns
// those that are not in the cache.
func (f *fleet) cold(n int) (cold []int) {
	var next atomic.Int64
	var mu sync.Mutex // guards cold
	var readers sync.WaitGroup
	for _, asked := range []*node{f.nodes[0], f.nodes[2], f.nodes[0], f.nodes[2]} {
		readers.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				hit, err := asked.hasPage(i)
				if err != nil {
					f.t.Error(err)
					return
				}
				if !hit {
					mu.Lock()
					cold = append(cold, i)
					mu.Unlock()
				}
			}
		})
	}
	readers.Wait()
	return cold
}

// hasPage reports whether a page comes from the cache.
func (n *node) hasPage(i int) (bool, error) {
	req, err := http.NewRequest("GET", fmt.Sprintf("http://%s/w/%d", n.public, i), nil)
	if err != nil {
		return false, err
	}
	req.Host = "shop.example"
	req.Header.Set("Accept-Encoding", "gzip, deflate, br, zstd")
	res, err := n.client.Do(req)
	if err != nil {
		return false, err
	}
	return strings.Contains(res.Header.Get("Cache-Status"), "; hit"), drain(res)
}

// warmRun asks a node how far a run is.
func (n *node) warmRun(id string) (r warmRun, err error) {
	res, err := n.hasty.Get("http://" + n.admin + "/v1/warm/" + id)
	if err != nil {
		return r, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil {
		err = json.Unmarshal(body, &r)
	}
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, body)
	}
	return r, err
}
