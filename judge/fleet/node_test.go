package fleet

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// A node is one surrogate of the fleet. It keeps its addresses when it is killed
// and started again.
type node struct {
	t             testing.TB
	name          string
	public, admin string // host:port
	link          *link  // its way to Redis; nil if it has no obstacles
	args          []string
	out           *tail
	client        *http.Client // patient: a stopped node answers when it goes on
	hasty         *http.Client // for its admin API

	// lives changes when the node is killed and when it serves again; it is odd in between.
	lives atomic.Int64

	mu  sync.Mutex // guards cmd
	cmd *exec.Cmd
}

// patient is longer than any fault takes.
const patient = 20 * time.Second

// newNode starts a node that asks an origin and finds Redis at an address, that
// of k if there is a link.
func newNode(t testing.TB, name, path, origin, redis string, k *link, more ...string) *node {
	t.Helper()
	n := &node{t: t, name: name, public: freeAddr(t), admin: freeAddr(t), link: k, out: &tail{},
		client: clientFor(patient), hasty: clientFor(3 * time.Second)}
	n.args = append([]string{path, "serve", "--origin", origin, "--listen", n.public, "--admin", n.admin,
		"--redis", "redis://" + redis, "--set", "fleet.node=" + name, "--set", "fleet.max_deaf=" + lease.String(),
		"--set", "log.access=false", "--set", "cache.memory=64MiB", "--set", "limits.drain=5s",
		// What a node that is killed was fetching for the fleet the others wait for,
		// for half of this: readers are to go on reading.
		"--set", "defaults.fill.wait=1s"}, more...)
	t.Cleanup(n.end)
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	return n
}

func clientFor(timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout:   timeout,
		Transport: &http.Transport{MaxIdleConns: 2000, MaxIdleConnsPerHost: 400, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// start starts the process and waits until it serves.
func (n *node) start() error {
	cmd := exec.Command(n.args[0], n.args[1:]...)
	cmd.Stdout, cmd.Stderr = n.out, n.out
	// Should this process be killed, its nodes end too.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	n.mu.Lock()
	n.cmd = cmd
	n.mu.Unlock()
	err := until(patient, func() error {
		res, err := n.hasty.Get("http://" + n.admin + "/healthz")
		if err != nil {
			return err
		}
		return drain(res)
	})
	if err != nil {
		return fmt.Errorf("%s does not serve: %v\n%s", n.name, err, n.out)
	}
	return nil
}

// kill ends the process at once: kill -9.
func (n *node) kill() {
	n.lives.Add(1)
	n.signal(syscall.SIGKILL)
	n.wait()
	n.client.CloseIdleConnections()
	n.hasty.CloseIdleConnections()
}

// restart starts it again after a kill.
func (n *node) restart() error {
	err := n.start()
	n.lives.Add(1)
	return err
}

func (n *node) signal(s syscall.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd != nil {
		_ = n.cmd.Process.Signal(s)
	}
}

func (n *node) wait() {
	n.mu.Lock()
	cmd := n.cmd
	n.cmd = nil
	n.mu.Unlock()
	if cmd != nil {
		_ = cmd.Wait()
	}
}

// end asks the process to end, sees to it that it does, and reads what it said.
func (n *node) end() {
	n.signal(syscall.SIGCONT)
	n.signal(syscall.SIGTERM)
	giveUp := time.AfterFunc(15*time.Second, func() {
		n.t.Errorf("%s did not end within 15s of SIGTERM", n.name)
		n.signal(syscall.SIGQUIT)
		n.signal(syscall.SIGKILL)
	})
	n.mu.Lock()
	cmd := n.cmd
	n.mu.Unlock()
	if cmd != nil {
		_ = cmd.Wait()
	}
	giveUp.Stop()
	n.client.CloseIdleConnections()
	n.hasty.CloseIdleConnections()
	out := n.out.String()
	for _, bad := range []string{"DATA RACE", "panic:", "fatal error:"} {
		if strings.Contains(out, bad) {
			n.t.Errorf("%s said %q:\n%s", n.name, bad, out)
			return
		}
	}
	if n.t.Failed() {
		n.t.Logf("%s said, purges aside:\n%s", n.name, aboutPurges.ReplaceAllString(out, ""))
	}
}

// aboutPurges are the log's lines about purges: the histories have them.
var aboutPurges = regexp.MustCompile(`(?m)^.* msg=("purge failed, |purge ).*\n?`)

// hears reports whether the node says that it hears.
func (n *node) hears() error {
	res, err := n.hasty.Get("http://" + n.admin + "/v1/nodes")
	if err != nil {
		return err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err == nil && !bytes.Contains(body, []byte(`"hears":true`)) {
		err = fmt.Errorf("%s is deaf: %s", n.name, body)
	}
	return err
}

func drain(res *http.Response) error {
	_, err := io.Copy(io.Discard, res.Body)
	if cerr := res.Body.Close(); err == nil {
		err = cerr
	}
	return err
}

// until tries until it succeeds, and returns the last error if that takes too
// long.
func until(patience time.Duration, try func() error) error {
	end := time.Now().Add(patience)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("not within %v: %w", patience, err)
		}
		<-again.C
	}
}

// freeAddr is an address that nobody listens on, below the ports that the system
// gives to clients: one of the readers' connections must not get it while the
// node is down.
func freeAddr(t testing.TB) string {
	t.Helper()
	for range 200 {
		addr := fmt.Sprintf("127.0.0.1:%d", 18000+rand.IntN(12000))
		l, err := net.Listen("tcp", addr)
		if err == nil {
			_ = l.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

// A tail keeps the last part of what is written to it.
type tail struct {
	mu  sync.Mutex // guards buf
	buf []byte
}

const tailBytes = 32 << 10

func (o *tail) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf = append(o.buf, b...)
	if over := len(o.buf) - tailBytes; over > 0 {
		o.buf = append(o.buf[:0], o.buf[over:]...)
	}
	return len(b), nil
}

func (o *tail) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(bytes.TrimSpace(o.buf))
}
