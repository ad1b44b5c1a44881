// Package purge turns requests and data changes into purges, cascades them
// along declared dependencies, keeps receipts and sweeps up afterwards.
//
// # Doors
//
// [Purger.Mount] serves the admin API, [Purger.Intercept] the PURGE dialects on
// the public listener; [Purger.Purge], [Purger.PurgeTags], [Purger.PurgeKey],
// [Purger.Change] and [Purger.Invalidate] are the same in Go. All of them end
// in one place, which raises one fence for all names at once: a purge happens
// whole or, with an error that says so, not at all.
//
// # The cascade, and why it is complete
//
// A name that falls takes with it the entries that carry it, and whatever was
// made from those. [store.Store.Dependents] answers one level; expand.go walks
// the levels breadth-first, each name once, so cycles end. More than
// Options.MaxExpand names beyond those asked for is [ErrTooMany], never a
// truncation.
//
// The walk reads edges while fills add new ones, so one walk before the fence
// is not enough: page J, made from page K, may be stored after the walk looked
// for what depends on K and before the fence is raised on K's tag. J does not
// carry that tag. So after the fence we walk again from every name that fell,
// raise a fence on what is new, and repeat until a walk finds nothing new; only
// then does the purge return. Of an edge J → K with K among the fallen:
//
//   - stored before the last walk: the walk saw it, and K's URL name has a
//     fence, which J carries.
//   - stored later, by a fetch that began after the last fence: J was made from
//     what K is now.
//   - stored later, by a fetch that began before: if any walk had cause to fence
//     K's URL name, or J itself carries a fallen name, Put refuses J, because its
//     deps act as its tags. If J is the very first to depend on K, no walk can
//     have known of K's URL; this case is the store's to refuse, which sees J's
//     old ticket and K's names when J declares its dep.
//
// In a fleet the second walk comes after every node has heard the fence, and so
// does each after it. A node that had not heard may have stored J in between; it
// had written J's edges before it looked at the fences it knew, so by the time
// it has heard, the walk sees them. If some node has not heard within the wait,
// the purge walks all the same and answers with an incomplete receipt; the walk
// that counts is made when the last has heard or lost its lease, before the
// receipt turns complete.
//
// It ends, because every round fences at least one name that had no fence from
// this purge, and their number is bounded.
//
// # Sweeping
//
// [Purger.Run] sweeps what this Purger purged, in order, makes the receipts
// exact and hands the keys to whoever rewarms them. Nothing depends on it for
// correctness, so its queue is bounded: a purge that finds it full is not swept
// and its receipt says so; the memory comes back by expiry and eviction.
//
// It is nobody's business who waits. It rests as long as it works, stands back
// while purges are to be answered, and of a fleet one node at a time sweeps, by
// turns. A soft purge that is repeated before its sweep has begun is swept with
// the later one, and its receipt keeps the estimate.
//
// # Who may purge
//
// On the public listener: a connection from an address in Options.ACL, or a
// request with one of Options.Tokens. The address is the connection's own;
// X-Forwarded-For is never believed. More than that: a request that carries it,
// or another field that only intermediaries add, came through one, so the
// address says nothing about its author and does not let it in. Otherwise a TLS
// terminator or CDN on the same machine would lend the whole world its loopback
// address. Options.ACLForwarded turns that off, for those whose intermediary
// refuses purges itself. An intermediary that adds no field at all (a TCP
// tunnel) cannot be told from a local client: take its address off the list and
// use tokens.
//
// Whoever is not let in gets 405, and no purge method ever reaches an origin.
package purge
