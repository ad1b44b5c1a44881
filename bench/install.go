package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A need is a program, or a file by its pattern, with the package of Debian and
// Ubuntu that has it.
type need struct {
	program, pattern, pkg string
	must                  bool // nothing can be measured without it
}

var needs = []need{
	{program: "taskset", pkg: "util-linux", must: true},
	{program: "wrk", pkg: "wrk", must: true},
	{program: "h2load", pkg: "nghttp2-client"},
	{program: "gcc", pkg: "gcc"},
	{pattern: "/usr/include/stdio.h", pkg: "libc6-dev"},
	{program: "haproxy", pkg: "haproxy"},
	{program: "nginx", pkg: "nginx-light"},
	{program: "varnishd", pkg: "varnish"},
	{pattern: xkeyPattern, pkg: "varnish-modules"},
	{program: "redis-server", pkg: "redis-server"},
}

const xkeyPattern = "/usr/lib/*/varnish/vmods/libvmod_xkey.so"

// has reports whether a program can be run. Servers are where only root looks.
func has(program string) bool { return programPath(program) != "" }

func programPath(program string) string {
	if path, err := exec.LookPath(program); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path
		}
	}
	return ""
}

func hasFile(pattern string) bool {
	found, _ := filepath.Glob(pattern) // no error: the patterns are good
	return len(found) > 0
}

func (n need) there() bool {
	if n.program != "" {
		return has(n.program)
	}
	return hasFile(n.pattern)
}

// install sees to the packages that are missing, if it may and can. What is still
// missing then is left out of the comparison, or, where nothing works without it, an
// error.
func (b *bench) install(ctx context.Context) error {
	var missing []string
	for _, n := range needs {
		if !n.there() {
			missing = append(missing, n.pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if b.o.install {
		if err := b.aptGet(ctx, missing); err != nil {
			b.say("not installed: %v", err)
		}
	}
	var errs error
	for _, n := range needs {
		if n.there() {
			continue
		}
		if n.must {
			errs = errors.Join(errs, fmt.Errorf("please install %s", n.pkg))
		} else {
			b.say("without %s, what needs it is left out", n.pkg)
		}
	}
	return errs
}

// aptGet installs packages without starting the services in them.
func (b *bench) aptGet(ctx context.Context, packages []string) error {
	install := "apt-get install --no-install-recommends " + strings.Join(packages, " ")
	if !has("apt-get") || os.Geteuid() != 0 {
		return fmt.Errorf("as root, run: %s", install)
	}
	const policy = "/usr/sbin/policy-rc.d" // asked before a package starts its service; 101 forbids it
	if _, err := os.Stat(policy); errors.Is(err, os.ErrNotExist) {
		b.say("while installing, %s keeps services from being started", policy)
		if err := os.WriteFile(policy, []byte("#!/bin/sh\nexit 101\n"), 0o755); err != nil {
			return err
		}
		defer os.Remove(policy)
	}
	for _, args := range [][]string{{"-q", "update"}, append([]string{"-q", "install", "-y", "--no-install-recommends"}, packages...)} {
		b.say("apt-get %s", strings.Join(args, " "))
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[1], err, out)
		}
	}
	return nil
}
