package fleet

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A chain of pages, each made of the one before, stored through whichever node:
// what the first carries takes all of them, from every node, by a purge at any.
func TestCascadesReachEveryNode(t *testing.T) {
	f := newFleet(t, *seed)
	r := rand.New(rand.NewPCG(f.seed, 4))
	for round := range 40 {
		// Pages of their own: nothing of them is known yet.
		chain := make([]*page, 2+r.IntN(4))
		for i := range chain {
			chain[i] = &page{host: "shop.example", path: fmt.Sprintf("/chain/%d/%d", round, i), control: "max-age=3600"}
			chain[i].version.Store(1)
			if i > 0 {
				chain[i].deps = []string{chain[i-1].url()}
			}
		}
		chain[0].tags = []string{fmt.Sprintf("chain%d", round)}
		f.serve(chain...)
		// In any order: what is stored first may be made of what is stored last.
		for _, i := range r.Perm(len(chain)) {
			f.read(f.nodes[r.IntN(3)], chain[i], r)
		}
		for _, p := range chain {
			for _, n := range f.nodes {
				f.read(n, p, r)
			}
			p.version.Add(1)
		}
		n := f.nodes[r.IntN(3)]
		status, rec, err := n.purge(ask{json: map[string]any{"tags": chain[0].tags}})
		if err != nil || status != http.StatusOK {
			t.Fatalf("round %d: purge at %s: %d %+v %v", round, n.name, status, rec, err)
		}
		f.say("%s was purged at %s, and %v fell", chain[0].tags[0], n.name, rec.Expanded)
		for _, p := range chain {
			p.promise(p.version.Load(), false)
		}
		for _, p := range chain {
			for _, n := range f.nodes {
				f.read(n, p, r)
			}
		}
		if t.Failed() {
			return
		}
	}
}

// A thousand clients over three nodes ask for one page that nobody has, or that
// was just purged: the origin is asked once.
func TestAThousandClientsMakeOneFetch(t *testing.T) {
	var fetches atomic.Int64
	f := &fleet{t: t, seed: *seed}
	f.start(func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/herd" {
				return
			}
			fetches.Add(1)
			time.Sleep(300 * time.Millisecond) // so that many ask before the first is answered
			w.Header().Set("Cache-Control", "max-age=3600")
			w.Header().Set("Surrogate-Key", "herd")
			fmt.Fprint(w, "here")
		})
	}, "--set", "defaults.fill.wait=10s")
	// All at once: each client has a connection by then.
	all := func(path string) (failed int64) {
		var wrong atomic.Int64
		var clients sync.WaitGroup
		start := make(chan struct{})
		for i := range 1000 {
			clients.Go(func() {
				<-start
				if f.nodes[i%3].get(path) != nil {
					wrong.Add(1)
				}
			})
		}
		close(start)
		clients.Wait()
		return wrong.Load()
	}
	all("/hello")
	for _, what := range []string{"cold", "purged"} {
		before := fetches.Load()
		wrong := all("/herd")
		if n := fetches.Load() - before; n != 1 || wrong > 0 {
			t.Errorf("%s: 1,000 clients made %d fetches, and %d were not answered", what, n, wrong)
			for _, n := range f.nodes {
				t.Log(n.name, n.metrics("surrogate_claims"))
			}
		}
		status, _, err := f.nodes[0].purge(ask{json: map[string]any{"tags": []string{"herd"}}})
		if err != nil || status != http.StatusOK {
			t.Fatalf("purge: %d %v", status, err)
		}
	}
}

// get asks for a page of shop.example.
func (n *node) get(path string) error {
	req, err := http.NewRequest(http.MethodGet, "http://"+n.public+path, nil)
	if err != nil {
		return err
	}
	req.Host = "shop.example"
	res, err := n.client.Do(req)
	if err == nil {
		err = drain(res)
	}
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %d", path, res.StatusCode)
	}
	return err
}

// metrics are the lines of a node's metrics that begin so.
func (n *node) metrics(prefix string) string {
	res, err := n.hasty.Get("http://" + n.admin + "/metrics")
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	var out strings.Builder
	for line := range strings.Lines(string(body)) {
		if strings.HasPrefix(line, prefix) {
			out.WriteString(line)
		}
	}
	return out.String()
}
