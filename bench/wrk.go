package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// A load is what wrk says of a run (see files/load.lua), or h2load.
type load struct {
	Requests, Bytes, Micros int64
	Broken, Refused         int64
	P50, P99, P999          int64 // µs
}

func (l load) err() error {
	switch {
	case l.Refused > 0:
		return fmt.Errorf("%d of %d requests were answered with 400 or more", l.Refused, l.Requests)
	case l.Broken > 0:
		return fmt.Errorf("%d connections or requests broke off", l.Broken)
	case l.Requests == 0:
		return errors.New("no request was answered")
	}
	return nil
}

// load asks a server for paths that begin with path as a row says: n of them in turn,
// or, if n is 0, ever new ones.
func (b *bench) load(ctx context.Context, r row, x *server, path string) (load, error) {
	switch r.over {
	case overHTTP2:
		return b.h2load(ctx, x.at(r.over), path, r.objects, r.fields...)
	case overTLS:
		return b.wrk(ctx, "https", x.at(r.over), path, r.objects, r.fields...)
	}
	return b.wrk(ctx, "http", x.at(r.over), path, r.objects, r.fields...)
}

// wrk does so over HTTP/1.1. Fields are NAME, VALUE pairs.
func (b *bench) wrk(ctx context.Context, scheme, addr, path string, n int, fields ...string) (load, error) {
	kind := "cycle"
	if n == 0 {
		kind = "new"
	}
	args := []string{"-c", b.client, "wrk", "-t1", "-c" + strconv.Itoa(b.o.connections), "-d" + strconv.Itoa(b.o.seconds) + "s", "--timeout", "10s",
		"-s", filepath.Join(b.dir, "load.lua"), scheme + "://" + addr + "/", "--", kind, path, strconv.Itoa(n)}
	out, err := b.command(ctx, append(args, fields...)...)
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	var l load
	last := out[bytes.LastIndexByte(bytes.TrimSpace(out), '\n')+1:]
	if err := json.Unmarshal(last, &l); err != nil {
		return load{}, fmt.Errorf("wrk said\n%s", out)
	}
	return l, l.err()
}

// command runs a program that makes load to its end, by taskset's arguments, and
// returns what it said.
func (b *bench) command(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "taskset", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	return cmd.CombinedOutput()
}
