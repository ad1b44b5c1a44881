package purge

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"surrogate/store"
)

// Options are what a Purger works with. Only Store is needed.
type Options struct {
	Store store.Store
	// Rules returns the key rules of the site that a host belongs to. The host
	// is as in a key: lower case, with its port unless that is the scheme's own.
	// nil, or a nil result: URLs stay as they are.
	Rules func(host string) *store.KeyRules
	// Hosts returns the hosts of all sites, "*.shop.example" for wildcards and
	// "*" for a site that takes every host; for purges that name the proxy's own
	// address instead of a site. May be nil.
	Hosts func() []string
	// Names are the proxy's own host names. IP addresses, localhost and names
	// without a dot that are no site's need not be listed.
	Names []string
	// Node is this node's name in receipts; "local" if empty.
	Node string
	// MaxExpand bounds the names that fall with those asked for; 100,000 if 0.
	MaxExpand int
	// Keep is how many receipts are kept, and as many again of purges caused by
	// traffic; 1000 if 0. An id can be repeated as long as its receipt is kept.
	Keep int
	// Swept is handed the keys that fell, in batches, by Run; with the purge's
	// ID, Receipt tells the rest. It may be nil.
	Swept func(ev store.Event, keys []store.Swept)
	// Changes map data changes to tags; see ChangeRule. Without any, a change of
	// "product" "123" falls on "product:123".
	Changes []ChangeRule

	// ACL are the addresses whose connections may use purge methods on the
	// public listener. Empty: none, only tokens let in.
	ACL []netip.Prefix
	// ACLForwarded lets in connections from ACL even when the request carries
	// X-Forwarded-For and the like; see the package comment.
	ACLForwarded bool
	// Tokens let anyone use purge methods on the public listener.
	Tokens []string
	// AdminToken must be presented to the admin API; empty: none, see Guard.
	AdminToken string

	Log     *slog.Logger // nil: none
	Metrics *metrics.Set // nil: none
}

// A Purger purges. Its methods may be called from any goroutine.
type Purger struct {
	o       Options
	store   store.Store
	log     *slog.Logger
	journal *journal
	queue   *queue
	counts  *counts
	access  atomic.Pointer[access]
	admin   tokens
}

// New returns a Purger. It starts nothing; see Run.
func New(o Options) *Purger {
	o.Node = cmp.Or(o.Node, "local")
	o.MaxExpand = cmp.Or(o.MaxExpand, 100_000)
	o.Keep = cmp.Or(o.Keep, 1000)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if len(o.Changes) == 0 {
		o.Changes = []ChangeRule{{Tags: []string{"{entity}:{id}"}}}
	}
	p := &Purger{
		o:       o,
		store:   o.Store,
		log:     o.Log,
		journal: newJournal(o.Keep),
		queue:   newQueue(),
		admin:   newTokens(o.AdminToken),
	}
	p.SetAccess(Access{o.ACL, o.ACLForwarded, o.Tokens})
	p.counts = newCounts(o.Metrics, p.queue.waiting)
	return p
}

func (p *Purger) rules(host string) *store.KeyRules {
	if p.o.Rules != nil {
		if r := p.o.Rules(host); r != nil {
			return r
		}
	}
	return &noRules
}

// Purge does what r asks. When it returns without error, what was named and
// everything made from it is no longer served by anyone; after a soft purge, it
// is stale. It returns a *RequestError, ErrTooMany, ErrConflict, ErrPartial or
// an error of the store; see there what happened then.
func (p *Purger) Purge(ctx context.Context, r Request) (Receipt, error) {
	return p.purge(ctx, r, ByAPI)
}

// PurgeTags purges what carries one of tags, as tag or dep, and everything made
// from that.
func (p *Purger) PurgeTags(ctx context.Context, tags ...string) (Receipt, error) {
	return p.Purge(ctx, Request{Tags: tags})
}

// PurgeKey purges all entries under a key, for either scheme, and everything
// made from them.
func (p *Purger) PurgeKey(ctx context.Context, key store.Key) (Receipt, error) {
	return p.Purge(ctx, Request{Keys: []string{string(key)}})
}

// Invalidate purges names and everything made from what carries them, on behalf
// of traffic: an unsafe method that succeeded (RFC 9111 section 4.4), a
// Cache-Group-Invalidation (RFC 9875 section 3), a refused fill. by says which,
// for the log: "POST shop.example/cart".
func (p *Purger) Invalidate(ctx context.Context, names []store.Name, soft bool, by string) error {
	if len(names) == 0 {
		return nil
	}
	asked := make([]string, len(names))
	for i, n := range names {
		asked[i] = n.String()
	}
	_, err := p.raise(ctx, job{names: unique(slices.Clone(names)), asked: asked, soft: soft, by: by, via: ByTraffic})
	return err
}

