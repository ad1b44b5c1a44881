package warm

import (
	"context"
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
	"time"

	"surrogate/store"
)

// askSkipAgain is how often Take asks again whether a site is still to be skipped.
const askSkipAgain = 100 * time.Millisecond

// Add implements store.Queue.
func (q *MemQueue) Add(_ context.Context, run string, jobs []store.Job) (added, dropped int, err error) {
	byHeat := make([]*store.Job, len(jobs))
	for i := range jobs {
		byHeat[i] = &jobs[i]
	}
	// So that none of them has to go for another.
	slices.SortStableFunc(byHeat, func(a, b *store.Job) int {
		switch x, y := jobHeat(a), jobHeat(b); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	q.mu.Lock()
	defer q.mu.Unlock()
	r, err := q.run(run)
	if err != nil {
		return 0, 0, err
	}
	if r.Done() || r.Cancelled {
		return 0, 0, store.ErrRunOver
	}
	now := time.Now()
	q.due(now)
	for _, j := range byHeat {
		id := q.hash(j)
		if _, had := r.seen[id]; had {
			continue
		}
		if r.Total < q.opt.MaxURLs {
			r.seen[id] = struct{}{}
		}
		r.Total++
		if r.Total <= q.opt.MaxURLs && q.enter(r, j, now) {
			added++
			continue
		}
		dropped++
		q.dropped++
		r.settled("", store.Outcome{State: store.Dropped}, now)
	}
	r.note(now)
	if added > 0 {
		q.tell()
	}
	return added, dropped, nil
}

// jobHeat is a job's heat, of which there is none where it is no number.
func jobHeat(j *store.Job) float64 {
	if j.Heat != j.Heat {
		return 0
	}
	return j.Heat
}

func (q *MemQueue) hash(j *store.Job) uint64 {
	var h maphash.Hash
	h.SetSeed(q.seed)
	_, _ = h.WriteString(j.URL)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(string(j.Pick))
	return h.Sum64()
}

// enter queues a job, if there is room for it or can be made.
func (q *MemQueue) enter(r *memRun, j *store.Job, now time.Time) bool {
	// Its strings may be small parts of large ones.
	n := &memJob{run: r, Job: store.Job{
		Run: r.ID, Site: strings.Clone(j.Site), URL: strings.Clone(j.URL), Vary: strings.Clone(j.Vary),
		Pick: store.Pick(strings.Clone(string(j.Pick))), Heat: jobHeat(j), Depth: j.Depth, Force: j.Force,
	}}
	n.at[slotTimed] = -1
	q.last++
	n.number = q.last
	var gone []*memJob
	for q.waiting() >= q.opt.MaxJobs || q.bytes+n.size() > q.opt.MaxBytes {
		c := q.coldest.first()
		if c == nil || c.Heat >= n.Heat {
			// Nothing goes in vain.
			for _, c := range gone {
				q.put(c)
			}
			return false
		}
		q.remove(c)
		gone = append(gone, c)
	}
	for _, c := range gone {
		q.dropped++
		c.run.settled("", store.Outcome{State: store.Dropped}, now)
	}
	q.put(n)
	return true
}

// put queues a job that was never taken.
func (q *MemQueue) put(j *memJob) {
	q.offer(j, jobReady)
	q.coldest.add(j)
	q.bytes += j.size()
	j.run.left[j.Site]++
}

// offer lets a job be taken.
func (q *MemQueue) offer(j *memJob, as jobState) {
	h := q.sites[j.Site]
	if h == nil {
		h = &jobHeap{slot: slotSite, before: hotterJob}
		q.sites[j.Site] = h
	}
	j.state = as
	h.add(j)
}

// withdraw is the reverse of offer.
func (q *MemQueue) withdraw(j *memJob) {
	h := q.sites[j.Site]
	if h == nil || !h.has(j) {
		return
	}
	h.remove(j)
	if h.Len() == 0 {
		delete(q.sites, j.Site)
	}
}

// remove takes a job out of the queue, wherever it is.
func (q *MemQueue) remove(j *memJob) {
	q.withdraw(j)
	q.coldest.remove(j)
	q.timed.remove(j)
	if j.state == jobTaken {
		q.taken--
	}
	delete(q.byID, j.ID)
	q.bytes -= j.size()
	if j.run.left[j.Site]--; j.run.left[j.Site] == 0 {
		delete(j.run.left, j.Site)
	}
}

// waiting is how many jobs wait.
func (q *MemQueue) waiting() int {
	// Those never taken are all in coldest. Of the others those that are taken do
	// not wait.
	return q.coldest.Len() + len(q.byID) - q.taken
}

// due offers what was taken or put back until now.
func (q *MemQueue) due(now time.Time) {
	for j := q.timed.first(); j != nil && j.when <= now.UnixNano(); j = q.timed.first() {
		q.timed.remove(j)
		switch {
		case j.state == jobLater:
			q.offer(j, jobReady)
		case j.run.Cancelled:
			q.remove(j)
			j.run.settled("", store.Outcome{State: store.Dropped}, now)
		default:
			q.taken--
			q.offer(j, jobLapsed)
		}
	}
}

// Take implements store.Queue.
func (q *MemQueue) Take(ctx context.Context, n int, skip func(site string) bool) ([]store.Job, error) {
	if n <= 0 {
		return nil, ctx.Err()
	}
	var timer *time.Timer
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		jobs, wait, news, err := q.try(n, skip)
		if err != nil || len(jobs) > 0 {
			return jobs, err
		}
		var tick <-chan time.Time
		if wait > 0 {
			if timer == nil {
				timer = time.NewTimer(wait)
				defer timer.Stop()
			} else {
				timer.Reset(wait)
			}
			tick = timer.C
		}
		select {
		case <-news:
		case <-tick:
		case <-ctx.Done():
		}
	}
}

// try takes what is there. Where that is nothing, it returns how long to wait at
// most, 0 for no bound, and what is closed when there is more.
func (q *MemQueue) try(n int, skip func(site string) bool) ([]store.Job, time.Duration, <-chan struct{}, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.due(time.Now())
	news := q.news // before asking skip: a site may come meanwhile
	var pass map[string]bool
	if skip != nil && len(q.sites) > 0 {
		sites := make([]string, 0, len(q.sites))
		for s := range q.sites {
			sites = append(sites, s)
		}
		q.mu.Unlock()
		pass = make(map[string]bool, len(sites))
		for _, s := range sites {
			pass[s] = !skip(s)
		}
		q.mu.Lock()
	}
	if q.closed {
		return nil, 0, nil, store.ErrClosed
	}
	now := time.Now()
	var jobs []store.Job
	for len(jobs) < n {
		var best *memJob
		for s, h := range q.sites {
			if j := h.first(); (skip == nil || pass[s]) && (best == nil || hotterJob(j, best)) {
				best = j
			}
		}
		if best == nil {
			break
		}
		jobs = append(jobs, q.hand(best, now))
	}
	var wait time.Duration
	if j := q.timed.first(); j != nil {
		wait = max(time.Until(time.Unix(0, j.when)), time.Millisecond)
	}
	if len(q.sites) > 0 && (wait == 0 || wait > askSkipAgain) {
		wait = askSkipAgain
	}
	return jobs, wait, news, nil
}

// hand hands a job out.
func (q *MemQueue) hand(j *memJob, now time.Time) store.Job {
	q.withdraw(j)
	if j.ID == "" {
		j.ID = strconv.FormatUint(j.number, 36)
		q.coldest.remove(j)
		q.byID[j.ID] = j
	} else {
		j.Taken++
	}
	j.state, j.when = jobTaken, now.Add(q.opt.Lease).UnixNano()
	q.taken++
	q.timed.add(j)
	return j.Job
}

// Renew implements store.Queue. A lease that ran out is renewed too, if nobody has
// taken the job since.
func (q *MemQueue) Renew(_ context.Context, jobs []store.Job) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return store.ErrClosed
	}
	now := time.Now()
	q.due(now)
	for i := range jobs {
		j := q.byID[jobs[i].ID]
		if j == nil || j.Taken != jobs[i].Taken {
			continue
		}
		switch j.state {
		case jobTaken:
			j.when = now.Add(q.opt.Lease).UnixNano()
			q.timed.moved(j)
		case jobLapsed:
			q.withdraw(j)
			j.state, j.when = jobTaken, now.Add(q.opt.Lease).UnixNano()
			q.taken++
			q.timed.add(j)
		}
	}
	return nil
}

