// Package redistest starts Redis servers for tests, each in a temporary
// directory of its test, and lets them be stopped, killed, paused and restarted.
package redistest

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// patience is how long a server may take to do what it is told.
const patience = 15 * time.Second

// A Server is one redis-server process.
type Server struct {
	Addr string // of its socket, or host:port
	URL  string // for redisstore.Redis.URL

	t    testing.TB
	dir  string
	args []string
	tls  *tls.Config // for clients; nil without TLS

	mu  sync.Mutex // guards cmd
	cmd *exec.Cmd
}

// Binary returns the path of a program of Redis's. Where it is missing the test
// is skipped, or fails if REQUIRE_REDIS is set.
func Binary(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("REQUIRE_REDIS") != "" {
			t.Fatalf("REQUIRE_REDIS is set: %v", err)
		}
		t.Skipf("%s is not installed", name)
	}
	return path
}

// Start starts a server on a unix socket that ends with the test. It writes
// nothing to disk, unless args, which are given to redis-server, say so.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	// Not t.TempDir: with the test's name in it, it may be longer than a
	// socket's path may be.
	dir := shortDir(t)
	sock := filepath.Join(dir, "s")
	s := &Server{Addr: sock, URL: "unix://" + sock, t: t, dir: dir}
	s.args = append([]string{"--port", "0", "--unixsocket", sock}, args...)
	s.begin()
	return s
}

// StartTCP starts a server on a free port of the loopback.
func StartTCP(t testing.TB, args ...string) *Server {
	t.Helper()
	return startPort(t, FreePort(t), args...)
}

func startPort(t testing.TB, port int, args ...string) *Server {
	t.Helper()
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s := &Server{Addr: addr, URL: "redis://" + addr, t: t, dir: shortDir(t)}
	s.args = append([]string{"--port", strconv.Itoa(port), "--bind", "127.0.0.1"}, args...)
	s.begin()
	return s
}

func shortDir(t testing.TB) string {
	dir, err := os.MkdirTemp("", "redis")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// FreePort returns a port that nobody listens on, nor on the one that a cluster
// node adds to it, 10,000 higher.
func FreePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		_ = l.Close()
		if port > 55000 {
			port -= 20000
		}
		a, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			continue
		}
		b, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port+10000))
		_ = a.Close()
		if err == nil {
			_ = b.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

func (s *Server) begin() {
	s.t.Helper()
	s.t.Cleanup(s.Kill)
	s.launch()
	s.Ready()
}

func (s *Server) launch() {
	s.t.Helper()
	args := append([]string{"--dir", s.dir, "--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", filepath.Join(s.dir, "log")}, s.args...)
	cmd := exec.Command(Binary(s.t, "redis-server"), args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.cmd = cmd
	s.mu.Unlock()
}

// Ready waits until the server answers.
func (s *Server) Ready() {
	s.t.Helper()
	s.Until("it answers", func(ctx context.Context, c *redis.Client) bool { return c.Ping(ctx).Err() == nil })
}

// Until waits until ok, which is asked again and again.
func (s *Server) Until(what string, ok func(context.Context, *redis.Client) bool) {
	s.t.Helper()
	c := s.Client()
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for !ok(ctx, c) {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			s.t.Fatalf("redis at %s: not so after %v: %s\n%s", s.Addr, patience, what, log)
		}
	}
}

// Client returns a client of this server alone, which the caller closes.
func (s *Server) Client() *redis.Client {
	network := "tcp"
	if strings.HasPrefix(s.Addr, "/") {
		network = "unix"
	}
	return redis.NewClient(&redis.Options{Network: network, Addr: s.Addr, MaxRetries: -1, Protocol: 2, TLSConfig: s.tls})
}

// Do sends one command and returns its answer.
func (s *Server) Do(args ...any) any {
	s.t.Helper()
	c := s.Client()
	defer func() { _ = c.Close() }()
	v, err := c.Do(context.Background(), args...).Result()
	if err != nil {
		s.t.Fatalf("redis at %s: %v: %v", s.Addr, args, err)
	}
	return v
}

// Kill ends the process at once: kill -9.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Stop ends the process as it would like to end.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

func (s *Server) end(sig syscall.Signal) {
	s.mu.Lock()
	cmd := s.cmd
	s.cmd = nil
	s.mu.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Signal(syscall.SIGCONT)
	_ = cmd.Process.Signal(sig)
	_ = cmd.Wait()
}

// Pause stops the process where it is; its connections stay open and are silent.
func (s *Server) Pause() { s.signal(syscall.SIGSTOP) }

// Continue lets a paused process go on.
func (s *Server) Continue() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig syscall.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(sig)
	}
}

