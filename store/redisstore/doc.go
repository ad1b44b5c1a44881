// Package redisstore keeps entries and purges in Redis, 7.0 or later, shared by
// the nodes of a fleet: one server, one behind sentinels, or a cluster.
//
// # Two planes
//
// The control plane is one small slot: the sequence, the fences, the log of the
// purges, the nodes. Nothing in it has a TTL, so a volatile-* policy cannot
// evict it; Run refuses an allkeys-* policy. Its scripts may run when memory is
// full. The data plane, entries, index and edges, is spread over all slots. No
// command touches two. Nothing of the data plane has to be right for a purge to
// be: every node has all fences in memory and judges what it reads by them.
//
//	redisstore.go  the Store, Run               entry.go put.go body.go …  the data plane;
//	keys.go        the names of all keys                       cost.go says what it costs
//	connect.go     where Redis is               breaker.go  nobody waits for what is down
//	control.go     Purge                        log.go      the log, Events
//	load.go        joining, loading fences      follow.go   hearing what the log says
//	lease.go       leases, Await                keep.go     trimming fences, large purges
//	claim.go       one fetch over the fleet     renew.go    for as long as its node lives
//	queue.go …     the fleet's queue of what is to be warmed
//	masters.go     those of a cluster apart     *.lua       each with its contract on top
//
// # What the control plane costs
//
//	Purge          purge.lua; with more than 500 names RPUSH PEXPIRE for each 500 before
//	Await          what others say on the channel acks; nodes.lua after 50 ms, or if it is another's purge
//	to have heard  XREAD's answer, lease.lua (which says it on acks)
//	a node, idle   XREAD four times a second, lease.lua every MaxDeaf/3, trim.lua every 10 s
//	to join        begin.lua, load.lua for each 1,000 fences, ZRANGE clock and big
//	Claim          SET NX GET; Release: release.lua (which says it on claims)
//	to hold one    renew.lua twice a second, from half a second on
//
// No answer grows with the number of fences, nodes aside; no script looks at
// more than some hundred names.
//
// # The warm queue
//
// It is one slot of its own, with a stream for each site and band of heat that has
// jobs (queue.lua has the picture). What waits and what is taken is bounded and
// has no TTL; what is known of a run has one, and may be evicted, and then the
// run is unknown and its jobs are done all the same. Its scripts and its
// connections are its own: eight, none of which ever blocks.
//
//	Begin, Seal, Cancel, Settle, Renew   a script; Cancel one more for each 500 jobs and each stream
//	Add            queue_add.lua for each 250 jobs, eight in a pipeline
//	Take           queue_take.lua, which hands out n jobs
//	a node, idle   queue_take.lua four times a second; news of jobs come on the channel warm
//
// Of two who settle one job, because the first let its lease run out, one finds
// its entry in the stream. A failover may lose what was done last: a job is then handed
// out once more, or never was added; a run whose Seal is lost is not done until it
// is forgotten. A server
// that comes back empty has no runs, no streams and no groups; what is settled
// there does nothing, and the first job added makes them anew.
//
// # A large purge
//
// Its names are put in a list first, in batches, under a TTL. purge.lua takes
// the TTL away and appends one entry to the log that refers to the list: that
// is the fence, on all names at one number. Followers read the list in pages.
// settle.lua then makes fences of the names in batches; whoever joins before that
// is done reads the list too. So a hundred thousand names are one fence, and no
// step holds Redis up for longer than a purge of 500.
//
// # Incarnations
//
// An incarnation is one unbroken sequence. It belongs to one process of the
// server: all scripts compare INFO's run_id with the one it began on. A process
// that was restarted or failed over to may have lost purges, and among those
// whom it could ask may be nobody who heard them. So every such change begins a
// new incarnation, cold and never wrong; so does the move of the control plane's
// slot to another master of a cluster, and while its keys are half moved, purges
// are refused. A node that has heard further than
// Redis now is begins one, too (a flush, a snapshot loaded in place).
//
// A new incarnation begins beyond every number that anybody can have heard: at
// the seconds of the clock times 2^21, or one beyond what its beginner heard or
// Redis had, whichever is most. Only the first on an empty server, of a
// node that has never heard anything, begins at 0; a node that did hear
// something in another incarnation, and finds that, begins one once more. So no
// node's sequence ever goes back, and a ticket of an incarnation before lies
// below where this one began: the Book refuses it, on Put and on Get. Entries
// are under the incarnation's id besides, so that they are not even found.
//
// # Leases
//
// A node counts its lease from before its refresh was sent, for a twentieth
// less than MaxDeaf, by its monotonic clock and by the wall clock too, which
// goes on while a machine sleeps. The keeper, Redis, counts MaxDeaf from when the
// script ran, by its own clock. So belief ends first, if neither clock runs a
// twentieth faster than the other and Redis's is slewed, not set forward.
//
// # Interleavings
//
// A node begins to load, a purge commits, the purger asks who holds a lease and
// is not told of the node, the node gets its lease. It would not know of the purge.
// Therefore whoever held no lease believes in one only once it has heard as far
// as Redis was when it was registered: what commits later waits for it.
//
// A node loads fences, page by page, while names fall again and move to the
// end. What it reads is complete up to the last fall of each; what came since it
// began comes once more in the log, and a fence that is as new already stays.
// How many may have moved out of a page's way load.lua counts.
//
// A purger's node hears its purge when purge.lua answers, without the log, if it
// comes next; otherwise it waits for the log. Should it not hear it before the
// caller's time is up, it makes itself deaf, so that it shows nothing that fell.
//
// Redis fails over; node A follows, B is cut off and still believes in its
// lease; the new server has never heard of B. A purges. Nobody would wait for B.
// Therefore Await confirms nothing in an incarnation younger than MaxDeaf: by
// then all beliefs of former ones have ended. The first purges of a new
// deployment wait as well; nothing can tell the two apart.
//
// A purge commits, the server fails over before all have heard, the purge is lost.
// Await goes on to ask in the new incarnation, and confirms once that is old
// enough: everything older is dead by then, what was purged included.
//
// A purge reaches a server that has taken over, before anyone has noticed.
// purge.lua finds another run_id and does nothing; the purger joins the new
// incarnation, or begins it, and purges there.
//
// A node judges an entry, is descheduled, and answers after the purge that
// killed it is confirmed. Whoever asked did so before the confirmation.
//
// The old master lives on, cut off from the new one, with some nodes on its
// side, and goes on refreshing their leases. Redis has to prevent this:
// min-replicas-to-write 1 and a min-replicas-max-lag below the sentinels'
// down-after; in a cluster a minority's masters stop by themselves, after the
// node timeout in which nobody else is promoted either.
//
// # Locks
//
// In the order in which they are taken: follower.mu (events are applied, and the
// Book is replaced, in order), the Book's, follower.newsMu, acks.mu, claims.mu.
// No call to Redis under any.
//
// # Rejected, 2026-11-23
//
// Keeping the incarnation over a restart when a node has heard all that Redis
// has: the purger may have been the only one who heard the last purge, and be
// gone. Persistence with appendfsync always would allow it; nobody runs it.
//
// Fences by replaying the log: a tag that falls every second would fill it.
//
// Pub/Sub for purges: what is said while a connection is down is lost. Acks and
// wake-ups may be lost; whoever waits for them also asks.
package redisstore
