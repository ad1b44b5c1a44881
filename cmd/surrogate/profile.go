package main

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"runtime"
	"strings"
	"sync"
	"time"
)

const profiles = "/debug/pprof/"

// serveProfile answers what "go tool pprof" and "go tool trace" ask a program for.
// Of what net/http/pprof has, cmdline is left out: it would show passwords that were
// given as flags, of Redis say.
func serveProfile(w http.ResponseWriter, r *http.Request) {
	// The listener's time for reading a request must not end a profile, which is
	// cut off when its client leaves.
	if err := http.NewResponseController(w).SetReadDeadline(time.Time{}); err != nil {
		problem(w, http.StatusInternalServerError, err.Error())
		return
	}
	switch name := strings.TrimPrefix(r.URL.Path, profiles); name {
	case "profile":
		pprof.Profile(w, r)
	case "trace":
		pprof.Trace(w, r)
	case "allocs", "goroutine", "heap", "threadcreate":
		pprof.Handler(name).ServeHTTP(w, r)
	case "mutex", "block":
		serveContention(w, r, name)
	default:
		problem(w, http.StatusNotFound, "There is no such profile. There are profile, trace, allocs, heap, goroutine, threadcreate, mutex and block.")
	}
}

// contention is held while waiting is recorded.
var contention sync.Mutex

// serveContention records what goroutines wait for, for ?seconds=10. The rest of the
// time nothing of it is recorded, because that costs who waits.
func serveContention(w http.ResponseWriter, r *http.Request, name string) {
	if !contention.TryLock() {
		problem(w, http.StatusConflict, "Another profile of mutex or block is being taken.")
		return
	}
	defer contention.Unlock()
	if err := r.ParseForm(); err != nil {
		problem(w, http.StatusBadRequest, fmt.Sprintf("The query cannot be read: %v.", err))
		return
	}
	if r.Form.Get("seconds") == "" {
		r.Form.Set("seconds", "10")
	}
	if name == "mutex" {
		defer runtime.SetMutexProfileFraction(runtime.SetMutexProfileFraction(10))
	} else {
		runtime.SetBlockProfileRate(int(10 * time.Microsecond))
		defer runtime.SetBlockProfileRate(0)
	}
	pprof.Handler(name).ServeHTTP(w, r)
}
