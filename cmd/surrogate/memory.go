package main

import (
	"os"
	"runtime/debug"

	"surrogate/config"
)

// boundMemory tells the garbage collector how much memory the program may take:
// the cache's, a quarter of it for what is garbage until the next collection,
// and room for requests in progress. Left alone, the collector would let the
// heap grow to twice what is cached. GOMEMLIMIT and GOGC win.
func boundMemory(cfg *config.Config) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	const inProgress = 256 << 20
	cache := int64(cfg.Cache.Memory)
	limit := cache + cache/4 + inProgress
	if limit < cache { // overflow: whoever says this has no bound in mind
		return
	}
	debug.SetMemoryLimit(limit)
}
