package purge

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"surrogate/store"
)

// A job is a purge that has been understood.
type job struct {
	names        []store.Name // what falls before any cascade, each once
	asked        []string     // the same in the client's words
	soft         bool
	id           string // the client's; empty for none
	sameByID     bool   // the id alone tells a repetition, whatever it asks for now
	by, why      string
	rewarm       int
	wait         time.Duration // for the other nodes; 0 for the default
	via          Source
	own          store.Name // the tag of the change that it is for; Options.Purged is not told of it
	notes        []string
	askedMore    int
	expanded     []string
	expandedMore int
	count        store.Count // what it takes
	exact        bool        // whether that is known exactly
	counted      bool        // whether, if not exactly, it is the most it can be
}

// print identifies what a job asks for.
func (j *job) print() [32]byte {
	h := sha256.New()
	names := slices.Clone(j.names)
	slices.Sort(names)
	for _, n := range names {
		fmt.Fprintf(h, "%d %s", len(n), n)
	}
	fmt.Fprintf(h, "soft %t rewarm %d", j.soft, j.rewarm)
	return [32]byte(h.Sum(nil))
}

// raise does a job, once for each id.
func (p *Purger) raise(ctx context.Context, j job) (Receipt, error) {
	if j.id == "" {
		j.id = newID()
		defer p.raising(j.id)()
		return p.fence(ctx, j, newRecord([32]byte{}))
	}
	defer p.raising(j.id)()
	rec, first, err := p.journal.begin(ctx, j.id, j.print(), j.sameByID)
	if err != nil {
		p.counts.failed(err)
		return Receipt{}, err
	}
	if first != nil {
		return *first, nil
	}
	r, err := p.fence(ctx, j, rec)
	p.journal.end(j.id, rec, err)
	return r, err
}

// secondWalk bounds the part of a purge after its first fence. It goes on even
// when its client has gone: what was begun is finished.
const secondWalk = 30 * time.Second

// fence is the purge itself; see the package comment for why in this order.
func (p *Purger) fence(ctx context.Context, j job, rec *record) (Receipt, error) {
	began := time.Now()
	p.purging.Add(1)
	defer p.purging.Add(-1)
	all := slices.Contains(j.names, store.AllName)
	c := newCascade(p.store, p.o.MaxExpand, j.names)
	var tooMany error
	if !all {
		_, err := c.walk(ctx, j.names)
		switch {
		case j.via == ByTraffic && errors.Is(err, ErrTooMany):
			// The change has been made already, so what was changed falls by itself.
			tooMany, c = err, newCascade(p.store, p.o.MaxExpand, j.names)
		case err != nil:
			return p.refused(j, err)
		}
	}
	j.asked, j.askedMore = listed(j.asked)
	names := slices.Concat(j.names, c.found)
	p.before(ctx, &j, names)
	ev, err := p.store.Purge(ctx, j.purge(names))
	if err != nil {
		return p.refused(j, err)
	}
	events := []store.Event{ev}
	ctx = context.WithoutCancel(ctx)
	until, cancel := context.WithTimeout(ctx, p.waitOf(&j))
	defer cancel()
	nodes, everywhere := p.heardBy(until, ev.Seq)
	if tooMany != nil {
		err = fmt.Errorf("%w: %w", ErrPartial, tooMany)
		j.notes = append(slices.Clip(j.notes), err.Error())
	} else if !all {
		ctx, cancel := context.WithTimeout(ctx, secondWalk)
		defer cancel()
		for {
			fresh, werr := c.walk(ctx, names)
			if werr == nil && len(fresh) == 0 {
				break
			}
			if werr == nil {
				ev, werr = p.store.Purge(ctx, j.purge(slices.Clone(fresh)))
			}
			if werr != nil {
				err = fmt.Errorf("%w: %w", ErrPartial, werr)
				j.notes = append(slices.Clip(j.notes), err.Error())
				break
			}
			j.exact, j.counted = false, false
			events = append(events, ev)
			names = append(names, fresh...)
			nodes, everywhere = p.heardBy(until, ev.Seq)
		}
	}
	took := time.Since(began)
	p.expandedOf(&j, names)
	p.file(ctx, j, rec, names, events, took, err == nil)
	p.journal.heard(rec, ev.Seq, nodes, err == nil && everywhere)
	if err == nil && !everywhere && !p.lates.push(late{rec, j, c, names, events[len(events)-1].Seq}) {
		p.journal.note(rec, "too many purges wait for other nodes: this receipt stays incomplete")
	}
	if err != nil {
		p.counts.failed(err)
		p.log.Error("purge incomplete", "id", j.id, "by", j.by, "asked", capped(j.asked), "error", err)
		return Receipt{}, err
	}
	p.counts.done(j.via, j.soft, len(names), took.Seconds())
	r := p.journal.read(rec)
	if p.o.Purged != nil && j.via != ByTraffic {
		p.o.Purged(slices.DeleteFunc(slices.Clone(j.names), func(n store.Name) bool { return n == j.own }), &r)
	}
	return r, nil
}

