package purge_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/mux"

	"surrogate/purge"
	"surrogate/store"
	"surrogate/store/memstore"
)

// A pair is a fleet of two nodes on one memstore. The other one hears when it is
// told to.
type pair struct {
	*memstore.Store
	mu    sync.Mutex
	other store.Seq
	news  chan struct{}
}

func newPair(t *testing.T) *pair {
	p := &pair{Store: memstore.New(memstore.Options{}), news: make(chan struct{})}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func (p *pair) hear(seq store.Seq) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.other = seq
	close(p.news)
	p.news = make(chan struct{})
}

func (p *pair) heard() (map[string]store.Seq, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return map[string]store.Seq{"one": p.Book().Seq(), "other": p.other}, p.news
}

func (p *pair) Node() string { return "one" }
func (p *pair) Hears() bool  { return true }

func (p *pair) Nodes(context.Context) ([]store.Node, error) {
	var ns []store.Node
	heard, _ := p.heard()
	for name, seq := range heard {
		ns = append(ns, store.Node{Name: name, Heard: seq, Leased: true})
	}
	return ns, nil
}

func (p *pair) Await(ctx context.Context, seq store.Seq) (map[string]store.Seq, bool, error) {
	for {
		heard, news := p.heard()
		if heard["other"] >= seq {
			return heard, true, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return heard, false, nil
		}
	}
}

func (p *pair) Claim(context.Context, string, time.Duration) (store.Claim, <-chan struct{}, error) {
	return granted{}, nil, nil
}

type granted struct{}

func (granted) Release(context.Context) {}

// ask asks the admin API.
func ask(t *testing.T, p *purge.Purger, method, path, body string) (int, map[string]any) {
	t.Helper()
	r := mux.NewRouter()
	p.Mount(r)
	w := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body))
	if strings.HasPrefix(path, "/") {
		req.Host = "127.0.0.1"
	}
	r.ServeHTTP(w, req)
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("%s %s: %v in %s", method, path, err, w.Body)
	}
	return w.Code, got
}

func TestAPurgeThatANodeHasNotHeardIsNotComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPair(t)
		p := purge.New(purge.Options{Store: s})
		run(t, p)
		began := time.Now()
		status, got := ask(t, p, "POST", "/v1/purge", `{"tags":["t"],"id":"x","wait":"300ms"}`)
		if status != http.StatusAccepted || got["complete"] != false || time.Since(began) != 300*time.Millisecond {
			t.Errorf("%d %v after %v; want 202 after 300ms", status, got, time.Since(began))
		}
		if nodes, _ := got["nodes"].(map[string]any); nodes["other"] != 0. || nodes["one"] != 1. {
			t.Errorf("nodes %v", nodes)
		}

		// What has come to depend on what fell, while a node had not heard, falls
		// before the receipt turns complete.
		put(t, s, "http://shop.test/k", "t", "")
		put(t, s, "http://shop.test/j", "", "http://shop.test/k")
		s.hear(1)
		synctest.Wait()
		if served(t, s, "http://shop.test/j") {
			t.Error("what was made of a page that fell is still served")
		}
		if _, got = ask(t, p, "GET", "/v1/purges/x", ""); got["complete"] != false {
			t.Errorf("before all have heard of that: %v", got)
		}
		s.hear(2)
		synctest.Wait()
		if status, got = ask(t, p, "GET", "/v1/purges/x", ""); status != http.StatusOK || got["complete"] != true {
			t.Errorf("then %d %v", status, got)
		}
	})
}

func TestAPublicPurgeDoesNotWaitLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := purge.New(purge.Options{Store: newPair(t)})
		began := time.Now()
		if status, got := ask(t, p, "PURGE", "http://shop.test/a", ""); status != http.StatusAccepted || time.Since(began) != 400*time.Millisecond {
			t.Errorf("%d %v after %v; want 202 after 400ms", status, got, time.Since(began))
		}
	})
}

func TestReceiptsOfOtherNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPair(t)
		s.hear(100)
		here, there := purge.New(purge.Options{Store: s, Node: "one"}), purge.New(purge.Options{Store: s, Node: "other"})
		run(t, here)
		if _, err := there.Purge(t.Context(), purge.Request{Tags: []string{"t"}, ID: "theirs", Why: "a test"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for _, path := range []string{"/v1/purges/theirs", "/v1/purges/1"} {
			status, got := ask(t, here, "GET", path, "")
			if status != http.StatusOK || got["id"] != "theirs" || got["complete"] != true || got["why"] != "a test" || got["via"] != "node" {
				t.Errorf("%s: %d %v", path, status, got)
			}
		}
		if _, got := ask(t, here, "GET", "/v1/purges", ""); len(got["purges"].([]any)) != 1 {
			t.Errorf("/v1/purges: %v", got)
		}
		if _, got := ask(t, here, "GET", "/v1/nodes", ""); len(got["nodes"].([]any)) != 2 || got["node"] != "one" || got["hears"] != true {
			t.Errorf("/v1/nodes: %v", got)
		}
	})
}
