package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each mistake gets one clear answer, and the right exit code.
func TestMistakes(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"", 2, `Type "surrogate --origin http://127.0.0.1:3000"`},
		{"serve", 2, `Type "surrogate --origin http://127.0.0.1:3000"`},
		{"help nonsense", 2, `there is no command "nonsense"`},
		{"help purgr", 2, `did you mean "purge"?`},
		{"version now", 2, "takes no arguments"},
		{"servr --origin http://127.0.0.1:3000", 2, `there is no command "servr", did you mean "serve"?`},
		{"http://127.0.0.1:3000", 2, "did you mean --origin http://127.0.0.1:3000?"},
		{"proxy.toml", 2, "did you mean --config proxy.toml?"},
		{"--orgin http://127.0.0.1:3000", 2, "no flag --orgin, did you mean --origin?"},
		{"--origin", 2, "a value is missing after --origin"},
		{"--origin http://127.0.0.1:3000 extra", 2, `"extra" is none`},
		{"--origin ftp://x", 1, "--origin"},
		{"--origin http://127.0.0.1:3000 --set cache.memroy=1GiB", 1, "did you mean cache.memory?"},
		{"--origin http://127.0.0.1:3000 --listen " + taken.Addr().String(), 1, "something else does already; --listen sets another"},
		{"--origin http://127.0.0.1:3000 --listen 127.0.0.1:0 --admin " + taken.Addr().String(), 1, "something else does already; --admin sets another"},
		{"--origin http://127.0.0.1:3000 --admin 0.0.0.0:0", 1, "set admin_token"},
		{"--config nowhere.toml", 1, "nowhere.toml"},
		{"purge", 2, "purge what?"},
		{"purge http://a.example/b", 2, `"http://a.example/b" looks like a URL: surrogate purge --url http://a.example/b;`},
		{"purge /books/1", 2, `surrogate purge --url http://HOST/books/1; --tag=/books/1 insists`},
		{"purge --rewarm all x", 2, "want a number of pages"},
		{"purge --sfot x", 2, "did you mean --soft?"},
		{"explain", 2, "takes one URL"},
		{"check", 2, "check what?"},
		{"demo now", 2, "takes no arguments"},
	} {
		code, out, errs := said(t, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(errs, c.says) || out != "" || strings.Count(errs, "\n") != 1 {
			t.Errorf("surrogate %s: exit %d, want %d; want one line with %q:\n%s%s", c.args, code, c.code, c.says, out, errs)
		}
	}
}

func TestThreeMistakesInAFile(t *testing.T) {
	file := writeFile(t, filepath.Join(t.TempDir(), "proxy.toml"), `[cache]
memory = "lots"
memry = 1

[[site]]
origins = ["127.0.0.1:3000"]
`)
	for _, args := range [][]string{{"check", file}, {"--config", file}} {
		code, out, errs := said(t, args...)
		lines := strings.Split(strings.TrimSpace(out+errs), "\n")
		if code != 1 || len(lines) != 3 {
			t.Fatalf("%q: exit %d\n%s%s", args, code, out, errs)
		}
		for i, n := range []int{2, 3, 6} {
			if want := fmt.Sprintf("%s:%d:", file, n); !strings.Contains(lines[i], want) {
				t.Errorf("%q: line %d lacks %q: %s", args, i+1, want, lines[i])
			}
		}
	}
}

func TestCheck(t *testing.T) {
	file := writeFile(t, "", "[[site]]\nhosts = [\"a.example\"]\norigins = [\"http://127.0.0.1:3000\"]\n[[site]]\nname = \"b\"\norigins = [\"http://127.0.0.1:3001\"]\n")
	code, out, _ := said(t, "check", file)
	if code != 0 || !strings.HasPrefix(out, "ok: 2 sites (a.example, b)") {
		t.Errorf("exit %d: %s", code, out)
	}
	manual, err := filepath.Abs("../../proxy.toml") // it has no site, on purpose, and says what to do
	if err != nil {
		t.Fatal(err)
	}
	if code, out, errs := said(t, "check", manual); code != 1 || !strings.Contains(out, "there is no site") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if code, out, errs := said(t, "check", "--origin", "http://127.0.0.1:3000", manual); code != 0 {
		t.Errorf("%d %s%s", code, out, errs)
	}
	text, err := os.ReadFile(manual)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.NewReplacer("#[[site]]", "[[site]]", "#origins", "origins").Replace(string(text)))
	if code, out, errs := said(t, "check", writeFile(t, "", string(text))); code != 0 {
		t.Errorf("%d %s%s", code, out, errs)
	}
}

