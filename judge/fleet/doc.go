// Package fleet has tests that hold a whole fleet, from outside, to what it is
// for: whoever asks after a purge has been confirmed is never shown what it
// killed, by any node.
//
// Three nodes are the built program, each a process; Redis is a redis-server;
// the origin is in the test. Editors change pages and purge them through any
// node, and take down what each purge promised once it was confirmed. Readers
// ask all nodes all the time, and what they are shown is held against what was
// promised when they asked. Meanwhile nodes are killed, stopped and cut off, and
// Redis loses what it knew in every way that it can.
//
//	go test ./judge/fleet                     # every fault once, in half a minute
//	make fleet                                # for minutes: 200,000 reads, 2,000 purges
//	go test ./judge/fleet -fleet.seed=7       # another order, other pages
//	go test ./judge/fleet -run '^$' -bench .  # how long a purge takes over three nodes
//
// A seed fixes the pages and the order of the faults, and what each actor does
// next; processes and clocks do as they like. It narrows a run and does not fix it.
//
// # What is promised
//
// A purge promises when it answered 200 with a complete receipt; one answered
// 202, once its receipt turns complete, whichever node says so. Anything else
// promises nothing. It covers what carries the names that it names, and what
// the receipt says fell with it. What falls through a page that is
// stored nowhere is no one's to know, so how far a cascade goes is not asked
// here but in TestCascadesReachEveryNode, where pages are known to be stored.
//
// After a soft purge what fell may be shown for as long as its
// stale-while-revalidate says, counted from the purge, and no longer.
//
// # Rejected, 2026-11-23
//
// A linearizability checker over the recorded histories: the model of a page is
// a floor that purges raise, reads only compare with it, and every read that
// overlaps a purge may come first. What is left for the checker to find is what
// one comparison finds, as it happens.
package fleet
