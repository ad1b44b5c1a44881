package warm

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"surrogate/store"
)

// errStopping ends the waiting of what is being taken in.
var errStopping = errors.New("this node is stopping")

func (in *Intake) stopping() bool { return in.o.Stopping != nil && in.o.Stopping() }

// errTaken ends the reading of a list whose run is there already.
var errTaken = errors.New("the run is there already")

// An adder queues the jobs of one run, some at a time. It begins the run with
// the first of them.
type adder struct {
	in      *Intake
	run     store.Run
	begun   bool
	patient bool // it waits for room
	jobs    []store.Job
	answer  Answer
}

func (ad *adder) add(ctx context.Context, j store.Job) error {
	if ad.jobs = append(ad.jobs, j); len(ad.jobs) < batch {
		return nil
	}
	return ad.flush(ctx, ad.patient)
}

// flush queues the jobs there are. If it is patient, no faster than there is room
// for them.
func (ad *adder) flush(ctx context.Context, patient bool) error {
	if !ad.begun {
		ad.run.Sum = sumOf(ad.jobs)
		id, created, err := ad.in.queue.Begin(ctx, ad.run)
		if err != nil {
			return fmt.Errorf("couldn't begin: %w", err)
		}
		ad.begun = true
		if ad.answer.ID, ad.answer.Created = id, created; !created {
			p, err := ad.in.queue.Progress(ctx, id)
			ad.answer.Differs = err == nil && p.Sum != "" && p.Sum != ad.run.Sum
			return errTaken
		}
	}
	for left := ad.jobs; len(left) > 0; {
		n := len(left)
		if patient {
			var err error
			if n, err = ad.room(ctx, left); err != nil {
				ad.jobs = left
				return fmt.Errorf("couldn't wait for room: %w", err)
			}
		}
		added, dropped, err := ad.in.queue.Add(ctx, ad.answer.ID, left[:n])
		ad.answer.Added += added
		ad.answer.Dropped += dropped
		left = left[n:]
		if err != nil {
			ad.jobs = ad.jobs[:0]
			return fmt.Errorf("couldn't queue: %w", err)
		}
	}
	ad.jobs = ad.jobs[:0]
	return nil
}

// sumOf tells one set of jobs from another: the first batch of a run, which is
// all that is known of a list when its run begins.
func sumOf(jobs []store.Job) string {
	h := sha256.New()
	for i := range jobs {
		j := &jobs[i]
		fmt.Fprintf(h, "%s\n%d %t\n", j.URL, j.Depth, j.Force)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

const (
	roomPause = 500 * time.Millisecond // the longest between two looks for room
	jobRoom   = 512                    // bytes that a job takes up beside its strings, at most
)

// room waits until there is room for some of these jobs, and returns for how
// many. It waits only while some of the run's own are ahead of them: a queue that
// is full of others, and hotter ones, has none for this run at all.
func (ad *adder) room(ctx context.Context, jobs []store.Job) (int, error) {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, roomPause) {
		st, err := ad.in.queue.Stats(ctx)
		if err != nil {
			return len(jobs), nil // Add tells
		}
		fit, bytes := 0, st.Bytes
		for fit < len(jobs) && st.Queued+fit < st.Capacity {
			j := &jobs[fit]
			if bytes += int64(len(j.URL)+len(j.Vary)+len(j.Pick)+len(j.Site)) + jobRoom; bytes > st.MaxBytes {
				break
			}
			fit++
		}
		// Many at once, for each call may be a round trip.
		if fit >= min(len(jobs), max(1, st.Capacity/4)) || fit > 0 && pause >= roomPause {
			return fit, nil
		}
		p, err := ad.in.queue.Progress(ctx, ad.answer.ID)
		if err != nil || p.Settled() >= p.Total {
			return len(jobs), nil // as the queue decides
		}
		if ad.in.stopping() {
			return 0, errStopping
		}
		if !sleepUntil(ctx, time.Now().Add(pause)) {
			return 0, context.Cause(ctx)
		}
	}
}

// end queues the last jobs and says that there are no more; why is the error
// that kept more from coming, if one did.
func (ad *adder) end(ctx context.Context, why error) error {
	if _, broke := errors.AsType[*brokenList](why); broke && !ad.begun {
		return why // whoever was sending it may have given it up
	}
	ctx = context.WithoutCancel(ctx) // a run that nobody seals would never be done
	if why == nil || !errors.Is(why, errTaken) {
		if err := ad.flush(ctx, false); err != nil {
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
