package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// profile takes a CPU profile of surrogate while it is asked for a row.
func (b *bench) profile(ctx context.Context, r row, x *server, path string) error {
	if err := os.MkdirAll(b.o.profiles, 0o755); err != nil {
		return err
	}
	name := strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(r.title), "-"), "-")
	file := filepath.Join(b.o.profiles, name+".pprof")
	b.say("profiling %s: go tool pprof -top %s", r.title, file)
	taken := make(chan error, 1)
	go func() {
		taken <- download(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", x.admin, b.o.seconds), file)
	}()
	_, err := b.load(ctx, r, x, path)
	return errors.Join(err, <-taken)
}

// heap takes a profile of what surrogate holds.
func (b *bench) heap(ctx context.Context, x *server) error {
	if err := os.MkdirAll(b.o.profiles, 0o755); err != nil {
		return err
	}
	file := filepath.Join(b.o.profiles, "heap.pprof")
	b.say("what is alive: go tool pprof -top %s", file)
	return download(ctx, "http://"+x.admin+"/debug/pprof/heap", file)
}

// trace records who runs when in surrogate, for a second.
func (b *bench) trace(ctx context.Context, x *server) error {
	if err := os.MkdirAll(b.o.profiles, 0o755); err != nil {
		return err
	}
	file := filepath.Join(b.o.profiles, "storm.trace")
	b.say("who runs when: go tool trace %s", file)
	return download(ctx, "http://"+x.admin+"/debug/pprof/trace?seconds=1", file)
}

func download(ctx context.Context, url, file string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s is answered %s", url, resp.Status)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, resp.Body)
	return errors.Join(err, f.Close())
}
