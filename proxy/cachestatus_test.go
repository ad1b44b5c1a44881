package proxy

import (
	"testing"
	"time"

	"github.com/dunglas/httpsfv"
)

func TestCacheStatus(t *testing.T) {
	for want, s := range map[string]cacheStatus{
		`surrogate; hit`:                                 {hit: true},
		`surrogate; hit; ttl=30`:                         {hit: true, ttl: 30*time.Second + 1, hasTTL: true},
		`surrogate; hit; ttl=-2`:                         {hit: true, ttl: -time.Second - 1, hasTTL: true},
		`surrogate; hit; ttl=-1; detail=stale`:           {hit: true, ttl: -time.Second, hasTTL: true, detail: whyStale.String()},
		`surrogate; fwd=miss; fwd-status=200; stored`:    {fwd: "miss", fwdStatus: 200, stored: true},
		`surrogate; fwd=stale; fwd-status=304`:           {fwd: "stale", fwdStatus: 304, hit: true},
		`surrogate; fwd=miss; collapsed`:                 {fwd: "miss", collapsed: true},
		`surrogate; hit; key="http://a/\"b\\%C3%BC%0A"`:  {hit: true, key: "http://a/\"b\\ü\n"},
		`surrogate; fwd=bypass; detail="two words"`:      {fwd: "bypass", detail: "two words"},
		`surrogate; fwd=bypass; detail="1st"`:            {fwd: "bypass", detail: "1st"},
		`surrogate; fwd=request; detail=request-max-age`: {fwd: "request", detail: whyRequestMaxAge.String()},
	} {
		if got := s.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		if _, err := httpsfv.UnmarshalList([]string{s.String()}); err != nil {
			t.Errorf("%s is no list: %v", s, err)
		}
	}
}

func FuzzCacheStatus(f *testing.F) {
	f.Add("http://a/b?c", "detail", int64(5))
	f.Fuzz(func(t *testing.T, key, detail string, ttl int64) {
		const most = int64(time.Second) * 1e9
		s := cacheStatus{hit: true, key: key, detail: detail, ttl: time.Duration(ttl % most), hasTTL: true}
		if _, err := httpsfv.UnmarshalList([]string{s.String()}); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	})
}
