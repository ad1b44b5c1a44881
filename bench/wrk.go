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

// A load is what wrk says of a run; see files/load.lua.
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
		return fmt.Errorf("%d connections of wrk failed", l.Broken)
	case l.Requests == 0:
		return errors.New("no request was answered")
	}
	return nil
}

// wrk asks for paths that begin with path: n of them in turn, or, if n is 0, ever
// new ones. Fields are NAME, VALUE pairs.
func (b *bench) wrk(ctx context.Context, addr, path string, n int, fields ...string) (load, error) {
	kind := "cycle"
	if n == 0 {
		kind = "new"
	}
	args := []string{"-c", b.client, "wrk", "-t1", "-c" + strconv.Itoa(b.o.connections), "-d" + strconv.Itoa(b.o.seconds) + "s", "--timeout", "10s",
		"-s", filepath.Join(b.dir, "load.lua"), "http://" + addr + "/", "--", kind, path, strconv.Itoa(n)}
	cmd := exec.CommandContext(ctx, "taskset", append(args, fields...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
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
