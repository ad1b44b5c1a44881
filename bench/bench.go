package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"text/template"
	"time"
)

//go:embed files
var files embed.FS

// A bench is one run: what it started, where it writes, what it found.
type bench struct {
	o        options
	progress io.Writer
	began    time.Time

	root                 string // of the module
	dir                  string // temporary, for everything
	shm                  string // the same, in memory where that can be had
	self                 string // this program
	program              string // surrogate
	floor                string // the floor's program; empty without a compiler
	certificate          string // a file, with its key
	server, client, both string // cores
	all                  string // that this program may use

	processes []*process // in the order they were started

	requested  []rowResult
	redis      *redisResult
	remembered []memoryResult
	purged     []purgeResult
	fleet      *fleetResult
	stormed    *stormResult
	herded     []herdResult
	rushes     []*rush
}

// say tells what is being done.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "%5.1fs  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

// prepare finds the cores, installs, builds, and makes the directories.
func prepare(ctx context.Context, o options, progress io.Writer) (b *bench, err error) {
	b = &bench{o: o, progress: progress, began: time.Now()}
	if runtime.GOOS != "linux" {
		return nil, errors.New("this measures by Linux's /proc")
	}
	cores, err := ownCores()
	if err != nil {
		return nil, err
	}
	b.server, b.client = strconv.Itoa(cores[0]), strconv.Itoa(cores[min(1, len(cores)-1)])
	b.both = b.server + "," + b.client
	b.all = listCores(cores)
	if b.server == b.client {
		b.say("there is one core only: servers and load share it, and requests per second are both's")
	}
	if b.self, err = os.Executable(); err != nil {
		return nil, err
	}
	if err := b.install(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.dir, err = os.MkdirTemp("", "surrogate-bench-"); err != nil {
		return nil, err
	}
	b.shm = b.dir
	if dir, err := os.MkdirTemp("/dev/shm", "surrogate-bench-"); err == nil {
		b.shm = dir
	}
	if b.certificate, err = b.certify(); err != nil {
		return nil, err
	}
	return b, b.build(ctx)
}

// build makes surrogate and the floor.
func (b *bench) build(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "surrogate").Output()
	if err != nil {
		return fmt.Errorf("where is the module? run this inside it: %w", err)
	}
	b.root = strings.TrimSpace(string(out))
	if b.program = b.o.surrogate; b.program == "" {
		b.say("building surrogate")
		b.program = filepath.Join(b.dir, "surrogate")
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.program, "./cmd/surrogate")
		cmd.Dir, cmd.Env = b.root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building surrogate: %w\n%s", err, out)
		}
	}
	if has("gcc") && hasFile("/usr/include/stdio.h") {
		source, program := filepath.Join(b.dir, "floor.c"), filepath.Join(b.dir, "floor")
		if err := b.write("floor.c", source, nil); err != nil {
			return err
		}
		if out, err := exec.CommandContext(ctx, "gcc", "-O2", "-Wall", "-o", program, source).CombinedOutput(); err != nil {
			return fmt.Errorf("building the floor: %w\n%s", err, out)
		}
		b.floor = program
	}
	return b.write("load.lua", filepath.Join(b.dir, "load.lua"), nil)
}

// stopAll stops whatever runs, the latest first.
func (b *bench) stopAll() error {
	var errs error
	for i := len(b.processes) - 1; i >= 0; i-- {
		errs = errors.Join(errs, b.processes[i].stop())
	}
	b.processes = nil
	return errs
}

// close stops whatever runs, the latest first, and removes the directories.
func (b *bench) close() error {
	errs := b.stopAll()
	for _, dir := range []string{b.dir, b.shm} {
		if dir != "" {
			errs = errors.Join(errs, os.RemoveAll(dir))
		}
	}
	return errs
}

// write puts an embedded file where it is needed. With values it is a template.
func (b *bench) write(name, path string, values any) error {
	text, err := files.ReadFile("files/" + name)
	if err != nil {
		return err
	}
	if values == nil {
		return os.WriteFile(path, text, 0o644)
	}
	t, err := template.New(name).Parse(string(text))
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(t.Execute(f, values), f.Close())
}

// begin starts a program and waits until it serves.
func (b *bench) begin(ctx context.Context, cores, name, addr string, env []string, args ...string) (*process, error) {
	p, err := start(cores, name, env, args...)
	if err != nil {
		return nil, err
	}
	b.processes = append(b.processes, p)
	return p, p.serving(ctx, addr)
}

// end stops processes that are no longer needed.
func (b *bench) end(ps ...*process) error {
	var errs error
	for _, p := range ps {
		errs = errors.Join(errs, p.stop())
		for i, q := range b.processes {
			if q == p {
				b.processes = append(b.processes[:i], b.processes[i+1:]...)
				break
			}
		}
	}
	return errs
}

// port finds a free one.
func port() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

func addrOf(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// startOrigin starts an origin on the load's core.
func (b *bench) startOrigin(ctx context.Context) (addr string, p *process, err error) {
	return b.startPart(ctx, originRole)
}

// startPart starts this program in a part, on the load's core.
func (b *bench) startPart(ctx context.Context, role string) (addr string, p *process, err error) {
	at, err := port()
	if err != nil {
		return "", nil, err
	}
	p, err = b.begin(ctx, b.client, role, addrOf(at), []string{roleVariable + "=" + role, addrVariable + "=" + addrOf(at)}, b.self)
	return addrOf(at), p, err
}

// asked is how many requests the origin has had.
func asked(origin string) (int64, error) {
	a, err := get(origin, countPath)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(a.body)), 10, 64)
}
