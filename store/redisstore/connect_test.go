package redisstore

import (
	"slices"
	"strings"
	"testing"
)

func TestURLsOfRedis(t *testing.T) {
	for url, want := range map[string]Redis{
		"redis://h":                                     {Addrs: []string{"h:6379"}},
		"redis://u:p@h:1/2":                             {Addrs: []string{"h:1"}, Username: "u", Password: "p", DB: 2},
		"redis://:p@[::1]:7":                            {Addrs: []string{"[::1]:7"}, Password: "p"},
		"unix:///run/redis.sock?db=3":                   {Addrs: []string{"/run/redis.sock"}, DB: 3},
		"redis+sentinel://u:p@a,b:2/main/4":             {Addrs: []string{"a:26379", "b:2"}, Master: "main", Username: "u", Password: "p", DB: 4},
		"redis+cluster://a:1,b:2":                       {Addrs: []string{"a:1", "b:2"}, Cluster: true},
		"rediss+cluster://secret:word@a:1,b:2,c.test:3": {Addrs: []string{"a:1", "b:2", "c.test:3"}, Cluster: true, Username: "secret", Password: "word"},
	} {
		got, err := Redis{URL: url}.parse()
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if !slices.Equal(got.Addrs, want.Addrs) || got.Master != want.Master || got.Cluster != want.Cluster || got.DB != want.DB ||
			got.Username != want.Username || got.Password != want.Password || (got.TLS != nil) != strings.HasPrefix(url, "rediss") {
			t.Errorf("%s: %+v", url, got)
		}
	}
	for _, url := range []string{"", "http://h", "redis+sentinel://h", "redis://h/x", "redis+cluster://a/1", "redis+x://h", "redis://u:hush@h:port"} {
		if _, err := (Redis{URL: url}).parse(); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v", url, err)
		}
	}
}
