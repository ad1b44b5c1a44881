package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"surrogate/proxy"
	"surrogate/store"
	"surrogate/store/memstore"
)

// The answer to a POST that says it is what a GET would return is stored even
// though others purge while it is, as long as they do not purge what it is.
func TestPostedAmongOtherPurges(t *testing.T) {
	for _, c := range []struct {
		between store.Name // what falls between the answer and the POST's own purge
		want    string
	}{
		{store.URLName("http://shop.example/other"), "v1"},
		{"another", "v1"},
		{"t", "v2"},
		{store.URLName("http://shop.example/a"), "v2"},
		{store.HostName("shop.example"), "v2"},
		{store.PrefixName("shop.example/b"), "v2"}, // not known to be another
		{store.AllName, "v2"},
	} {
		served := 0
		origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			served++
			w.Header().Set("Cache-Control", "max-age=60")
			w.Header().Set("Content-Location", "/a")
			w.Header().Set("Surrogate-Key", "t")
			fmt.Fprintf(w, "v%d", served)
		}))
		u, _ := url.Parse(origin.URL)
		s := memstore.New(memstore.Options{})
		p, err := proxy.New(proxy.Options{
			Store: s,
			Sites: []proxy.Site{{Origins: []*url.URL{u}, TagFields: []string{"Surrogate-Key"}}},
			Invalidate: func(ctx context.Context, names []store.Name, by string) error {
				for _, names := range [][]store.Name{{c.between}, names} {
					if _, err := s.Purge(ctx, store.Purge{Names: names, By: by}); err != nil {
						return err
					}
				}
				return nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		front := httptest.NewServer(p)
		ask := func(method string, body io.Reader) string {
			r, _ := http.NewRequestWithContext(t.Context(), method, front.URL+"/a", body)
			r.Host = "shop.example"
			resp, err := front.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, _ := io.ReadAll(resp.Body)
			return string(text)
		}
		if got := ask("POST", strings.NewReader("x")); got != "v1" {
			t.Fatalf("POST: %s", got)
		}
		if got := ask("GET", nil); got != c.want {
			t.Errorf("%q fell in between: a GET then has %s, want %s", c.between, got, c.want)
		}
		front.Close()
		origin.Close()
		p.Close()
	}
}
