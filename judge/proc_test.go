package judge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// lacking ends a test that cannot run here, in one line. That is a failure where
// the judges are required, so that a build that lost its node or its browser
// does not pass for one that was judged.
func lacking(t *testing.T, what string) {
	t.Helper()
	what += " (judge/install.sh installs what the judges need)"
	if os.Getenv("REQUIRE_JUDGES") != "" || os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// needPrograms ends the test unless all of these are in the path.
func needPrograms(t *testing.T, names ...string) {
	t.Helper()
	if testing.Short() {
		t.Skip("the judges take a minute: not with -short")
	}
	for _, n := range names {
		if _, err := exec.LookPath(n); err != nil {
			lacking(t, n+" is not installed")
		}
	}
}

// within is a context that ends soon enough before the test's own deadline for
// the processes started under it to be stopped in order.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	end := time.Now().Add(d)
	if by, ok := t.Deadline(); ok && by.Add(-10*time.Second).Before(end) {
		end = by.Add(-10 * time.Second)
	}
	ctx, cancel := context.WithDeadline(t.Context(), end)
	t.Cleanup(cancel)
	return ctx
}

// A process is a program started by a test, which also stops it.
type process struct {
	name string
	cmd  *exec.Cmd
	out  *tail         // what it said on both its outputs
	done chan struct{} // closed when it has ended
	err  error         // how it ended, once done is closed
	once sync.Once     // stops it
}

// start runs cmd until it ends or the test does. It gets a process group of its
// own, so that stopping it stops what it started as well.
func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{name: cmd.Args[0], cmd: cmd, out: &tail{}, done: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout = p.out
	}
	if cmd.Stderr == nil {
		cmd.Stderr = p.out
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 5 * time.Second // for a grandchild that holds on to the outputs
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting %s: %v", p.name, err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() { p.stop(t) })
	return p
}

// stop asks the process to end and sees to it that it has.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.once.Do(func() { p.end(t) })
}

func (p *process) end(t *testing.T) {
	t.Helper()
	group := -p.cmd.Process.Pid
	select {
	case <-p.done:
	default:
		syscall.Kill(group, syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(10 * time.Second):
			t.Errorf("%s did not end within 10s of SIGTERM, killing it", p.name)
		}
	}
	syscall.Kill(group, syscall.SIGKILL) // whoever is left of its group
	<-p.done
}

// ready waits until url is answered, whatever the answer, which is to say that
// what listens there serves.
func (p *process) ready(t *testing.T, url string) {
	t.Helper()
	client := &http.Client{
		Timeout:       time.Second,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	eventually(t, 20*time.Second, func() error {
		select {
		case <-p.done:
			t.Fatalf("%s ended before it answered %s: %v\n%s", p.name, url, p.err, p.out)
		default:
		}
		res, err := client.Get(url)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, res.Body)
		return errors.Join(err, res.Body.Close())
	})
}

// eventually tries until it succeeds, and fails the test with the last error if
// that takes longer than patience.
func eventually(t *testing.T, patience time.Duration, try func() error) {
	t.Helper()
	end := time.Now().Add(patience)
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within %v: %v", patience, err)
		}
		<-again.C
	}
}

// freePort is a port that nothing listened on a moment ago.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// A tail keeps the last part of what is written to it, for the message of a test
// that fails. It may be shared.
type tail struct {
	mu  sync.Mutex // guards buf
	buf []byte
}

const tailBytes = 64 << 10

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
