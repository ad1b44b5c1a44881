package judge

import (
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var shots = flag.String("shots", "", "save pictures of the dashboard in this directory")

// A board is the dashboard in a browser.
type board struct {
	*testing.T
	*tab
	ctx context.Context
}

// says waits until an expression of the page has a value.
func (b *board) says(expression, want string) {
	b.Helper()
	eventually(b.T, patience, func() error {
		if got := b.eval(b.T, b.ctx, expression); !strings.Contains(got, want) {
			return fmt.Errorf("%s is %q, want %q", expression, got, want)
		}
		return nil
	})
}

// fits sees to it that the page is as wide as its window and no wider, on a desk
// and in a hand, and takes a picture of it.
func (b *board) fits(what string) {
	b.Helper()
	for _, width := range []int{1280, 360} {
		b.call(b.T, b.ctx, "Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}, nil)
		if got := b.eval(b.T, b.ctx, "document.documentElement.scrollWidth - innerWidth"); got[0] != '-' && got != "0" {
			b.Errorf("%s: the page is %s wider than its window of %d", what, got, width)
		}
		if *shots == "" {
			continue
		}
		var shot struct{ Data string }
		b.call(b.T, b.ctx, "Page.captureScreenshot", map[string]any{"captureBeyondViewport": true}, &shot)
		png, err := base64.StdEncoding.DecodeString(shot.Data)
		if err == nil {
			err = os.WriteFile(filepath.Join(*shots, fmt.Sprintf("%s-%d.png", what, width)), png, 0o600)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// TestDashboardShowsWarming: nothing, one run, several, names that are long or
// mean to do harm, an origin that is down; and what came of it.
func TestDashboardShowsWarming(t *testing.T) {
	needPrograms(t, "chromium")
	gate := make(chan struct{})
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/slow"):
			select {
			case <-gate:
			case <-r.Context().Done():
			}
		case strings.HasPrefix(r.URL.Path, "/down"):
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Cache-Control", "max-age=3600")
		fmt.Fprint(w, r.URL.Path)
	}))
	defer origin.Close()
	p := startProxy(t, strings.TrimPrefix(origin.URL, "http://"), `name = "a-shop-whose-name-is-long"`)
	warm := func(what string, paths ...string) {
		t.Helper()
		body := fmt.Sprintf(`{"what":%q,"base":"http://%s","urls":["%s"]}`, what, p.addr, strings.Join(paths, `","`))
		res, err := http.Post("http://"+p.admin+"/v1/warm", "application/json", strings.NewReader(body))
		if err != nil || res.StatusCode != http.StatusAccepted {
			t.Fatalf("%v %v", res, err)
		}
		res.Body.Close()
	}
	ctx := within(t, 3*time.Minute)
	b := &board{t, startChrome(t, p.admin).newTab(t, ctx), ctx}
	v := b.open(t, ctx, "http://localhost/")
	b.says(`document.querySelector("#cold").checkVisibility()`, "true")
	b.says(`document.querySelector("#warming").checkVisibility()`, "false")
	b.fits("nothing")

	warm("the first", "/slow/1", "/slow/2", "/slow/3")
	b.says(`document.querySelector("#runs").innerText`, "list the first\t0 of 3\trunning\t")
	b.says(`document.querySelector("#runs progress").max`, "3")
	b.says(`document.querySelector("#paces").innerText`, "a-shop-whose-name-is-long\tfull\t1\t1\t")
	b.says(`document.querySelector("#warming").checkVisibility() && !document.querySelector("#cold").checkVisibility()`, "true")
	b.fits("one")

	warm(`<img src=x onerror="document.title='harmed'"> `+strings.Repeat("verylong", 100), "/slow/4")
	warm(strings.Repeat("W", 300), "/slow/5", "/slow/6")
	b.says(`document.querySelectorAll("#runs tr").length`, "3")
	b.says(`document.querySelector("#runs").innerText`, "<img src=x")
	b.says(`document.querySelectorAll("#runs img").length`, "0")
	b.fits("several")

	close(gate)
	b.says(`document.querySelector("#warmed").innerText`, "6\npages warmed")
	b.says(`document.querySelector("#runs").innerText`, "3 of 3\tdone")
	res, err := http.Get("http://" + p.addr + "/slow/1")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	b.says(`document.querySelector("#warmed").innerText`, "1\nwarmed pages asked for")

	var down []string
	for i := range 20 {
		down = append(down, fmt.Sprint("/down/", i))
	}
	warm("what cannot be reached", down...)
	b.says(`document.querySelector("#runs").innerText`, "waits: a-shop-whose-name-is-long: the origin is down")
	b.says(`document.querySelector("#paces").innerText`, "\tdown\t")
	b.fits("down")
	if len(v.complaints) > 0 || b.eval(t, ctx, "document.title") != "surrogate" {
		t.Errorf("the page complains of %q, its title is %q", v.complaints, b.eval(t, ctx, "document.title"))
	}
}
