package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// ownCores are the cores that this process may use, in order.
func ownCores() ([]int, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		if list, ok := strings.CutPrefix(line, "Cpus_allowed_list:"); ok {
			return parseCores(strings.TrimSpace(list))
		}
	}
	return nil, fmt.Errorf("/proc/self/status does not say which cores there are")
}

// parseCores reads a list as the kernel writes it: "0-3,8".
func parseCores(list string) (cores []int, err error) {
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err := strconv.Atoi(first)
		if err != nil {
			return nil, fmt.Errorf("cores %q: %w", list, err)
		}
		to, err := strconv.Atoi(last)
		if err != nil {
			return nil, fmt.Errorf("cores %q: %w", list, err)
		}
		for c := from; c <= to; c++ {
			cores = append(cores, c)
		}
	}
	return cores, nil
}

// listCores is a list that parseCores reads.
func listCores(cores []int) string {
	var list []string
	for _, c := range cores {
		list = append(list, strconv.Itoa(c))
	}
	return strings.Join(list, ",")
}

// machine is what the figures depend on, in a line.
func machine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`model name\s*:\s*(.+)`).FindSubmatch(text); m != nil {
			model = strings.TrimSpace(string(m[1]))
		}
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		kernel = []byte("?")
	}
	return fmt.Sprintf("%s, %s, %d cores, Linux %s", time.Now().UTC().Format("2006-01-02"), model, runtime.NumCPU(), strings.TrimSpace(string(kernel)))
}

// versions are those of the programs that take part, in a line.
func versions() string {
	said := []string{runtime.Version()}
	for _, p := range []struct{ name, arg, says string }{
		{"haproxy", "-v", "HAProxy"}, {"nginx", "-v", "nginx"}, {"varnishd", "-V", "Varnish"}, {"redis-server", "-v", "Redis"}, {"wrk", "-v", "wrk"}, {"h2load", "--version", "h2load"},
	} {
		out, _ := exec.Command(p.name, p.arg).CombinedOutput() // some exit with 1 after this
		if v := regexp.MustCompile(`\d+\.\d+\.\d+`).Find(out); v != nil {
			said = append(said, p.says+" "+string(v))
		}
	}
	return strings.Join(said, ", ")
}
