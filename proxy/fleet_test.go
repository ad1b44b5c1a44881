package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/proxy"
	"surrogate/store"
	"surrogate/store/memstore"
)

// An agreement is the store that the nodes of a test share, and their claims.
type agreement struct {
	*memstore.Store
	mu     sync.Mutex // guards claims
	claims map[string]chan struct{}
	down   atomic.Bool // no claim can be had
}

// A member is one node's view of it.
type member struct {
	*agreement
	name string
	deaf atomic.Bool
}

func (m *member) Node() string                                { return m.name }
func (m *member) Nodes(context.Context) ([]store.Node, error) { return nil, nil }
func (m *member) Hears() bool                                 { return !m.deaf.Load() }

func (m *member) Await(context.Context, store.Seq) (map[string]store.Seq, bool, error) {
	return nil, true, nil
}

func (m *member) Claim(_ context.Context, id string, _ time.Duration) (store.Claim, <-chan struct{}, error) {
	if m.down.Load() {
		return nil, nil, errBroken
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if wake := m.claims[id]; wake != nil {
		return nil, wake, nil
	}
	m.claims[id] = make(chan struct{})
	return released(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		close(m.claims[id])
		delete(m.claims, id)
	}), nil, nil
}

type released func()

func (r released) Release(context.Context) { r() }

// Get leaves the body out where it may.
func (m *member) Get(ctx context.Context, key store.Key, ask store.Fields) (store.Found, error) {
	f, err := m.Store.Get(ctx, key, ask)
	f.Doubt = f.Doubt || f.Hit && m.deaf.Load()
	if w, ok := ask.(store.WantsBody); ok && !w.WantsBody() && f.Hit {
		f.Entry.Size, f.Entry.Body, f.Bodyless = int64(len(f.Entry.Body)), nil, true
	}
	return f, err
}

// A gathering is some nodes in front of one origin, which takes a second.
type gathering struct {
	*testing.T
	members []*member
	nodes   []*proxy.Proxy
	fetches atomic.Int64
	version atomic.Int64
	say     func(h http.Header) int // status of the next answers
}

// RoundTrip is the origin: it decides what to say when it is asked.
func (g *gathering) RoundTrip(r *http.Request) (*http.Response, error) {
	g.fetches.Add(1)
	body := fmt.Sprint(g.version.Load())
	select {
	case <-time.After(time.Second):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	h := http.Header{"Etag": {`"` + body + `"`}, "Content-Length": {fmt.Sprint(len(body))}}
	status := g.say(h)
	return &http.Response{
		StatusCode: status, Header: h, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body)), Request: r,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}, nil
}

func gather(t *testing.T, nodes int) *gathering {
	g := &gathering{T: t, say: func(h http.Header) int {
		h.Set("Cache-Control", "max-age=60, stale-while-revalidate=60")
		return http.StatusOK
	}}
	common := &agreement{Store: memstore.New(memstore.Options{}), claims: make(map[string]chan struct{})}
	for i := range nodes {
		m := &member{agreement: common, name: fmt.Sprint(i)}
		p, err := proxy.New(proxy.Options{Store: m, Sites: []proxy.Site{shopSite()}, Transport: func(*proxy.Site) http.RoundTripper { return g }})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })
		g.members, g.nodes = append(g.members, m), append(g.nodes, p)
	}
	t.Cleanup(func() { _ = common.Close() })
	return g
}

func (g *gathering) ask(node int, method, path string, fields ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(g.Context(), method, "http://"+shopHost+path, nil)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	g.nodes[node].ServeHTTP(w, r)
	return w
}

// crowd has many clients ask all nodes at once, and returns what they got.
func (g *gathering) crowd(clients int, path string) (bodies map[string]int) {
	var all sync.WaitGroup
	got := make([]string, clients)
	for i := range clients {
		all.Go(func() { got[i] = g.ask(i%len(g.nodes), "GET", path).Body.String() })
	}
	all.Wait()
	bodies = make(map[string]int)
	for _, b := range got {
		bodies[b]++
	}
	return bodies
}

func (g *gathering) fetched(want int64) {
	g.Helper()
	if n := g.fetches.Load(); n != want {
		g.Errorf("%d fetches, want %d", n, want)
	}
}

func TestOneFetchOverTheFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gather(t, 3)
		if got := g.crowd(1000, "/cold"); got["0"] != 1000 {
			t.Errorf("got %v", got)
		}
		g.fetched(1)
		time.Sleep(61 * time.Second) // stale
		g.version.Store(1)
		if got := g.crowd(1000, "/cold"); got["0"] != 1000 {
			t.Errorf("stale: got %v", got)
		}
		time.Sleep(2 * time.Second)
		g.fetched(2)
		if got := g.crowd(3, "/cold"); got["1"] != 3 {
			t.Errorf("refreshed: got %v", got)
		}
		g.fetched(2)
	})
}

func TestWhatIsNotStoredIsFetchedByEachNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gather(t, 3)
		g.say = func(h http.Header) int {
			h.Set("Cache-Control", "private")
			return http.StatusOK
		}
		began := time.Now()
		g.crowd(3, "/mine")
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("took %v: one node after the other", took)
		}
		g.fetched(3)
		began = time.Now()
		g.crowd(3, "/mine") // known by now not to be worth waiting for
		if took := time.Since(began); took > time.Second {
			t.Errorf("then took %v", took)
		}
	})
}

func TestWithoutAnAgreementEachNodeFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gather(t, 3)
		g.members[0].down.Store(true)
		g.crowd(30, "/cold")
		g.fetched(3)
	})
}

func TestAClaimThatIsNeverReleasedHoldsNobodyUpForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gather(t, 2)
		g.members[0].mu.Lock()
		g.members[0].claims["http://shop.example/cold\n\n"] = make(chan struct{})
		g.members[0].mu.Unlock()
		began := time.Now()
		if got := g.crowd(20, "/cold"); got["0"] != 20 {
			t.Errorf("got %v", got)
		}
		if took := time.Since(began); took != 6*time.Second {
			t.Errorf("took %v, want half of fill.wait and a fetch", took)
		}
	})
}

// Whoever asks a deaf node after a fetch began may not share it: the node cannot
// know whether a purge was confirmed in between.
func TestADeafNodeSharesNothingThatBeganBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gather(t, 1)
		g.members[0].deaf.Store(true)
		var all sync.WaitGroup
		all.Go(func() { g.ask(0, "GET", "/a") })
		time.Sleep(time.Second / 2)
		g.version.Store(1) // and purged, but that it does not hear
		for range 10 {
			all.Go(func() {
				if got := g.ask(0, "GET", "/a").Body.String(); got != "1" {
					t.Errorf("got %q", got)
				}
			})
		}
		all.Wait()
		g.fetched(2) // those who came later share one of their own
	})
}

func TestTheHeadOfAnEntryIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gather(t, 1)
		g.ask(0, "GET", "/a")
		synctest.Wait()
		if w := g.ask(0, "HEAD", "/a"); w.Code != http.StatusOK || w.Header().Get("Content-Length") != "1" {
			t.Errorf("HEAD: %d %v", w.Code, w.Header())
		}
		if w := g.ask(0, "GET", "/a", `If-None-Match: "0"`); w.Code != http.StatusNotModified {
			t.Errorf("with its tag: %d", w.Code)
		}
		if w := g.ask(0, "GET", "/a", `If-None-Match: "other"`); w.Code != http.StatusOK || w.Body.String() != "0" {
			t.Errorf("with another tag: %d %q", w.Code, w.Body)
		}
		g.fetched(1)
	})
}
