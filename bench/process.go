package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A process is a program that was started, and everything it started itself.
type process struct {
	name string
	cmd  *exec.Cmd
	said lastWords
	done chan struct{} // closed when it has ended
}

// lastWords keeps the end of what a process says, for when it fails.
type lastWords struct {
	mu  sync.Mutex // guards end
	end []byte
}

func (l *lastWords) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end = append(l.end, p...)
	if over := len(l.end) - 4096; over > 0 {
		l.end = append(l.end[:0], l.end[over:]...)
	}
	return len(p), nil
}

func (l *lastWords) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(bytes.TrimSpace(l.end))
}

// start runs a program on these cores ("0", "0,1") until it is stopped. It gets a
// process group of its own: an interrupt at the terminal is for this program, which
// stops the others in order.
func start(cores, name string, env []string, args ...string) (*process, error) {
	p := &process{name: name, done: make(chan struct{})}
	p.cmd = exec.Command("taskset", append([]string{"-c", cores}, args...)...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.said, &p.said
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = 5 * time.Second // for a grandchild that holds on to the outputs
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	go func() {
		_ = p.cmd.Wait() // whoever misses it asks what it said
		close(p.done)
	}()
	return p, nil
}

// serving waits until something accepts connections at addr.
func (p *process) serving(ctx context.Context, addr string) error {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for give := time.Now().Add(20 * time.Second); time.Now().Before(give); {
		if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.done:
			return fmt.Errorf("%s ended: %s", p.name, &p.said)
		case <-look.C:
		}
	}
	return fmt.Errorf("%s does not serve on %s: %s", p.name, addr, &p.said)
}

// stop asks the process to end, and sees to it that it has, and whatever it
// started.
func (p *process) stop() error {
	group := -p.cmd.Process.Pid
	var late error
	select {
	case <-p.done:
	default:
		_ = syscall.Kill(group, syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(10 * time.Second):
			late = fmt.Errorf("%s did not end within 10s of SIGTERM and was killed", p.name)
		}
	}
	_ = syscall.Kill(group, syscall.SIGKILL) // who is left of the group
	<-p.done
	return late
}

// tree are the pids of a process and its descendants.
func tree(pid int) []int {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // no error: the pattern is good
	children := map[int][]int{}
	for _, name := range stats {
		fields := statOf(name)
		if fields == nil {
			continue // ended meanwhile
		}
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		parent, _ := strconv.Atoi(fields[statParent])
		children[parent] = append(children[parent], child)
	}
	pids := []int{pid}
	for i := 0; i < len(pids); i++ {
		pids = append(pids, children[pids[i]]...)
	}
	return pids
}

// Fields of /proc/PID/stat, counted from the one behind the command.
const (
	statParent     = 1
	statUserOfDead = 13 // of children that have ended, in ticks
	statSysOfDead  = 14
	statFields     = 15 // as many as are needed
	tick           = 10 * time.Millisecond
)

// statOf are the fields of a /proc/PID/stat that follow the command, which is in
// parentheses and may contain anything; nil if the process has ended.
func statOf(name string) []string {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < statFields {
		return nil
	}
	return fields
}

// cpu is the time on a core of all threads of a process and its descendants, those
// that have ended included: nginx has one that ends after a minute.
func (p *process) cpu() (time.Duration, error) {
	var sum time.Duration
	for _, pid := range tree(p.cmd.Process.Pid) {
		if fields := statOf(fmt.Sprintf("/proc/%d/stat", pid)); fields != nil {
			user, _ := strconv.Atoi(fields[statUserOfDead])
			sys, _ := strconv.Atoi(fields[statSysOfDead])
			sum += time.Duration(user+sys) * tick
		}
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, name := range threads {
			text, err := os.ReadFile(name)
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
				continue // ended meanwhile
			} else if err != nil {
				return 0, err
			}
			first, _, _ := strings.Cut(string(text), " ")
			ns, err := strconv.ParseInt(first, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", name, err)
			}
			sum += time.Duration(ns)
		}
	}
	if sum == 0 {
		return 0, fmt.Errorf("%s has used no CPU: it has ended, or the kernel does not say (%s)", p.name, &p.said)
	}
	return sum, nil
}

// resident is the memory that a process and its descendants hold, in bytes; what
// they share counts once.
func (p *process) resident() (int64, error) {
	var own, shared int64
	for _, pid := range tree(p.cmd.Process.Pid) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue
		} else if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(line, ":")
			kb, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				continue // another kind of line
			}
			switch name {
			case "RssAnon":
				own += kb << 10
			case "RssShmem":
				shared = max(shared, kb<<10)
			}
		}
	}
	return own + shared, nil
}