// Settle implements store.Queue.
func (q *MemQueue) Settle(_ context.Context, job store.Job, o store.Outcome) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return store.ErrClosed
	}
	now := time.Now()
	q.due(now)
	j := q.byID[job.ID]
	if j == nil {
		return nil
	}
	if o.State == store.Again {
		if j.Taken != job.Taken || j.state != jobTaken && j.state != jobLapsed {
			return nil
		}
		if !j.run.Cancelled {
			if o.Why != "" {
				j.run.Retries++
				j.run.Trouble = store.URLFailure{URL: store.Shorten(j.URL), Why: store.Shorten(o.Why)}
			}
			q.putBack(j, now.Add(o.After), now)
			return nil
		}
		o = store.Outcome{State: store.Dropped, Bytes: o.Bytes}
	}
	q.remove(j)
	j.run.settled(j.URL, o, now)
	return nil
}

// putBack lets a taken job be taken again from some time on.
func (q *MemQueue) putBack(j *memJob, when, now time.Time) {
	q.withdraw(j)
	q.timed.remove(j)
	if j.state == jobTaken {
		q.taken--
	}
	if when.After(now) {
		j.state, j.when = jobLater, when.UnixNano()
		q.timed.add(j)
	} else {
		q.offer(j, jobReady)
	}
	q.tell()
	j.run.note(now)
}
