package redisstore

import (
	"encoding/binary"
	"sync"
)

// varies remembers what keys' entries vary by, where that is anything, so that
// a hit knows what to ask Redis for. It is a guess: what Redis says is compared
// with it, and a wrong one costs a round trip.
type varies struct {
	shards [64]varyShard
}

type varyShard struct {
	mu sync.RWMutex
	by map[uint64]string // by some bits of the place; two places that share them take turns
}

// maxVaries bounds what a shard remembers.
const maxVaries = 1024

func (v *varies) shard(at place) (*varyShard, uint64) {
	h := binary.LittleEndian.Uint64(at.url[:]) + uint64(at.scheme)
	return &v.shards[at.url[15]%64], h
}

func (v *varies) get(at place) string {
	sh, h := v.shard(at)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.by[h]
}

func (v *varies) set(at place, vary string) {
	sh, h := v.shard(at)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if vary == "" {
		delete(sh.by, h)
		return
	}
	if sh.by == nil {
		sh.by = make(map[uint64]string)
	}
	if len(sh.by) >= maxVaries {
		for old := range sh.by { // any: it costs a round trip
			delete(sh.by, old)
			break
		}
	}
	sh.by[h] = vary
}
