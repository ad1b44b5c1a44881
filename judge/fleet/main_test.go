package fleet

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"surrogate/store/redisstore/redistest"
)

var (
	built   = flag.String("program", "", "test this surrogate instead of building one")
	seed    = flag.Uint64("fleet.seed", 1, "what is random comes from this")
	longRun = flag.Duration("fleet.for", 0, "go on for so long, and until there were 200,000 reads and 2,000 purges; 0 for every fault once")
)

// lease is how long the nodes of these tests believe what they know (max_deaf).
const lease = time.Second

// scratch is where TestMain puts what all tests share.
var scratch string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "surrogate-fleet-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	scratch = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// program is the path of surrogate; raced is that of one built with the race
// detector, where these tests have it: one node in three, since it takes several
// times the work.
var (
	program = sync.OnceValues(func() (string, error) { return build("surrogate") })
	raced   = sync.OnceValues(func() (string, error) {
		if !raceEnabled {
			return program()
		}
		return build("surrogate-race", "-race")
	})
)

func build(name string, flags ...string) (string, error) {
	if *built != "" {
		return *built, nil
	}
	path := filepath.Join(scratch, name)
	args := append(append([]string{"build", "-o", path}, flags...), "surrogate/cmd/surrogate")
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building surrogate: %v\n%s", err, out)
	}
	return path, nil
}

// needRedis ends the test where it cannot run.
func needRedis(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("a fleet takes half a minute: not with -short")
	}
	redistest.Binary(t, "redis-server")
}
