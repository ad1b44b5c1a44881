// Package tierstore keeps a node's share of a common store in its memory: a
// memstore in front of any other store, in a fleet that of all nodes.
//
// # One book
//
// Both tiers judge by the same [fences.Book], the one of the store below. So the
// memory tier follows nothing by itself: what the node has heard is in force in
// both at the same instant, a ticket means the same to both, and a sequence that
// begins anew has killed everything in memory by the time anyone can see it. An
// entry from below enters the memory with the ticket that it was stored with,
// and is looked over whenever it is asked for, like any other.
//
// # Reading
//
// A fresh entry in memory is the answer. Anything else, nothing or a stale
// entry, is looked up below: another node may have fetched it meanwhile. The
// ticket is the one from before both looks. Reads fail open: if the store below
// fails, what memory has is all there is, and what is fetched for want of it
// may be stored.
//
// Those who look below for one thing at once do so together: see together.go.
//
// Whether the node hears is asked first. It may be deaf, find what has fallen,
// and hear again a moment later, having learnt of the fall; asked in that order,
// its answer is in doubt, in the other it would be wrong. A node that is deaf
// does not look below for what it has in memory: it would doubt that too.
//
// # Writing
//
// Put stores below first and in memory afterwards, in the goroutine of whoever
// stores: its clients have been answered, and nobody else waits for it. Not the
// other way round, and not through a queue: whoever purges asks the store below
// what depends on what, raises fences, waits until all nodes have heard, and
// asks again. What is in memory only is not in the answer. Page J, made of page
// K, would stand in one node's memory after K's tag had fallen, until its turn
// in the queue came. An index that is written before anyone can see the entry
// has no such gap.
//
// Below, so many puts may be under way at once and no more. Beyond that, and
// while the store below fails or the node is deaf, an entry is kept in memory
// alone, where all fences reach it, but no cascade that knows of it only by its
// own names. One that declares deps on URLs is then not kept at all, because
// the cascade could not reach it.
//
// # Rejected
//
// Sharing a lookup that is under way if no purge was heard since it began: who
// was woken because another node has stored something would miss it.
//
// A second set of fences that follows the log on its own: twice the memory, and
// a ticket of one tier is none of the other's.
package tierstore
