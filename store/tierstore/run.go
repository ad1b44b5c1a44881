package tierstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"surrogate/store"
)

// Run implements store.Store: the work of both tiers, and sweeping the memory
// after each purge that the node hears of.
func (s *Store) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all sync.WaitGroup
	var memory, sweeping error
	all.Go(func() { memory = s.mem.Run(ctx) })
	all.Go(func() { sweeping = s.follow(ctx) })
	err := s.below.Run(ctx)
	cancel()
	all.Wait()
	return errors.Join(err, memory, sweeping)
}

// follow sweeps the memory after the purges from now on. Those that it misses
// are swept by age and eviction.
func (s *Store) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		for ev, err := range s.below.Events(ctx, s.book.Seq()) {
			switch {
			case errors.Is(err, store.ErrGap):
				continue // and begin again at the end of the log
			case errors.Is(err, store.ErrClosed) || ctx.Err() != nil:
				return nil
			case err != nil:
				return fmt.Errorf("tierstore: follow the log: %w", err)
			}
			s.sweep(ctx, ev)
		}
	}
	return nil
}

const (
	// turn is how long a sweep works before it rests for as long.
	turn = 200 * time.Microsecond
	// headStart is how long it leaves the purge to be heard and answered, which all
	// nodes have a part in.
	headStart = 5 * time.Millisecond
	// fellBatch is how many keys Options.Fell is handed at a time.
	fellBatch = 100
)

// sweep frees what a purge killed in memory.
func (s *Store) sweep(ctx context.Context, ev store.Event) {
	if ev.Soft {
		return // it kills nothing
	}
	if !rest(ctx, headStart) {
		return
	}
	tell := func(keys []store.Swept) {
		if s.fell != nil {
			s.fell(ev, keys)
		}
	}
	batch := make([]store.Swept, 0, fellBatch)
	began := time.Now()
	for x, err := range s.mem.Sweep(ctx, ev) {
		if err != nil {
			return // closed, or told to stop
		}
		if batch = append(batch, x); len(batch) == fellBatch {
			tell(batch)
			batch = batch[:0]
		}
		if worked := time.Since(began); worked >= turn {
			if !rest(ctx, worked) {
				return
			}
			began = time.Now()
		}
	}
	if len(batch) > 0 {
		tell(batch)
	}
	tell(nil)
}

// rest waits for d, and reports whether it came to that before ctx ended.
func rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
