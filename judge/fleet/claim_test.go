package fleet

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// A node that is killed while it fetches for the fleet does not hold the others
// up for half of fill.wait, which is 15 s here, but until its claim has run out.
func TestAKilledNodesFetchIsMadeByAnother(t *testing.T) {
	asked := make(chan struct{}, 1)
	f := &fleet{t: t, seed: *seed}
	f.start(func(node string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/held" {
				return
			}
			if node == "n0" {
				asked <- struct{}{}
				<-r.Context().Done() // until its node is gone
				return
			}
			w.Header().Set("Cache-Control", "max-age=3600")
			fmt.Fprint(w, "here")
		})
	}, "--set", "defaults.fill.wait=30s")
	var gone error
	first := make(chan struct{})
	go func() {
		gone = f.nodes[0].get("/held")
		close(first)
	}()
	<-asked
	f.nodes[0].kill()
	<-first
	if gone == nil {
		t.Fatal("a killed node has answered")
	}
	began := time.Now()
	if err := f.nodes[1].get("/held"); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the fetch of a killed node held another up for %v", took)
	} else {
		t.Logf("held up for %v", took)
	}
	if err := f.nodes[0].restart(); err != nil {
		t.Fatal(err)
	}
}
