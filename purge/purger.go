package purge

import (
	"cmp"
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
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
	// Node is this node's name in receipts; that of a store.Fleet, or "local", if
	// empty.
	Node string
	// Wait is how long a purge waits for the other nodes of a store.Fleet, unless
	// it says so itself; 2 s if 0.
	Wait time.Duration
	// MaxExpand bounds the names that fall with those asked for; 100,000 if 0.
	MaxExpand int
	// Keep is how many receipts are kept, and as many again of purges caused by
	// traffic; 1000 if 0. An id can be repeated as long as its receipt is kept.
	Keep int
	// Swept is handed the keys that fell, in batches, by Run; with the purge's
	// ID, Receipt tells the rest. The slice is used again, and for its keys see
	// store.Swept. It may be nil.
	Swept func(ev store.Event, keys []store.Swept)
	// Over is told by Run that no more keys of the purge with this ID come. It may
	// be nil.
	Over func(id string)
	// Purged is told of each purge that is in force and that traffic did not cause:
	// what it named, and its receipt. Changed is told of each data change that was
	// reported, when what it purges is in force; what it returns are notes for
	// whoever reported it. A change's own tag, "product:123", is left to Changed.
	// Purged must not take its time. Both may be nil.
	Purged  func(names []store.Name, r *Receipt)
	Changed func(ctx context.Context, c *Change, r *Receipt) (notes []string)
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
	fleet   store.Fleet // the store again, if several nodes share it
	lates   *lates
	others  *others
	log     *slog.Logger
	journal *journal
	queue   *queue
	unswept atomic.Int64 // purges whose sweep is not done, or never will be
	purging atomic.Int64 // purges whose answer is awaited
	raised  sync.Map     // purges under way: a pointer each, and its ID
	counts  *counts
	access  atomic.Pointer[access]
	admin   tokens
}

// New returns a Purger. It starts nothing; see Run.
func New(o Options) *Purger {
	fleet, _ := o.Store.(store.Fleet)
	if fleet != nil {
		o.Node = cmp.Or(o.Node, fleet.Node())
	}
	o.Node = cmp.Or(o.Node, "local")
	o.Wait = cmp.Or(o.Wait, 2*time.Second)
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
		fleet:   fleet,
		lates:   &lates{wake: make(chan struct{}, 1)},
		others:  newOthers(o.Keep),
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

// Purge does what r asks. When it returns a complete receipt, what was named and
// everything made from it is no longer served by anyone; after a soft purge, it
// is stale. An incomplete one names the nodes that have heard; it turns complete
// when the others have, or their leases end. It returns a *RequestError, ErrTooMany, ErrConflict, ErrPartial or
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
// for the log: "POST shop.example/cart". Where the cascade is over the bound,
// what carries the names themselves falls all the same, because the change has
// been made; the error is an ErrTooMany and an ErrPartial then.
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

// receipt returns a receipt by its id or its sequence number, another node's too.
func (p *Purger) receipt(ctx context.Context, id string, seq store.Seq) (Receipt, bool) {
	r, ok := p.journal.find(id, seq)
	if !ok {
		if r, ok = p.others.find(id, seq); ok {
			rs := []Receipt{r}
			p.where(ctx, rs)
			r = rs[0]
		}
	}
	return r, ok
}

func (p *Purger) purge(ctx context.Context, r Request, via Source) (Receipt, error) {
	var ps problems
	names, asked := p.names(&r, &ps)
	if err := ps.err(); err != nil {
		p.counts.failed(err)
		return Receipt{}, err
	}
	j := job{names: names, asked: asked, soft: r.Soft, id: r.ID, by: r.By, why: r.Why, rewarm: r.Rewarm, wait: r.Wait, via: via}
	if r.DryRun {
		return p.dryRun(ctx, j)
	}
	return p.raise(ctx, j)
}
