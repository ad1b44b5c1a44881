package proxy_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"surrogate/proxy"
	"surrogate/store"
	"surrogate/store/memstore"
)

// TestHotPagesDoNotExpireInFrontOfVisitors: at any rate, all but few of a hot
// page's visitors find it fresh, and what is not hot enough is left to expire.
func TestHotPagesDoNotExpireInFrontOfVisitors(t *testing.T) {
	for _, c := range []struct {
		every  time.Duration
		heat   float64 // what the proxy is told
		cost   time.Duration
		lives  int
		waits  int // at most
		fetchs int // at most
	}{
		{every: 100 * time.Millisecond, heat: 600, cost: time.Second, lives: 20, waits: 2, fetchs: 25},
		{every: time.Second, heat: 60, cost: 200 * time.Millisecond, lives: 200, waits: 20, fetchs: 230},
		{every: 6 * time.Second, heat: 10, cost: time.Second, lives: 200, waits: 20, fetchs: 260},
		{every: 2 * time.Minute, heat: 0.5, cost: time.Second, lives: 200, waits: 200, fetchs: 200}, // not hot
	} {
		t.Run(fmt.Sprint(c.every), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &origin{}
				site := shopSite()
				site.Early, site.EarlyHeat = 1, 1
				h := openHouse(t, slog.New(slog.DiscardHandler), site, memstore.Options{}, func(*proxy.Site) http.RoundTripper { return o },
					func(opt *proxy.Options) { opt.Heat = func(store.Key) float64 { return c.heat } })
				defer h.close()
				o.answer = func(*http.Request, int) (*reply, error) {
					return &reply{cut: -1, status: 200, hang: c.cost, header: http.Header{"Cache-Control": {"max-age=300"}}}, nil
				}
				waits := 0
				for began := time.Now(); time.Since(began) < time.Duration(c.lives)*300*time.Second; time.Sleep(c.every) {
					at := time.Now()
					v := send(t, h.public, "GET", "http", shopHost, "/", nil, "", visitor)
					<-v.done
					if time.Since(at) > 0 {
						waits++
					}
				}
				if fetches := o.fetches(""); waits > c.waits || fetches > c.fetchs || c.heat < 1 && waits != fetches {
					t.Errorf("%d visitors waited in %d lives, %d fetches", waits, c.lives, fetches)
				} else if early := int(h.proxy.Stats()[0].Early); early > fetches || early+waits < fetches || c.heat < 1 && early > 0 {
					t.Errorf("%d early of %d fetches, and %d visitors waited", early, fetches, waits)
				}
			})
		})
	}
}
