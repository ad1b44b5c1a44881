package redisstore

import (
	"context"
	"crypto/rand"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"surrogate/store"
)

// Begin implements store.Queue.
func (q *queue) Begin(ctx context.Context, r store.Run) (string, bool, error) {
	token := rand.Text()
	if r.ID == "" {
		r.ID = strings.ToLower(rand.Text())
	}
	if r.At.IsZero() {
		r.At = time.Now()
	}
	v, err := q.steady(ctx, "begin", queueBegin, r.ID, q.opt.MaxRuns, token,
		store.Shorten(r.Kind), store.Shorten(r.What), store.Shorten(r.By), r.At.UnixMicro(), r.Sum)
	if err != nil {
		return "", false, err
	}
	switch v {
	case int64(1):
		return r.ID, true, nil
	case int64(0):
		return r.ID, false, nil
	}
	return "", false, store.ErrRuns
}

// Seal implements store.Queue.
func (q *queue) Seal(ctx context.Context, run, why string) error {
	_, err := q.steady(ctx, "seal", queueSeal, run, store.Shorten(why))
	return err
}

// Cancel implements store.Queue. Once the run is marked nobody is handed a job of
// it; then what is queued is taken away, some hundreds at a time. Should that be
// broken off, they go when it is their turn.
func (q *queue) Cancel(ctx context.Context, run string) error {
	v, err := q.steady(ctx, "cancel", queueCancel, run)
	if err != nil || v != int64(1) {
		return err
	}
	for _, kind := range [...]string{"ready", "back"} {
		var names []string
		if err := q.pages(ctx, q.key(kind), func(page []string) { names = append(names, page...) }); err != nil {
			return err
		}
		if kind == "back" {
			kind = "due"
		}
		for _, n := range names {
			if err := q.sweep(ctx, run, kind, n); err != nil {
				return err
			}
		}
	}
	return q.sweep(ctx, run, "later", "")
}

func (q *queue) sweep(ctx context.Context, run, kind, name string) error {
	const some = 500
	for from := ""; ; {
		v, err := q.steady(ctx, "sweep", queueSweep, run, kind, name, from, some)
		if err != nil {
			return err
		}
		if from, _ = v.(string); from == "" {
			return nil
		}
	}
}

// pages reads a sorted set.
func (q *queue) pages(ctx context.Context, key string, f func([]string)) error {
	const size = 500
	for at := int64(0); ; at += size {
		var page []string
		err := q.do(ctx, "list", func(ctx context.Context) (err error) {
			page, err = q.rdb.ZRange(ctx, key, at, at+size-1).Result()
			return err
		})
		if err != nil {
			return err
		}
		if f(page); len(page) < size {
			return nil
		}
	}
}

// Progress implements store.Queue.
func (q *queue) Progress(ctx context.Context, run string) (store.Progress, error) {
	var of *redis.MapStringStringCmd
	var fails *redis.StringSliceCmd
	var unkept *redis.MapStringStringCmd
	err := q.do(ctx, "progress", func(ctx context.Context) error {
		_, err := q.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			of = p.HGetAll(ctx, q.key("run:"+run))
			fails = p.LRange(ctx, q.key("fails:"+run), 0, 2*store.MaxFailures-1)
			unkept = p.HGetAll(ctx, q.key("unkept:"+run))
			return nil
		})
		return err
	})
	if err != nil {
		return store.Progress{}, err
	}
	p, ok := progressOf(run, of.Val())
	if !ok {
		return store.Progress{}, store.ErrNoRun
	}
	if why := of.Val()["why"]; why != "" {
		p.Failures = append(p.Failures, store.URLFailure{Why: why})
	}
	for f := fails.Val(); len(f) >= 2 && len(p.Failures) < store.MaxFailures; f = f[2:] {
		p.Failures = append(p.Failures, store.URLFailure{URL: f[0], Why: f[1]})
	}
	p.Reasons = reasonsOf(unkept.Val())
	return p, nil
}

// reasonsOf reads why pages of a run were not kept.
func reasonsOf(h map[string]string) (out []store.Reason) {
	for field, value := range h {
		why, counts := strings.CutPrefix(field, "n ")
		count, _ := strconv.Atoi(value)
		if !counts || count <= 0 {
			continue
		}
		r := store.Reason{Why: why, Count: count}
		for i := range min(count, store.MaxReasonURLs) {
			if url, there := h[strconv.Itoa(i+1)+" "+why]; there {
				r.URLs = append(r.URLs, url)
			}
		}
		out = append(out, r)
	}
	store.SortReasons(out)
	return out
}

// progressOf reads a run's hash, without its failures.
func progressOf(run string, h map[string]string) (store.Progress, bool) {
	if len(h) == 0 {
		return store.Progress{}, false
	}
	n := func(field string) int {
		n, _ := strconv.Atoi(h[field])
		return n
	}
	p := store.Progress{
		Run:    store.Run{ID: run, Kind: h["kind"], What: h["what"], By: h["by"], At: micros(h["at"]), Sum: h["sum"]},
		Sealed: h["sealed"] == "1", Cancelled: h["cancelled"] == "1",
		Total: n("total"), Warmed: n("warmed"), Fresh: n("fresh"), Unkept: n("unkept"), Failed: n("failed"), Dropped: n("dropped"),
		Bytes: int64(n("bytes")),
	}
	if ended := n("ended"); ended > 0 {
		p.Ended = time.UnixMilli(int64(ended))
	}
	if trouble := h["trouble"]; trouble != "" {
		p.Retries, p.Trouble = n("retries"), store.URLFailure{URL: h["troubled"], Why: trouble}
	}
	for field := range h {
		if site, ok := strings.CutPrefix(field, "l:"); ok && !p.Cancelled {
			if p.Left == nil {
				p.Left = make(map[string]int)
			}
			p.Left[site] = n(field)
		}
	}
	return p, true
}

// Runs implements store.Queue.
func (q *queue) Runs(ctx context.Context, limit int) ([]store.Progress, error) {
	var out []store.Progress
	for at := 0; len(out) < limit; at += batch {
		var ids []string
		var runs []*redis.MapStringStringCmd
		err := q.do(ctx, "runs", func(ctx context.Context) (err error) {
			if ids, err = q.rdb.ZRevRange(ctx, q.key("runs"), int64(at), int64(at+batch-1)).Result(); err != nil || len(ids) == 0 {
				return err
			}
			runs = runs[:0]
			_, err = q.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
				for _, id := range ids {
					runs = append(runs, p.HGetAll(ctx, q.key("run:"+id)))
				}
				return nil
			})
			return err
		})
		if err != nil {
			return nil, err
		}
		for i, id := range ids {
			// One that is not there was forgotten; Begin sees to its name.
			if p, ok := progressOf(id, runs[i].Val()); ok && len(out) < limit {
				out = append(out, p)
			}
		}
		if len(ids) < batch {
			break
		}
	}
	return out, nil
}