// Save writes a snapshot, which RestartSaved starts from.
func (s *Server) Save() {
	s.t.Helper()
	s.Do("SAVE")
	dump, err := os.ReadFile(s.dump())
	if err == nil {
		err = os.WriteFile(filepath.Join(s.dir, "kept"), dump, 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) dump() string { return filepath.Join(s.dir, "dump.rdb") }

// RestartEmpty kills the server and starts it without data.
func (s *Server) RestartEmpty() {
	s.t.Helper()
	s.Kill()
	_ = os.Remove(s.dump())
	s.launch()
	s.Ready()
}

// Dir is where the server keeps its files.
func (s *Server) Dir() string { return s.dir }

// RestartSaved kills the server and starts it from what Save wrote.
func (s *Server) RestartSaved() {
	s.t.Helper()
	s.RestartLoading()
	s.Ready()
}

// RestartLoading is RestartSaved that does not wait until the server has loaded it.
func (s *Server) RestartLoading() {
	s.t.Helper()
	s.Kill()
	dump, err := os.ReadFile(filepath.Join(s.dir, "kept"))
	if err == nil {
		err = os.WriteFile(s.dump(), dump, 0o600)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.launch()
}

// Restart starts a server that was stopped or killed, from whatever it left.
func (s *Server) Restart() {
	s.t.Helper()
	s.launch()
	s.Ready()
}

// A Cluster is a Redis Cluster of three masters with a replica each.
type Cluster struct {
	URL     string
	Servers []*Server
}

// StartCluster starts one, and waits until every node knows that it works.
func StartCluster(t testing.TB, args ...string) *Cluster {
	t.Helper()
	cli := Binary(t, "redis-cli")
	c := &Cluster{}
	var addrs []string
	for range 6 {
		s := startPort(t, FreePort(t), append([]string{
			"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "1000",
			"--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"}, args...)...)
		c.Servers = append(c.Servers, s)
		addrs = append(addrs, s.Addr)
	}
	c.URL = "redis+cluster://" + strings.Join(addrs, ",")
	create := exec.Command(cli, append(append([]string{"--cluster", "create"}, addrs...), "--cluster-replicas", "1", "--cluster-yes")...)
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("redis-cli --cluster create: %v\n%s", err, bytes.TrimSpace(out))
	}
	for _, s := range c.Servers {
		s.Until("the cluster is whole", func(ctx context.Context, c *redis.Client) bool {
			info := c.ClusterInfo(ctx).Val()
			role := c.Info(ctx, "replication").Val()
			return strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_known_nodes:6") &&
				(strings.Contains(role, "role:master") && strings.Contains(role, "connected_slaves:1") || strings.Contains(role, "master_link_status:up"))
		})
	}
	return c
}

// A Sentinel is a master with a replica and three sentinels that watch them.
type Sentinel struct {
	URL       string
	Master    string // its name
	Servers   []*Server
	Sentinels []*Server
}

// StartSentinel starts one, and waits until the sentinels know each other and
// the replica.
func StartSentinel(t testing.TB, args ...string) *Sentinel {
	t.Helper()
	x := &Sentinel{Master: "main"}
	master := StartTCP(t, append([]string{"--repl-diskless-sync-delay", "0"}, args...)...)
	_, port, _ := strings.Cut(master.Addr, ":")
	replica := StartTCP(t, append([]string{"--replicaof", "127.0.0.1", port, "--repl-diskless-sync-delay", "0"}, args...)...)
	x.Servers = []*Server{master, replica}
	replica.Until("it replicates", func(ctx context.Context, c *redis.Client) bool {
		return strings.Contains(c.Info(ctx, "replication").Val(), "master_link_status:up")
	})
	var addrs []string
	for range 3 {
		p := FreePort(t)
		s := &Server{Addr: fmt.Sprintf("127.0.0.1:%d", p), t: t, dir: shortDir(t)}
		conf := filepath.Join(s.dir, "sentinel.conf")
		text := fmt.Sprintf("port %d\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 %s 2\nsentinel down-after-milliseconds main 1000\nsentinel failover-timeout main 5000\n", p, port)
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Kill)
		cmd := exec.Command(Binary(t, "redis-server"), conf, "--sentinel", "--dir", s.dir, "--logfile", filepath.Join(s.dir, "log"))
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		s.cmd = cmd
		x.Sentinels = append(x.Sentinels, s)
		addrs = append(addrs, s.Addr)
	}
	for _, s := range x.Sentinels {
		s.Until("it knows the others", func(ctx context.Context, c *redis.Client) bool {
			m, err := c.Do(ctx, "SENTINEL", "MASTER", "main").Slice()
			if err != nil {
				return false
			}
			have := map[string]string{}
			for i := 0; i+1 < len(m); i += 2 {
				have[fmt.Sprint(m[i])] = fmt.Sprint(m[i+1])
			}
			return have["num-other-sentinels"] == "2" && have["num-slaves"] == "1" && have["flags"] == "master"
		})
	}
	x.URL = "redis+sentinel://" + strings.Join(addrs, ",") + "/main"
	return x
}
