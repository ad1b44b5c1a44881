package judge

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

var (
	oneID  = flag.String("id", "", "run this test of the cache suite alone and dump its requests")
	update = flag.Bool("update", false, "write what the cache suite found to results/surrogate.json")
	extra  = flag.String("site", "", "further lines for the site that the cache suite is run on")
	suite  = flag.String("suite", "", "directory of another version of the cache suite, its node_modules in place")
)

// suitePackage is pinned: the expectations are about this version.
const suitePackage = "http-cache-tests@0.4.5"

// suiteSite is what the suite needs beyond the defaults: it has tests that want
// responses with Set-Cookie stored, which nobody should do by default, and it
// takes what was fetched again after a purge for what should have fallen.
const suiteSite = `set_cookie = "store"
warm.rewarm = 0`

// listTests is a program for node that lists the suite's tests as its own
// command line does: that adds Surrogate-Control where there is such a file.
const listTests = `
import { existsSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
const load = async f => (await import(pathToFileURL(f))).default
const suites = [...await load('tests/index.mjs')]
if (existsSync('tests/surrogate-control.mjs')) suites.push(await load('tests/surrogate-control.mjs'))
const tests = suites.flatMap(s => s.tests).filter(t => t.browser_only !== true)
console.log(JSON.stringify(tests.map(t => ({ id: t.id, name: t.name, kind: t.kind, depends_on: t.depends_on }))))`

// The public suite for HTTP caches finds nothing in surrogate that it does not
// find right or that exceptions does not name.
func TestCacheSuite(t *testing.T) {
	needPrograms(t, "node", "npm")
	s := openSuite(t)
	if *oneID != "" {
		if !slices.ContainsFunc(s.tests, func(c testCase) bool { return c.ID == *oneID }) {
			t.Fatalf("the suite has no test with the id %q", *oneID)
		}
		t.Log("\n" + s.dump(t, *oneID))
		return
	}
	got := s.run(t)
	js := judgement{tests: s.tests, results: got}
	js.compare(t, *suite == "")
	if *update {
		b, err := json.MarshalIndent(got, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("results/surrogate.json", append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Log("\n" + table(t, s.tests, got))
	if failed := js.failures(); len(failed) > 0 {
		t.Logf("the first of them alone:\n%s", s.dump(t, failed[0]))
	}
}

// A cacheSuite is the suite installed, with its list of tests.
type cacheSuite struct {
	dir   string
	tests []testCase
}

// A testCase is what the suite says of one of its tests.
type testCase struct {
	ID        string   `json:"id"`
	Name      string   `json:"name"`
	Kind      string   `json:"kind"` // required (or nothing), optimal, check
	DependsOn []string `json:"depends_on"`
}

func openSuite(t *testing.T) *cacheSuite {
	t.Helper()
	dir := *suite
	if dir == "" {
		installed, err := installSuite(within(t, time.Minute))
		if err != nil {
			lacking(t, fmt.Sprintf("%s cannot be installed: %v", suitePackage, err))
		}
		dir = installed
	}
	list := exec.CommandContext(within(t, 10*time.Second), "node", "--no-warnings", "--input-type=module", "-e", listTests)
	list.Dir = dir
	out, err := list.Output()
	if err != nil {
		t.Fatalf("listing the tests: %v\n%s", err, stderr(err))
	}
	s := &cacheSuite{dir: dir}
	if err := json.Unmarshal(out, &s.tests); err != nil {
		t.Fatalf("listing the tests: %v", err)
	}
	return s
}

// installSuite installs the suite among the user's caches, once, and returns its
// directory. It installs beside the place and then moves there, so that neither
// an interrupted nor a simultaneous run leaves half of it.
func installSuite(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "surrogate-judge")
	place := filepath.Join(cache, suitePackage)
	dir := filepath.Join(place, "node_modules", "http-cache-tests")
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	beside, err := os.MkdirTemp(cache, "installing-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(beside)
	cmd := exec.CommandContext(ctx, "npm", "install", "--no-save", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", suitePackage)
	cmd.Dir = beside
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm install: %v: %s", err, out)
	}
	if err := os.Rename(beside, place); err != nil {
		if _, there := os.Stat(dir); there != nil {
			return "", err
		}
	}
	return dir, nil
}

// front starts the suite's origin and surrogate in front of it. What both and
// the clients say goes to out.
func (s *cacheSuite) front(t *testing.T, out *tail) *proxy {
	t.Helper()
	port := freePort(t)
	origin := exec.Command("node", "server/server.mjs")
	origin.Dir = s.dir
	// The suite expects to be started by npm and takes its options from there.
	origin.Env = append(os.Environ(), "npm_config_protocol=http", "npm_config_port="+port,
		"npm_config_pidfile="+filepath.Join(t.TempDir(), "pid"))
	origin.Stdout = out
	start(t, origin).ready(t, "http://127.0.0.1:"+port+"/")
	return startProxy(t, "127.0.0.1:"+port, suiteSite+"\n"+*extra)
}

// cli is the suite's command line against base: for the test with this id, or
// for all of them.
func (s *cacheSuite) cli(ctx context.Context, base, id string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "node", "--no-warnings", "cli.mjs")
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "npm_config_base="+base, "npm_config_id="+id, "npm_package_config_id="+id)
	cmd.WaitDelay = time.Second
	return cmd
}

// run runs the whole suite.
func (s *cacheSuite) run(t *testing.T) map[string]result {
	t.Helper()
	var said tail
	p := s.front(t, &said)
	out, err := s.cli(within(t, 2*time.Minute), "http://"+p.addr, "").Output()
	if err != nil {
		t.Fatalf("running the suite: %v\n%s", err, stderr(err))
	}
	got := map[string]result{}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("the suite did not end with its results: %v\n%.2000s", err, out)
	}
	want := map[string]bool{}
	for _, c := range s.tests {
		want[c.ID] = true
		if _, ok := got[c.ID]; !ok {
			t.Errorf("%s: the suite has no result", c.ID)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(got)) {
		if !want[id] {
			t.Errorf("%s: a result, and no such test", id)
		}
	}
	return got
}

// dump runs one test and returns what it says: every request and response as the
// client and the origin saw them, and what came of it.
func (s *cacheSuite) dump(t *testing.T, id string) string {
	t.Helper()
	said := &tail{}
	p := s.front(t, said)
	cmd := s.cli(within(t, time.Minute), "http://"+p.addr, id)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Run(); err != nil {
		t.Errorf("running %s: %v", id, err)
	}
	p.stop(t)
	text := said.String()
	if p.out.String() != "" {
		text += "\n\nsurrogate:\n" + p.out.String()
	}
	return text
}

// stderr is what a program that failed said.
func stderr(err error) string {
	var e *exec.ExitError
	if errors.As(err, &e) {
		return string(e.Stderr)
	}
	return ""
}
