// Package memstore keeps entries in this process's memory, bounded by bytes.
//
// # Where things are
//
//	memstore.go  the Store, Get, Purge, Count
//	put.go       Put and the changes it makes
//	block.go     an entry as it is held: one allocation
//	common.go    what many heads have alike, kept once
//	record.go    where it is held, and how it is found without a lock
//	slab.go      records and names by number
//	table.go     numbers by hash
//	log.go       the purge log and those who follow it
//	index.go     who carries a name, and walks over that
//	deps.go      which URLs fall with a name because somebody depends on them
//	cascade.go   what is asked about that
//	fallen.go    which URLs fell lately, for those that arrive too late to be told
//	evict.go     who goes when there is no room
//	sweep.go     reclaiming what a purge killed
//	list.go      listing what carries a name
//	run.go       letting things die at the end of their lives
//	garbage.go   the garbage collector's allowance
//
// # Locks
//
// In the order in which they are taken:
//
//	Store.mu     index, queues, and every change of records, shards and graph.
//	             Held in batches; Get and Purge never take it.
//	shard.mu     one in 64 keys, held for a change of what is found under them.
//	             Get takes it only where changes come faster than it can read.
//	Book's lock  the fences (package fences). Purge holds it for writing, while it raises them.
//	graph.mu     the dependency graph, read by Dependents.
//	purgeLog.mu  the log. Innermost.
//	commons.mu   the commons; Put takes it alone, too, before it takes Store.mu. Innermost.
//
// So a purge waits for no Put, sweep or eviction, and a hit for nothing. Nor
// does it write anything that other hits read, once an entry was hit a few times.
//
// # Interleavings
//
// Put looks at the fences, then a purge raises one, then the record becomes
// visible. The record says that it was looked at before the purge (its seen is
// the sequence as loaded before Put looked), so the first Get looks again.
//
// A purge asks for the Dependents of what it is about to fell; then Put stores
// an entry that declares a dep on one of those; then the purge raises its
// fences, and the entry's URL is not among them. Put records its edges before
// it looks at the fences, and looks at what stands on everything upstream of
// them. A purger who asks for Dependents once more after the fences stand sees
// the edge if Put was first; if the purger was, Put sees the fence.
//
// A hit finds a block and then reads its common, whose number may be another's by
// then. A block leaves its common after it has left its shard, so the shard's
// version has changed, and the hit looks again.
//
// # Rejected
//
// 2026-11-23, github.com/maypok86/otter/v2 2.4.0 as the map and the policy: 223 bytes an
// object alive beyond content at 400,000 before any index, where records, queues
// and tables took 118 then; it evicts on goroutines of its own, apart from the index's lock.
//
// 2026-11-23, Go maps for keys and names: 43 bytes a key where a slot of table.go takes
// 14, and pointers for the collector to follow.
//
// 2026-11-23, an RWMutex in each shard: a hit counts itself in and out of it, on a
// cache line that every core that hits the same page then has to fetch.
//
// 2026-11-26, head and body in allocations of their own where that fits the size classes
// better: by arithmetic 120 bytes of a page of 1,699, for which a common head saves 512,
// for one object more that the collector marks, and 8 bytes more in each record.
//
// 2026-11-26, a new block that is not cleared before it is written: Put takes as long.
// What costs is fetching its memory, whoever writes there first.
//
// 2026-11-23, arenas of many entries, or memory outside the heap: what a hit is
// given would have to be counted, or copied, before its place is used again.
package memstore
