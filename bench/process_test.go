package main

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// What a child used still counts when it has ended.
func TestCPUOfEnded(t *testing.T) {
	if !has("taskset") {
		if os.Getenv("REQUIRE_JUDGES") != "" {
			t.Fatal("taskset is not installed")
		}
		t.Skip("taskset is not installed")
	}
	// A shell whose child counts and ends, and which then has another that waits.
	p, err := start("0", "sh", nil, "sh", "-c", `(i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done); sleep 60; :`)
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	var most time.Duration
	for give := time.Now().Add(30 * time.Second); time.Now().Before(give); time.Sleep(time.Millisecond) {
		waits := waiting(p)
		now, err := p.cpu()
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, now)
		if waits {
			if most < 5*tick || now < most-3*tick {
				t.Errorf("%v of %v are left", now, most)
			}
			return
		}
	}
	t.Error("its child still counts")
}

// waiting reports whether a process has a child called sleep.
func waiting(p *process) bool {
	for _, pid := range tree(p.cmd.Process.Pid) {
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); err == nil && string(text) == "sleep\n" {
			return true
		}
	}
	return false
}