// Receipt returns the receipt of an earlier purge.
func (p *Purger) Receipt(id string) (Receipt, bool) { return p.journal.find(id, 0) }

func (p *Purger) purge(ctx context.Context, r Request, via Source) (Receipt, error) {
	var ps problems
	names, asked := p.names(&r, &ps)
	if err := ps.err(); err != nil {
		p.counts.failed(err)
		return Receipt{}, err
	}
	j := job{names: names, asked: asked, soft: r.Soft, id: r.ID, by: r.By, why: r.Why, rewarm: r.Rewarm, via: via}
	if r.DryRun {
		return p.dryRun(ctx, j)
	}
	return p.raise(ctx, j)
}

// A job is a purge that has been understood.
type job struct {
	names        []store.Name // what falls before any cascade, each once
	asked        []string     // the same in the client's words
	soft         bool
	id           string // the client's; empty for none
	sameByID     bool   // the id alone tells a repetition, whatever it asks for now
	by, why      string
	rewarm       int
	via          Source
	notes        []string
	askedMore    int
	expanded     []string
	expandedMore int
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
		return p.fence(ctx, j, newRecord([32]byte{}))
	}
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

// secondWalk bounds how long the part of a purge after its first fence may take
// once its client has gone: what was begun is finished.
const secondWalk = 30 * time.Second

// fence is the purge itself; see the package comment for why in this order.
func (p *Purger) fence(ctx context.Context, j job, rec *record) (Receipt, error) {
	began := time.Now()
	all := slices.Contains(j.names, store.AllName)
	c := newCascade(p.store, p.o.MaxExpand, j.names)
	if !all {
		if _, err := c.walk(ctx, j.names); err != nil {
			return p.refused(j, err)
		}
	}
	j.asked, j.askedMore = listed(j.asked)
	names := slices.Concat(j.names, c.found)
	ev, err := p.store.Purge(ctx, j.purge(names))
	if err != nil {
		return p.refused(j, err)
	}
	events := []store.Event{ev}
	if !all {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), secondWalk)
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
			events = append(events, ev)
			names = append(names, fresh...)
		}
	}
	took := time.Since(began)
	p.expandedOf(&j, names)
	p.file(ctx, j, rec, names, events, took, err == nil)
	if err != nil {
		p.counts.failed(err)
		p.log.Error("purge incomplete", "id", j.id, "by", j.by, "asked", capped(j.asked), "err", err)
		return Receipt{}, err
	}
	p.counts.done(j.via, j.soft, len(names), took.Seconds())
	p.journal.mu.Lock()
	defer p.journal.mu.Unlock()
	return rec.receipt, nil
}

func (p *Purger) refused(j job, err error) (Receipt, error) {
	p.counts.failed(err)
	p.log.Error("purge failed, nothing was purged", "id", j.id, "via", j.via, "by", j.by, "asked", capped(j.asked), "err", err)
	return Receipt{}, err
}

func (j *job) purge(names []store.Name) store.Purge {
	return store.Purge{Names: names, Asked: j.asked, Soft: j.soft, ID: j.id, By: j.by, Why: j.why}
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
		TookMS: milliseconds(took), At: last.At, Via: j.via, By: j.by, Why: j.why, Rewarm: j.rewarm, Notes: j.notes,
	}
	for _, n := range names {
		c, err := p.count(ctx, n)
		if err != nil {
			// The purge stands; only its first estimate is missing.
			p.log.Warn("purge: counting failed", "id", j.id, "err", err)
			break
		}
		r.Entries += c.Entries
		r.Bytes += c.Bytes
	}
	rec.receipt, rec.left = r, len(events)
	p.journal.add(rec, whole)
	for _, ev := range events {
		if !p.queue.push(sweep{ev, rec}) {
			p.counts.sweepsSkipped.Inc()
			p.journal.note(rec, "not swept, because too many sweeps were waiting: entries stays an estimate")
		}
	}
	level := slog.LevelInfo
	if j.via == ByTraffic {
		level = slog.LevelDebug // as many as there are POSTs
	}
	p.log.Log(ctx, level, "purge", "seq", r.Seq, "id", r.ID, "via", r.Via, "by", r.By, "mode", r.Mode,
		"asked", capped(r.Asked), "names", len(names), "entries", r.Entries, "took", took, "why", r.Why)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// capped is as much of what was asked as goes into a log line.
func capped(asked []string) []string { return asked[:min(len(asked), 10)] }
