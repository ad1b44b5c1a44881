package config

import (
	"errors"
	"flag"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// TestMistakes: each file in testdata has all its mistakes told in the .txt
// beside it.
func TestMistakes(t *testing.T) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			c, err := Load(Source{Flags: Flags{Config: file}})
			if err == nil || c != nil {
				t.Fatalf("got %v, %v", c, err)
			}
			golden(t, strings.TrimSuffix(file, ".toml")+".txt", err.Error()+"\n")
		})
	}
}

func TestThreeMistakesAreThreeErrors(t *testing.T) {
	_, err := Load(Source{Flags: Flags{Config: "testdata/three.toml"}})
	all, ok := err.(interface{ Unwrap() []error })
	if !ok || len(all.Unwrap()) != 3 {
		t.Errorf("got %v", err)
	}
}

func TestNoFile(t *testing.T) {
	for _, src := range []Source{
		{Flags: Flags{Config: "testdata/absent.toml"}},
		{Env: []string{"SURROGATE_CONFIG=testdata/absent.toml"}},
	} {
		if _, err := Load(src); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	}
}

// load reads a file with this text.
func load(t *testing.T, text string, src Source) (*Config, error) {
	t.Helper()
	src.Flags.Config = filepath.Join(t.TempDir(), "proxy.toml")
	if err := os.WriteFile(src.Flags.Config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(src)
}

func mustLoad(t *testing.T, text string, src Source) *Config {
	t.Helper()
	c, err := load(t, text, src)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLayers(t *testing.T) {
	const file = `
		listen = [":1", ":2"]
		[cache]
		memory = "1GiB"
		[log]
		level = "warn"
		[[site]]
		origins = "http://a.example"
	`
	c := mustLoad(t, file, Source{
		Env: []string{
			"PATH=/bin", "SURROGATE_LOG_LEVEL=error", "SURROGATE_LOG_FORMAT=json", "SURROGATE_CACHE_MAX_OBJECT=",
			"SURROGATE_PURGE_ACL=10.0.0.0/8, 192.168.7.1", "SURROGATE_ADMIN_TOKEN=secret", "SURROGATE_LISTEN=:3",
			"SURROGATE_PORT=tcp://10.3.2.1:80", "SURROGATE_SERVICE_HOST=10.3.2.1", "SURROGATE_SERVICE_PORT_HTTP=80",
			"SURROGATE_PORT_80_TCP_ADDR=10.3.2.1", "SURROGATE_ADMIN_PORT_8081_TCP=tcp://10.3.2.2:8081",
		},
		Flags: Flags{
			Listen: []string{":4", ":5"}, Admin: new(":9"), Origin: []string{"https://B.example:8443/"},
			Set: []string{"log.format=text", "defaults.fresh.swr=1m", "defaults.fresh.jitter=0.25", "log.access=false"},
		},
	})
	want := Default()
	want.Listen = []string{":4", ":5"}
	want.Admin, want.AdminToken = ":9", "secret"
	want.Cache.Memory = 1 << 30
	want.Log = Log{Level: "error", Format: "text", Access: false}
	want.Purge.ACL = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.7.1/32")}
	want.Defaults.Fresh.SWR = 60e9
	want.Defaults.Fresh.Jitter = 0.25
	want.Sites = []Site{{
		Name: "default", Policy: want.Defaults,
		Origins: []*url.URL{{Scheme: "https", Host: "b.example:8443"}},
	}}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestOriginAlone(t *testing.T) {
	for _, src := range []Source{
		{Flags: Flags{Origin: []string{"http://127.0.0.1:3000"}}},
		{Env: []string{"SURROGATE_ORIGIN=http://127.0.0.1:3000"}},
	} {
		c, err := Load(src)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Sites) != 1 || c.Sites[0].Name != "default" || len(c.Sites[0].Hosts) != 0 ||
			c.Sites[0].Origins[0].String() != "http://127.0.0.1:3000" {
			t.Errorf("got %+v", c.Sites)
		}
	}
}

func TestSitesInherit(t *testing.T) {
	c := mustLoad(t, `
		[defaults]
		set_cookie = "store"
		[defaults.fresh]
		swr = "1m"
		sie = "1h"
		[defaults.key]
		keep = ["page"]

		[[site]]
		hosts = ["*.shop.example", "SHOP.example.", "::1", "[::1]:81", "10.0.0.1:80", "a.example.:8443"]
		origins = ["http://a", "http://b:81"]
		[site.fresh]
		swr = "2m"

		[[site]]
		name = "rest"
		set_cookie = "pass"
		origins = "http://c"
		[site.key]
		drop = "ref"
	`, Source{Env: []string{"SURROGATE_DEFAULTS_FRESH_SIE=2h"}})
	a, b := c.Sites[0], c.Sites[1]
	for _, v := range []struct{ what, got, want any }{
		{"a.Name", a.Name, "*.shop.example"},
		{"a.Hosts", a.Hosts, []string{"*.shop.example", "shop.example", "[::1]", "[::1]:81", "10.0.0.1", "a.example:8443"}},
		{"a.SetCookie", a.SetCookie, "store"},
		{"a.Fresh.SWR", a.Fresh.SWR.String(), "2m"},
		{"a.Fresh.SIE", a.Fresh.SIE.String(), "2h"},
		{"a.Key.Keep", a.Key.Keep, []string{"page"}},
		{"a.Key.Drop", a.Key.Drop, []string(nil)},
		{"b.Name", b.Name, "rest"},
		{"b.SetCookie", b.SetCookie, "pass"},
		{"b.Fresh.SWR", b.Fresh.SWR.String(), "1m"},
		{"b.Key.Keep", b.Key.Keep, []string(nil)},
		{"b.Key.Drop", b.Key.Drop, []string{"ref"}},
		{"Defaults.SetCookie", c.Defaults.SetCookie, "store"},
		{"Defaults.Fresh.SWR", c.Defaults.Fresh.SWR.String(), "1m"},
	} {
		if !reflect.DeepEqual(v.got, v.want) {
			t.Errorf("%v: got %v, want %v", v.what, v.got, v.want)
		}
	}
}

// TestAccepted: what could be taken for a mistake and is none.
func TestAccepted(t *testing.T) {
	for name, text := range map[string]string{
		"byte order mark":               "\ufefflisten = ':1'",
		"small memory":                  "cache.memory = '8MiB'",
		"short life":                    "cache.max_life = '10m'",
		"zero without a unit":           "defaults.fresh.keep = 0",
		"a whole fraction":              "defaults.fresh.heuristic_fraction = 1",
		"every cookie":                  "defaults.cookies.bypass = '*'",
		"brackets in a parameter":       "defaults.key.drop = ['filter[*']",
		"no admin":                      "admin = ''",
		"admin by name":                 "admin = 'localhost:1'",
		"admin on IPv6":                 "admin = '[::1]:1'",
		"admin beyond, with token":      "admin = ':1'\nadmin_token = 't'",
		"any free port twice":           "listen = '127.0.0.1:0'\nadmin = '127.0.0.1:0'",
		"crlf":                          "listen = ':1'\r\n[log]\r\nlevel = 'info'\r\n",
		"keep emptied, drop set":        "[defaults.key]\nkeep = []\ndrop = ['a']",
		"dotted and inline":             "defaults = { fresh.swr = '1m' }",
		"an underscore in a container":  "[[site]]\nhosts = 'my_app'",
		"a wildcard under one label":    "[[site]]\nhosts = '*.localhost'",
		"exact and wildcard":            "[[site]]\nhosts = ['a.example', '*.a.example']",
		"a quoted key":                  "[cache]\n\"memory\" = 1_000_000_000",
		"max_ttl no more than max_life": "[defaults.fresh]\nmax_ttl = '7d'",
	} {
		if _, err := load(t, text, Source{Flags: Flags{Origin: []string{"http://o"}}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c := mustLoad(t, "cache.memory = '8MiB'", Source{Flags: Flags{Origin: []string{"http://o"}}}); c.Cache.MaxObject != 8<<20 {
		t.Errorf("max_object is %v of a memory of 8MiB", c.Cache.MaxObject)
	}
}

func TestMistakesOutsideTheFile(t *testing.T) {
	dir := regexp.MustCompile(`(?m)^\S*/`)
	origin := []string{"http://o"}
	twoSites := "[[site]]\nhosts = 'a'\norigins = 'http://a'\n[[site]]\nhosts = 'b'\norigins = 'http://b'\n"
	for _, c := range []struct {
		file string
		src  Source
		want string
	}{
		{"", Source{}, "proxy.toml: there is no site: give --origin URL, or a [[site]] with origins in the file"},
		{"", Source{Env: []string{"SURROGATE_CACHE_MEMROY=1"}, Flags: Flags{Origin: origin}},
			"unknown variable SURROGATE_CACHE_MEMROY, did you mean SURROGATE_CACHE_MEMORY?"},
		{"", Source{Env: []string{"SURROGATE_CACHE_MEMORY=x", "SURROGATE_ORIGIN=o:1"}},
			"SURROGATE_CACHE_MEMORY: \"x\": want a size such as \"64MiB\", \"1GB\", \"512k\" or a number of bytes\n" +
				"SURROGATE_ORIGIN: \"o:1\": want \"http://host:port\" or \"https://host:port\": did you mean \"http://o:1\"?"},
		{"", Source{Env: []string{"SURROGATE_LOG_ACCESS=maybe", "SURROGATE_CACHE_MAX_FENCES=many", "SURROGATE_DEFAULTS_FRESH_EARLY=soon"},
			Flags: Flags{Origin: origin}},
			"SURROGATE_CACHE_MAX_FENCES: \"many\": want a whole number\n" +
				"SURROGATE_DEFAULTS_FRESH_EARLY: \"soon\": want a number\n" +
				"SURROGATE_LOG_ACCESS: \"maybe\": want true or false"},
		{"admin_token = ''\nadmin = ':1'", Source{Env: []string{"SURROGATE_ADMIN=10.0.0.1:1"}, Flags: Flags{Origin: origin}},
			"SURROGATE_ADMIN: \"10.0.0.1:1\" can be reached from other machines: set admin_token, or use 127.0.0.1"},
		{"", Source{Flags: Flags{Origin: origin, Admin: new(":1"), Redis: new("http://:hunter2@db")}},
			"--redis: want a URL such as \"redis://host:6379/0\", \"unix:///run/redis.sock\", \"redis+sentinel://host:26379/master\" or \"redis+cluster://host:6379\"\n" +
				"--admin: \":1\" can be reached from other machines: set admin_token, or use 127.0.0.1"},
		{"redis = 1", Source{Flags: Flags{Origin: origin}}, "proxy.toml:1:1: redis: want a table, not a whole number"},
		{"[redis]\nurl = 'redis+sentinel://host'\n[fleet]\nwhen_deaf = 'server'", Source{Flags: Flags{Origin: origin}},
			"proxy.toml:2:1: redis.url: want the master's name after the sentinels: redis+sentinel://host:26379/master\n" +
				"proxy.toml:4:1: fleet.when_deaf: \"server\": want \"revalidate\" or \"serve\", did you mean \"serve\"?"},
		{"[redis]\naddrs = ['a:1', 'b:1']\ntls_ca = 'ca.pem'", Source{Flags: Flags{Origin: origin}},
			"proxy.toml:2:1: redis.addrs: several addresses are those of sentinels, with master, or of a cluster, with cluster = true\n" +
				"proxy.toml:3:1: redis.tls_ca: it needs tls = true"},
		{"", Source{Env: []string{"SURROGATE_REDIS=redis://a", "SURROGATE_REDIS_ADDRS=b:1"}, Flags: Flags{Origin: origin}},
			"SURROGATE_REDIS_ADDRS: set either addrs or url (SURROGATE_REDIS), not both"},
		{"[redis]\npassword = 'hunter2'", Source{Flags: Flags{Origin: origin}},
			"proxy.toml:2:1: redis.password: there is neither redis.url nor redis.addrs"},
		{"", Source{Flags: Flags{Origin: origin, AdminToken: new("two words")}},
			"--admin-token: want visible ASCII characters, without spaces"},
		{"", Source{Flags: Flags{Origin: []string{"http://o/", "http://o"}}}, "--origin: \"http://o\" is listed twice"},
		{"", Source{Flags: Flags{Origin: origin, Listen: []string{":1", "2"}, Set: []string{"cache.memry=1", "x", "site.fresh.swr=1m", "site.hosts=a", "log.level=all"}}},
			"--listen: \"2\": want an address such as \":8080\", \"127.0.0.1:8080\" or \"[::1]:8080\": did you mean \":2\"?\n" +
				"--set cache.memry: unknown key, did you mean cache.memory?\n" +
				"--set x: want key=value\n" +
				"--set site.fresh.swr: unknown key; the keys of one site are set in the file, those of all sites by defaults.fresh.swr\n" +
				"--set site.hosts: unknown key; the keys of one site are set in the file\n" +
				"--set log.level: \"all\": want \"debug\", \"info\", \"warn\" or \"error\""},
		{twoSites, Source{Flags: Flags{Origin: origin}},
			"--origin: the file has 2 sites, and this replaces the origins of one; set them there"},
		{"", Source{Flags: Flags{Origin: origin, Listen: []string{"127.0.0.1:8081"}}},
			"--listen: \"127.0.0.1:8081\" is the address of admin too"},
		{"", Source{Flags: Flags{Origin: origin, Set: []string{"listen="}}}, "--set listen: want at least one address"},
	} {
		_, err := load(t, c.file, c.src)
		if err == nil || dir.ReplaceAllString(err.Error(), "") != c.want {
			t.Errorf("%q %v\ngot:\n%v\nwant:\n%s", c.file, c.src.Env, err, c.want)
		}
	}
}

func TestSecretsAreNotTold(t *testing.T) {
	for _, text := range []string{
		"redis = 'http://u:hunter2@db'", "redis = ['hunter2']", "admin_token = 'hunter2 '", "admin_token = 'hünter2'",
		"[[site]]\norigins = 'http://u:hunter2@db'", "purge.tokens = ['hunter2', 'hunter2']", "purge.tokens = ['a', 'x hunter2']", "admin_token = 'hunter2",
	} {
		_, err := load(t, text, Source{Flags: Flags{Origin: []string{"http://o"}}})
		if err == nil || strings.Contains(err.Error(), "unter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestBind(t *testing.T) {
	var f Flags
	fs := flag.NewFlagSet("serve", flag.ContinueOnError)
	f.Bind(fs)
	err := fs.Parse(strings.Fields("--config p.toml --origin http://a --origin http://b --listen :1 --admin= --set a=b --set c=d"))
	want := Flags{
		Config: "p.toml", Origin: []string{"http://a", "http://b"}, Listen: []string{":1"},
		Admin: new(""), Set: []string{"a=b", "c=d"},
	}
	if err != nil || !reflect.DeepEqual(f, want) {
		t.Errorf("got %+v, %v", f, err)
	}
}

// FuzzLoad: no document makes Load panic, and every mistake has a place.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(files, "../proxy.toml") {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte("[[site]]\norigins='http://a'\n[[site]]\nhosts='b'\norigins=['http://b']"))
	f.Add([]byte("'' = 1\n[cache.'']"))
	f.Add([]byte("[[a.b]]\n[[a.b.c]]\nd.e = [[], [{f = 1}]]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := assemble("fuzz.toml", data, nil, Flags{})
		if (c == nil) == (err == nil) {
			t.Fatalf("got %v, %v", c, err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "fuzz.toml:") {
			t.Errorf("no place: %v", err)
		}
	})
}
