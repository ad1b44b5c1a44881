package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// scratch is where the program is built.
var scratch string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "surrogate-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	scratch = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// built is the path of the program, with the race detector if these tests have
// it.
var built = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "surrogate")
	args := []string{"build", "-o", path}
	if raceEnabled {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, ".")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building surrogate: %v\n%s", err, out)
	}
	return path, nil
})

// patience is how long anything that must happen may take to.
const patience = 20 * time.Second

// An output is what a program writes; tests wait for something in it.
type output struct {
	mu   sync.Mutex // guards the fields below
	buf  bytes.Buffer
	news chan struct{} // closed at the next write
}

func newOutput() *output { return &output{news: make(chan struct{})} }

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.Write(b)
	close(o.news)
	o.news = make(chan struct{})
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// await returns the submatches of the first match.
func (o *output) await(t *testing.T, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	end := time.After(patience)
	for {
		o.mu.Lock()
		text, news := o.buf.String(), o.news
		o.mu.Unlock()
		if m := re.FindStringSubmatch(text); m != nil {
			return m
		}
		select {
		case <-news:
		case <-end:
			t.Fatalf("never said %q:\n%s", pattern, text)
		}
	}
}

// quickExit keeps the race detector from waiting a second at the end of each
// program.
const quickExit = "GORACE=atexit_sleep_ms=10"

// A process is a surrogate that a test started, and that ends with it.
type process struct {
	cmd      *exec.Cmd
	out, log *output
	done     chan struct{} // closed when it has ended
	err      error         // how, once it has

	proxy, admin string // URLs, once it serves
}

// programWith is the program, to be run in the environment of nobody.
func programWith(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), quickExit}
	cmd.Dir = t.TempDir()
	return cmd
}

// launch starts the program.
func launch(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, out: newOutput(), log: newOutput(), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		select {
		case <-p.done:
		default:
			p.signal(t, syscall.SIGKILL)
			<-p.done
		}
		if log := p.log.String(); strings.Contains(log, "DATA RACE") || strings.Contains(log, "panic:") {
			t.Errorf("surrogate said:\n%s", log)
		}
	})
	return p
}

// serveFor starts the program in front of origin, on free ports, and waits until
// it serves.
func serveFor(t *testing.T, origin string, args ...string) *process {
	t.Helper()
	return serving(t, append([]string{"--origin", origin}, args...)...)
}

// serving starts the program. What a purge takes it does not fetch again by
// itself, unless args say so: most tests look at what is there afterwards.
func serving(t *testing.T, args ...string) *process {
	t.Helper()
	p := launch(t, programWith(t, append([]string{"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--set", "defaults.warm.rewarm=0"}, args...)...))
	p.ready(t)
	return p
}

func (p *process) ready(t *testing.T) {
	t.Helper()
	end := make(chan struct{})
	defer close(end)
	go func() {
		select {
		case <-p.done: // it will never be ready: let the waiting see that
			p.out.Write([]byte("\nended\n"))
		case <-end:
		}
	}()
	if m := p.out.await(t, `(?s)proxy on (http://\S+?)[,\n].*admin on (http://\S+?)[,\n]|\nended\n`); m[1] != "" {
		p.proxy, p.admin = m[1], m[2]
		return
	}
	t.Fatalf("ended before it served:\n%s", p.log)
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("sending %v: %v", s, err)
	}
}

// ended waits until the program has, and returns its exit code.
func (p *process) ended(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatalf("did not end:\n%s", p.log)
		return -1
	}
}

// said runs the program to its end.
func said(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	p := launch(t, programWith(t, args...))
	code = p.ended(t)
	return code, p.out.String(), p.log.String()
}

// An answer is a response that was read.
type answered struct {
	*http.Response
	body string
}

func (a answered) cache() string { return a.Header.Get("Cache-Status") }

// ask sends a request; fields are "Name: value".
func ask(t *testing.T, method, url, body string, fields ...string) answered {
	t.Helper()
	a, err := try(method, url, body, fields...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func try(method, url, body string, fields ...string) (answered, error) {
	return tryWith(client, method, url, body, fields...)
}

func tryWith(client *http.Client, method, url, body string, fields ...string) (answered, error) {
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return answered{}, err
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		if name == "Host" {
			req.Host = value
			continue
		}
		req.Header.Add(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		return answered{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answered{resp, string(b)}, err
}

func get(t *testing.T, url string, fields ...string) answered {
	t.Helper()
	return ask(t, "GET", url, "", fields...)
}

// client shows responses as they came.
var client = &http.Client{
	Timeout:       time.Minute,
	Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 100},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// eventually tries until it succeeds.
func eventually(t *testing.T, try func() error) {
	t.Helper()
	end := time.Now().Add(patience)
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("never: %v", err)
		}
		<-again.C
	}
}

// untilHit asks until the answer is a hit. The first client has its answer before it
// is stored, so the next may still share the fetch.
func untilHit(t *testing.T, url string, fields ...string) (a answered) {
	t.Helper()
	eventually(t, func() error {
		if a = get(t, url, fields...); !isHit(a) {
			return fmt.Errorf("%s: %s, %s", url, a.Status, a.cache())
		}
		return nil
	})
	return a
}

func isHit(a answered) bool { return strings.Contains(a.cache(), "; hit") }

func writeFile(t *testing.T, path, text string) string {
	t.Helper()
	if path == "" {
		path = filepath.Join(t.TempDir(), "proxy.toml")
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
