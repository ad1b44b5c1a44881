package main

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// goBench runs one of the benchmarks in Go, which are in the packages whose own they
// are, and returns what it reports: by what follows the benchmark's name, value by
// unit.
func (b *bench) goBench(ctx context.Context, pkg, pattern, times string) (map[string]map[string]float64, error) {
	args := []string{"test", pkg, "-run", "^$", "-bench", pattern, "-benchtime", times}
	b.say("go %s", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = b.root
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	found := parseBench(string(out))
	if len(found) == 0 {
		return nil, fmt.Errorf("go %s printed no benchmark:\n%s", strings.Join(args, " "), out)
	}
	return found, nil
}

// parseBench reads the lines of benchmarks: their name, how often they ran, and
// pairs of a value and its unit. Of the name it keeps what follows the first slash,
// without the number of cores.
func parseBench(out string) map[string]map[string]float64 {
	found := make(map[string]map[string]float64)
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		_, name, _ := strings.Cut(fields[0], "/")
		if i := strings.LastIndexByte(name, '-'); i >= 0 {
			if _, err := strconv.Atoi(name[i+1:]); err == nil {
				name = name[:i]
			}
		}
		values := make(map[string]float64)
		for i := 2; i+1 < len(fields); i += 2 {
			if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
				values[fields[i+1]] = v
			}
		}
		found[name] = values
	}
	return found
}
