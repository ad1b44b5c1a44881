package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// h2load asks for the first n paths that begin with path in turn, over HTTP/2, one
// at a time on each connection.
func (b *bench) h2load(ctx context.Context, addr, path string, n int, fields ...string) (load, error) {
	urls, times := filepath.Join(b.dir, "urls"), filepath.Join(b.dir, "times")
	var list bytes.Buffer
	for i := range n {
		fmt.Fprintf(&list, "https://%s%s%d\n", addr, path, i)
	}
	if err := os.WriteFile(urls, list.Bytes(), 0o644); err != nil {
		return load{}, err
	}
	if err := os.WriteFile(times, nil, 0o644); err != nil { // it appends
		return load{}, err
	}
	args := []string{"-c", b.client, "h2load", "-t1", "-m1", "-c" + strconv.Itoa(b.o.connections), "-D" + strconv.Itoa(b.o.seconds),
		"--log-file=" + times, "-i", urls}
	for pair := range slices.Chunk(append(slices.Clone(browser), fields...), 2) {
		args = append(args, "-H", pair[0]+": "+pair[1])
	}
	out, err := b.command(ctx, args...)
	if err != nil {
		return load{}, fmt.Errorf("h2load: %w\n%s", err, out)
	}
	text, err := os.ReadFile(times)
	if err != nil {
		return load{}, err
	}
	l, err := parseH2load(string(out), string(text))
	if err != nil {
		return load{}, fmt.Errorf("h2load said\n%s\n%w", out, err)
	}
	return l, l.err()
}

var (
	h2loadTook     = regexp.MustCompile(`(?m)^finished in ([0-9.]+)(us|ms|s|m),`)
	h2loadRequests = regexp.MustCompile(`(?m)^requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout$`)
	h2loadTraffic  = regexp.MustCompile(`(?m)^traffic: .*, \S+ \((\d+)\) data$`)
)

// parseH2load reads what h2load says of a run, and its log: for each request when it
// began, its status and what it took, in µs.
func parseH2load(said, times string) (l load, err error) {
	took, requests, traffic := h2loadTook.FindStringSubmatch(said), h2loadRequests.FindStringSubmatch(said), h2loadTraffic.FindStringSubmatch(said)
	if took == nil || requests == nil || traffic == nil {
		return load{}, errors.New("which is not what is looked for")
	}
	number := func(s string) int64 {
		n, e := strconv.ParseInt(s, 10, 64)
		if err == nil {
			err = e
		}
		return n
	}
	seconds, e := strconv.ParseFloat(took[1], 64)
	if e != nil {
		return load{}, e
	}
	l.Micros = int64(seconds * map[string]float64{"us": 1, "ms": 1e3, "s": 1e6, "m": 60e6}[took[2]])
	l.Requests, l.Bytes = number(requests[1]), number(traffic[1])
	l.Broken = number(requests[4]) + number(requests[5])
	l.Refused = number(requests[3]) - l.Broken
	var each []time.Duration
	for line := range strings.Lines(times) {
		f := strings.Fields(line)
		if len(f) != 3 {
			return load{}, fmt.Errorf("its log says %q", line)
		}
		each = append(each, time.Duration(number(f[2]))*time.Microsecond)
	}
	slices.Sort(each)
	micros := func(q float64) int64 { return int64(1e3 * at(each, q)) }
	l.P50, l.P99, l.P999 = micros(0.5), micros(0.99), micros(0.999)
	return l, err
}
