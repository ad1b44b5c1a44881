package warm

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"surrogate/store"
)

const (
	feedBatch = 500
	feedEvery = 100 * time.Millisecond // what has come by then is queued, however little
	feedTries = 5
)

// Start opens a run and queues its jobs in the background as they come, until
// the list or ctx ends, or the Warmer stops. An error that the list yields ends
// it, and stands among the run's failures: what is wrong with one URL alone is
// yielded as a job with that URL, which then fails by itself. Job.Run is
// ignored, and where Job.Heat is 0, Options.Heat is asked. created is false, and
// the jobs are not read, where the run exists already.
func (w *Warmer) Start(ctx context.Context, r store.Run, jobs iter.Seq2[store.Job, error]) (id string, created bool, err error) {
	if w.ctx.Err() != nil {
		return "", false, store.ErrClosed
	}
	id, created, err = w.queue.Begin(ctx, r)
	if err != nil || !created {
		return id, created, err
	}
	w.feeds.Go(func() { w.feed(ctx, id, jobs) })
	return id, created, nil
}

// Feed does the same and returns when all jobs are queued. dropped are those
// that found no room, because hotter ones have it.
func (w *Warmer) Feed(ctx context.Context, r store.Run, jobs iter.Seq2[store.Job, error]) (id string, added, dropped int, err error) {
	id, created, err := w.queue.Begin(ctx, r)
	if err != nil || !created {
		return id, 0, 0, err
	}
	added, dropped, err = w.feed(ctx, id, jobs)
	return id, added, dropped, err
}

// feed queues the jobs of a run and seals it.
func (w *Warmer) feed(ctx context.Context, id string, jobs iter.Seq2[store.Job, error]) (added, dropped int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(w.ctx, cancel)()
	var batch []store.Job
	last := time.Time{}
	flush := func() bool {
		if len(batch) == 0 {
			return true
		}
		a, d, e := w.add(ctx, id, batch)
		added, dropped, err = added+a, dropped+d, e
		batch, last = batch[:0], time.Now()
		return e == nil
	}
	for j, e := range jobs {
		if e != nil {
			err = e
			break
		}
		w.heat(&j)
		if batch = append(batch, j); len(batch) < feedBatch && time.Since(last) < feedEvery {
			continue
		}
		if !flush() {
			break
		}
	}
	if ended := err; ended != nil && !errors.Is(ended, store.ErrRunOver) && ctx.Err() == nil {
		flush() // what came before the list broke off
		err = ended
	} else if ended == nil {
		flush()
	}
	why := ""
	switch {
	case errors.Is(err, store.ErrRunOver): // it was cancelled
		return added, dropped, err
	case ctx.Err() != nil:
		err = fmt.Errorf("the list was not read to its end: %w", context.Cause(ctx))
		why = err.Error()
	case err != nil:
		why = err.Error()
	}
	parting, done := context.WithTimeout(context.WithoutCancel(ctx), partingWithin)
	defer done()
	if e := w.queue.Seal(parting, id, why); e != nil && !errors.Is(e, store.ErrNoRun) {
		w.counts.queueErrors.Inc()
		w.log.Warn("warming: could not end a list; its run stays open", "run", id, "error", e)
		err = errors.Join(err, e)
	}
	return added, dropped, err
}

// add queues jobs, and tries again while there is trouble that may pass.
func (w *Warmer) add(ctx context.Context, id string, jobs []store.Job) (added, dropped int, err error) {
	for try := 0; ; try++ {
		var a, d int
		a, d, err = w.queue.Add(ctx, id, jobs)
		added, dropped = added+a, dropped+d
		if err == nil || errors.Is(err, store.ErrRunOver) || errors.Is(err, store.ErrNoRun) || errors.Is(err, store.ErrClosed) ||
			ctx.Err() != nil || try == feedTries {
			return added, dropped, err
		}
		w.counts.queueErrors.Inc()
		t := time.NewTimer(retryIn(0))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
}

func (w *Warmer) heat(j *store.Job) {
	if j.Heat == 0 && w.o.Heat != nil {
		j.Heat = w.o.Heat(j)
	}
}
