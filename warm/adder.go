package warm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"surrogate/store"
)

// errTaken ends the reading of a list whose run is there already.
var errTaken = errors.New("the run is there already")

// An adder queues the jobs of one run, some at a time. It begins the run with
// the first of them.
type adder struct {
	in     *Intake
	run    store.Run
	begun  bool
	jobs   []store.Job
	answer Answer
}

func (ad *adder) add(ctx context.Context, j store.Job) error {
	if ad.jobs = append(ad.jobs, j); len(ad.jobs) < batch {
		return nil
	}
	return ad.flush(ctx)
}

func (ad *adder) flush(ctx context.Context) error {
	if !ad.begun {
		id, created, err := ad.in.queue.Begin(ctx, ad.run)
		if err != nil {
			return fmt.Errorf("couldn't begin: %w", err)
		}
		ad.begun = true
		if ad.answer.ID, ad.answer.Created = id, created; !created {
			return errTaken
		}
	}
	if len(ad.jobs) == 0 {
		return nil
	}
	added, dropped, err := ad.in.queue.Add(ctx, ad.answer.ID, ad.jobs)
	ad.answer.Added += added
	ad.answer.Dropped += dropped
	ad.jobs = ad.jobs[:0]
	if err != nil {
		return fmt.Errorf("couldn't queue: %w", err)
	}
	return nil
}

// end queues the last jobs and says that there are no more; why is the error
// that kept more from coming, if one did.
func (ad *adder) end(ctx context.Context, why error) error {
	if _, broke := errors.AsType[*brokenList](why); broke && !ad.begun {
		return why // whoever was sending it may have given it up
	}
	ctx = context.WithoutCancel(ctx) // a run that nobody seals would never be done
	if why == nil || !errors.Is(why, errTaken) {
		if err := ad.flush(ctx); err != nil {
			why = cmp.Or(why, err)
		}
	}
	if errors.Is(why, errTaken) {
		return nil
	}
	told := ad.answer.told(20)
	if why != nil {
		told = strings.TrimSuffix(why.Error()+"\n"+told, "\n")
	}
	if ad.begun {
		if err := ad.in.seal(ctx, ad.answer.ID, told); err != nil {
			why = errors.Join(why, fmt.Errorf("couldn't seal: %w", err))
		}
	}
	ad.in.log.Info("asked to warm", "run", ad.answer.ID, "kind", ad.run.Kind, "what", ad.run.What, "by", ad.run.By,
		"added", ad.answer.Added, "dropped", ad.answer.Dropped, "rejected", ad.answer.Count)
	return why
}

// seal says that a run gets no more. A queue that fails is told later, by
// RunSchedules: a run that nobody seals is never over.
func (in *Intake) seal(ctx context.Context, run, why string) error {
	err := in.queue.Seal(ctx, run, why)
	switch {
	case errors.Is(err, store.ErrNoRun): // lost, and over
		return nil
	case err == nil, errors.Is(err, store.ErrClosed):
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.unsealed) >= maxUnsealed {
		return err
	}
	in.unsealed[run] = why
	in.log.Warn("could not seal a run of warming; it is tried again", "run", run, "error", err)
	return nil
}

// maxUnsealed is how many runs are remembered to be sealed later. A queue that
// fails begins no new ones.
const maxUnsealed = 1000

// sealLeft seals what could not be sealed before.
func (in *Intake) sealLeft(ctx context.Context) {
	in.mu.Lock()
	left := maps.Clone(in.unsealed)
	in.mu.Unlock()
	for run, why := range left {
		if err := in.queue.Seal(ctx, run, why); err != nil && !errors.Is(err, store.ErrNoRun) {
			return // until the next time
		}
		in.mu.Lock()
		delete(in.unsealed, run)
		in.mu.Unlock()
	}
}