// TestCheckLooksForLists: what warming would miss later.
func TestCheckLooksForLists(t *testing.T) {
	dir := t.TempDir()
	list := writeFile(t, filepath.Join(dir, "urls.txt"), "/\n")
	conf := func(lists ...string) string {
		return writeFile(t, "", fmt.Sprintf("[[site]]\nhosts = \"a.example\"\norigins = \"http://127.0.0.1:3000\"\nwarm.lists = [\"%s\"]\n", strings.Join(lists, `", "`)))
	}
	if code, out, errs := said(t, "check", conf(list)); code != 0 {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	want := "site a.example: warm.lists: open " + dir + "/nowhere.txt: no such file or directory\n" +
		"site a.example: warm.lists: " + dir + " is a directory, want a file with a URL or a path in each line\n"
	if code, out, errs := said(t, "check", conf(list, dir+"/nowhere.txt", dir)); code != 1 || out != want || errs != "" {
		t.Errorf("exit %d: %s%s, want\n%s", code, out, errs, want)
	}
}

func TestHelp(t *testing.T) {
	code, out, errs := said(t, "--help")
	if code != 0 || errs != "" {
		t.Errorf("--help: %d %s", code, errs)
	}
	for _, c := range commands() {
		if !strings.Contains(out, "\n  "+c.name+" ") {
			t.Errorf("--help does not list %s", c.name)
		}
		code, out, errs := said(t, c.name, "--help")
		if code != 0 || errs != "" || !strings.HasPrefix(out, "surrogate "+c.name) {
			t.Errorf("%s --help: %d\n%s%s", c.name, code, out, errs)
		}
	}
}

func TestVersion(t *testing.T) {
	for _, arg := range []string{"version", "-v", "--version"} {
		if code, out, errs := said(t, arg); code != 0 || !strings.HasPrefix(out, "surrogate ") || strings.Count(out, "\n") != 1 {
			t.Errorf("%s: %d %s%s", arg, code, out, errs)
		}
	}
	_, out, _ := said(t, "help", "purge")
	if _, want, _ := said(t, "purge", "--help"); out != want {
		t.Errorf("help purge is not purge --help but:\n%s", out)
	}
}

// Beyond loopback the admin API has a token, and asks for it.
func TestAdminToken(t *testing.T) {
	origin, _ := taggingOrigin(t)
	p := launch(t, programWith(t, "--origin", origin, "--listen", "127.0.0.1:0", "--admin", "0.0.0.0:0", "--admin-token", "sesame"))
	p.ready(t)
	for path, want := range map[string]int{"/v1/stats": 401, "/v1/explain?url=a.example/": 401, "/metrics": 401, "/v1/purges": 401, "/healthz": 200, "/readyz": 200, "/": 200} {
		if got := get(t, p.admin+path); got.StatusCode != want {
			t.Errorf("%s without the token: %s", path, got.Status)
		}
		if got := get(t, p.admin+path, "Authorization: Bearer sesame"); got.StatusCode != 200 {
			t.Errorf("%s with the token: %s", path, got.Status)
		}
	}
	if code, _, errs := said(t, "stats", "--admin", p.admin); code != 1 || !strings.Contains(errs, "give --token") {
		t.Errorf("stats without the token: %d %s", code, errs)
	}
	if code, _, errs := said(t, "stats", "--admin", p.admin, "--token", "tahini"); code != 1 || !strings.Contains(errs, "does not accept this token") {
		t.Errorf("stats with another token: %d %s", code, errs)
	}
	if code, _, errs := said(t, "purge", "--admin", p.admin, "--token", "sesame", "x"); code != 0 {
		t.Errorf("purge with the token: %d %s", code, errs)
	}
}
