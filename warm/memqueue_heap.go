package warm

import (
	"container/heap"

	"surrogate/store"
)

// A memJob is a job as a MemQueue has it.
type memJob struct {
	store.Job
	run    *memRun
	number uint64 // in the order of adding
	state  jobState
	when   int64 // taken or later: until when, in unix nanoseconds
	at     [3]int32
}

type jobState uint8

const (
	jobReady  jobState = iota // to be taken
	jobLapsed                 // the same, and its taker may renew it still
	jobLater                  // put back, and not to be taken yet
	jobTaken
)

// jobBytes is about what a job takes up beside its strings.
const jobBytes = 320

func (j *memJob) size() int64 { return int64(len(j.URL)+len(j.Vary)+len(j.Pick)) + jobBytes }

// The heaps a job may be in at one time.
const (
	slotSite = iota
	slotColdest
	slotTimed
)

func hotterJob(a, b *memJob) bool {
	return a.Heat > b.Heat || a.Heat == b.Heat && a.number < b.number
}

func colderJob(a, b *memJob) bool { return hotterJob(b, a) }

func soonerJob(a, b *memJob) bool { return a.when < b.when }

// A jobHeap has the job that comes before all others first, and knows where each
// is, so that any can be removed.
type jobHeap struct {
	jobs   []*memJob
	slot   int
	before func(a, b *memJob) bool
}

// Len implements heap.Interface.
func (h *jobHeap) Len() int { return len(h.jobs) }

// Less implements heap.Interface.
func (h *jobHeap) Less(a, b int) bool { return h.before(h.jobs[a], h.jobs[b]) }

// Swap implements heap.Interface.
func (h *jobHeap) Swap(a, b int) {
	h.jobs[a], h.jobs[b] = h.jobs[b], h.jobs[a]
	h.jobs[a].at[h.slot], h.jobs[b].at[h.slot] = int32(a), int32(b)
}

// Push implements heap.Interface.
func (h *jobHeap) Push(x any) {
	j := x.(*memJob)
	j.at[h.slot] = int32(len(h.jobs))
	h.jobs = append(h.jobs, j)
}

// Pop implements heap.Interface.
func (h *jobHeap) Pop() any {
	n := len(h.jobs) - 1
	j := h.jobs[n]
	h.jobs[n] = nil
	h.jobs = h.jobs[:n]
	if cap(h.jobs) > 1024 && n < cap(h.jobs)/4 {
		h.jobs = append(make([]*memJob, 0, 2*n), h.jobs...)
	}
	j.at[h.slot] = -1
	return j
}

// first is nil where the heap is empty.
func (h *jobHeap) first() *memJob {
	if len(h.jobs) == 0 {
		return nil
	}
	return h.jobs[0]
}

func (h *jobHeap) add(j *memJob) { heap.Push(h, j) }

// has reports whether j is in the heap.
func (h *jobHeap) has(j *memJob) bool {
	i := j.at[h.slot]
	return i >= 0 && int(i) < len(h.jobs) && h.jobs[i] == j
}

func (h *jobHeap) remove(j *memJob) {
	if h.has(j) {
		heap.Remove(h, int(j.at[h.slot]))
	}
}

// moved puts j where it belongs after a change.
func (h *jobHeap) moved(j *memJob) { heap.Fix(h, int(j.at[h.slot])) }

// take returns the jobs that which says true of. They stay where they are.
func (h *jobHeap) take(which func(*memJob) bool) []*memJob {
	var out []*memJob
	for _, j := range h.jobs {
		if which(j) {
			out = append(out, j)
		}
	}
	return out
}
