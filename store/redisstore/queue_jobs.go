package redisstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"surrogate/store"
)

const (
	queueBatch = 250 // jobs that one script deals with
	queuePipe  = 8   // scripts that go out together
)

// maxBand is the hottest band. There are at most as many streams as sites times
// bands.
const maxBand = 31

// bandOf is the band of a heat: 0 for none, and then one for each doubling, from
// below 1/1024 to above 500,000.
func bandOf(heat float64) int {
	switch {
	case !(heat > 0):
		return 0
	case math.IsInf(heat, 1):
		return maxBand
	}
	_, e := math.Frexp(heat) // 2^(e-1) <= heat < 2^e
	return min(max(e+11, 1), maxBand)
}

// appendJob writes what a stream keeps of a job beside its run and its site.
func appendJob(b []byte, j *store.Job) []byte {
	for _, s := range [...]string{j.URL, j.Vary, string(j.Pick)} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(j.Heat))
	b = binary.AppendVarint(b, int64(j.Depth))
	if j.Force {
		return append(b, 1)
	}
	return append(b, 0)
}

var errJob = errors.New("redisstore: queue: not a job")

// readJob reads what appendJob wrote.
func readJob(s string, j *store.Job) error {
	b := []byte(s)
	var texts [3]string
	for i := range texts {
		n, used := binary.Uvarint(b)
		if used <= 0 || n > uint64(len(b)-used) {
			return errJob
		}
		texts[i] = string(b[used : used+int(n)])
		b = b[used+int(n):]
	}
	if len(b) < 8 {
		return errJob
	}
	heat := binary.BigEndian.Uint64(b)
	depth, used := binary.Varint(b[8:])
	if used <= 0 || len(b) != 8+used+1 {
		return errJob
	}
	j.URL, j.Vary, j.Pick = texts[0], texts[1], store.Pick(texts[2])
	j.Heat, j.Depth, j.Force = math.Float64frombits(heat), int(depth), b[len(b)-1] == 1
	return nil
}

// jobHash is what a run remembers of a job it has had.
func jobHash(j *store.Job) []byte {
	h := sha256.New()
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(j.URL)))
	_, _ = h.Write(n[:])
	_, _ = h.Write([]byte(j.URL))
	_, _ = h.Write([]byte(j.Pick))
	return h.Sum(nil)[:10]
}

// Add implements store.Queue. It takes a round trip for each 2,000 jobs.
func (q *queue) Add(ctx context.Context, run string, jobs []store.Job) (added, dropped int, err error) {
	byHeat := make([]*store.Job, len(jobs))
	for i := range jobs {
		byHeat[i] = &jobs[i]
	}
	slices.SortStableFunc(byHeat, func(a, b *store.Job) int { return bandOf(b.Heat) - bandOf(a.Heat) })
	var calls []call
	for from := 0; from < len(byHeat) || from == 0; from += queueBatch {
		some := byHeat[from:min(from+queueBatch, len(byHeat))]
		args := make([]any, 6, 6+4*len(some))
		args[0], args[1], args[2], args[3], args[4], args[5] = q.keep(), run, q.opt.MaxJobs, q.opt.MaxBytes, q.opt.MaxURLs, q.channel()
		for _, j := range some {
			args = append(args, jobHash(j), fmt.Sprintf("%02d", bandOf(j.Heat)), j.Site, appendJob(nil, j))
		}
		calls = append(calls, call{script: queueAdd, keys: q.keys(), args: args})
	}
	for len(calls) > 0 {
		some := calls[:min(len(calls), queuePipe)]
		calls = calls[len(some):]
		// What went in already is left out when it is tried again.
		err := q.insist(ctx, func() error {
			return ofQueue(q.do(ctx, "add", func(ctx context.Context) error {
				return evalBatch(ctx, q.rdb, some)
			}))
		})
		for i := range some {
			if some[i].cmd != nil {
				r := some[i].reply()
				added += int(numberAt(r, 0))
				dropped += int(numberAt(r, 1))
			}
		}
		if err != nil {
			return added, dropped, err
		}
	}
	if added > 0 {
		q.s.warmed.tell()
	}
	return added, dropped, nil
}

// numberAt is the i-th value of an answer as a number.
func numberAt(out []any, i int) int64 {
	n, _ := strconv.ParseInt(text(out, i), 10, 64)
	return n
}

// name is a job's name in leases and later.
func name(j *store.Job) string { return j.ID + " " + j.Site }

// named is what scripts are told of jobs: name, and how often it was handed out.
func (q *queue) named(jobs []store.Job) []any {
	args := make([]any, 0, 2*len(jobs))
	for i := range jobs {
		args = append(args, name(&jobs[i]), jobs[i].Taken+1)
	}
	return args
}

// ours reports whether a job's name is one of this queue's: "BB id".
func ours(j *store.Job) bool {
	band, id, ok := strings.Cut(j.ID, " ")
	if !ok || len(band) != 2 {
		return false
	}
	_, errBand := strconv.ParseUint(band, 10, 8)
	_, errID := strconv.ParseUint(id, 10, 64)
	return errBand == nil && errID == nil
}

// Renew implements store.Queue.
func (q *queue) Renew(ctx context.Context, jobs []store.Job) error {
	jobs = slices.DeleteFunc(slices.Clone(jobs), func(j store.Job) bool { return !ours(&j) })
	for len(jobs) > 0 {
		some := jobs[:min(len(jobs), queueBatch)]
		jobs = jobs[len(some):]
		if _, err := q.steady(ctx, "renew", queueRenew, append([]any{q.opt.Lease.Milliseconds(), q.s.member}, q.named(some)...)...); err != nil {
			return err
		}
		q.hold(some)
	}
	return nil
}

// Settle implements store.Queue.
func (q *queue) Settle(ctx context.Context, j store.Job, o store.Outcome) (err error) {
	if !ours(&j) {
		return nil
	}
	if o.State == store.Again {
		_, err = q.steady(ctx, "put back", queueBack, append([]any{max(o.After.Milliseconds(), 0), q.s.member, q.channel(),
			store.Shorten(j.URL), store.Shorten(o.Why)}, q.named([]store.Job{j})...)...)
		if err == nil && o.After <= 0 {
			q.s.warmed.tell()
		}
	} else {
		url, why := "", ""
		state := "failed"
		switch o.State {
		case store.Warmed:
			state = "warmed"
		case store.Fresh:
			state = "fresh"
		case store.Unkept:
			state = "unkept"
			url, why = store.Shorten(j.URL), store.Shorten(o.Why)
		case store.Dropped:
			state = "dropped"
		default:
			url, why = store.Shorten(j.URL), store.Shorten(o.Why)
		}
		_, err = q.steady(ctx, "settle", queueSettle, j.Run, name(&j), state, o.Bytes, url, why,
			store.MaxFailures, store.MaxReasons, store.MaxReasonURLs)
	}
	if err == nil {
		q.mu.Lock()
		delete(q.held, j.ID)
		q.mu.Unlock()
	}
	return err
}