func (p *Purger) refused(j job, err error) (Receipt, error) {
	p.counts.failed(err)
	msg := "purge failed, nothing was purged"
	if errors.Is(err, store.ErrUnsure) {
		msg = "purge failed, and may be in force"
	}
	p.log.Error(msg, "id", j.id, "via", j.via, "by", j.by, "asked", capped(j.asked), "error", err)
	return Receipt{}, err
}

func (j *job) purge(names []store.Name) store.Purge {
	return store.Purge{Names: names, Asked: j.asked, Soft: j.soft, ID: j.id, By: j.by, Why: j.why, Rewarm: j.rewarm}
}

// expandedOf lists the names beyond those asked for.
func (p *Purger) expandedOf(j *job, names []store.Name) {
	extra := names[len(j.names):]
	words := make([]string, 0, min(len(extra), maxListed))
	for _, n := range extra[:min(len(extra), maxListed)] {
		words = append(words, n.String())
	}
	words, cut := listed(words)
	j.expanded, j.expandedMore = words, cut+len(extra)-min(len(extra), maxListed)
}

// file makes the receipt, counts, queues the sweep and logs.
func (p *Purger) file(ctx context.Context, j job, rec *record, names []store.Name, events []store.Event, took time.Duration, whole bool) {
	last := events[len(events)-1]
	r := Receipt{
		ID: j.id, Seq: last.Seq, State: Fenced, Mode: modeOf(j.soft),
		Asked: j.asked, AskedMore: j.askedMore, Expanded: j.expanded, ExpandedMore: j.expandedMore,
		Nodes: map[string]store.Seq{p.o.Node: last.Seq}, Complete: whole,
		TookMS: milliseconds(took), At: last.At, Via: j.via, By: j.by, Why: j.why, Rewarm: max(0, j.rewarm), Notes: j.notes,
	}
	if !j.exact && !j.counted {
		var err error
		if j.count, err = p.atMost(ctx, names); err != nil {
			// The purge stands; only its first count is missing.
			p.log.Warn("purge: counting failed", "id", j.id, "error", err)
		}
		j.exact = err == nil && j.count.Entries == 0
	}
	r.Entries, r.Bytes, r.Exact = j.count.Entries, j.count.Bytes, j.exact
	r.Notes = append(slices.Clip(r.Notes), p.missed(ctx, &j, names, &r)...)
	rec.receipt, rec.left = r, len(events)
	p.journal.add(rec, whole)
	p.unswept.Add(int64(len(events)))
	for _, ev := range events {
		if !p.queue.push(sweep{ev: ev, rec: rec, rewarm: j.rewarm}) {
			p.counts.sweepsSkipped.Inc()
			p.journal.note(rec, "not swept, because too many sweeps were waiting: entries stays an estimate")
		}
	}
	level := slog.LevelInfo
	if j.via == ByTraffic {
		level = slog.LevelDebug // as many as there are POSTs
	}
	attrs := []any{"seq", r.Seq, "id", r.ID, "via", r.Via, "by", r.By, "mode", r.Mode,
		"asked", capped(r.Asked), "names", len(names), "entries", r.Entries, "exact", r.Exact, "took_ms", r.TookMS}
	if r.Why != "" {
		attrs = append(attrs, "reason", r.Why) // why is the request line's, a word of its own
	}
	p.log.Log(ctx, level, "purge", attrs...)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// capped is as much of what was asked as goes into a log line.
func capped(asked []string) []string {
	out := make([]string, 0, 10)
	for _, s := range asked[:min(len(asked), 10)] {
		out = append(out, excerpt(s))
	}
	return out
}
