package judge

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

var built = flag.String("program", "", "judge this surrogate instead of building one")

// scratch is where TestMain puts what all tests share.
var scratch string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "surrogate-judge-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	scratch = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// program is the path of surrogate, built the way these tests were built: with
// the race detector if they have it.
var program = sync.OnceValues(func() (string, error) {
	if *built != "" {
		return *built, nil
	}
	path := filepath.Join(scratch, "surrogate")
	args := []string{"build", "-o", path}
	if raceEnabled {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "surrogate/cmd/surrogate")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building surrogate: %v\n%s", err, out)
	}
	return path, nil
})

// A proxy is a surrogate that runs in front of an origin.
type proxy struct {
	*process
	addr  string // host:port it serves on
	admin string // and shows its dashboard on
}

// startProxy runs the built program in front of the origin at host:port, with
// site holding the further lines of its [[site]].
func startProxy(t *testing.T, origin, site string) *proxy {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	addr, admin := "127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t)
	file := filepath.Join(t.TempDir(), "proxy.toml")
	text := fmt.Sprintf("listen = %q\nadmin = %q\n\n[log]\naccess = false\n\n[[site]]\norigins = [%q]\n%s\n",
		addr, admin, "http://"+origin, site)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &proxy{start(t, exec.Command(path, "serve", "--config", file)), addr, admin}
	t.Cleanup(func() {
		p.stop(t)
		if out := p.out.String(); strings.Contains(out, "DATA RACE") || strings.Contains(out, "panic:") {
			t.Errorf("surrogate said:\n%s", out)
		}
	})
	// The judge's own question must leave nothing in the cache that a test meets.
	p.ready(t, "http://"+addr+"/judge-asks-if-it-serves")
	return p
}
