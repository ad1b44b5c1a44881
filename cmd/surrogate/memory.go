package main

import (
	"context"
	"os"

	"surrogate/config"
	"surrogate/store/memstore"
)

// boundMemory keeps the garbage collector's share of memory in proportion to
// the cache until ctx ends; the store says how, and why. Whoever sets GOGC means
// to do that himself, and a GOMEMLIMIT stays.
func boundMemory(ctx context.Context, cfg *config.Config) {
	if os.Getenv("GOGC") != "" {
		return
	}
	memstore.BoundGarbage(ctx, int64(cfg.Cache.Memory))
}
