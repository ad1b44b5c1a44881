// Package proxy is the request path: what a client asks becomes a lookup, a
// decision and at most one fetch.
//
// # The way of a request
//
//	ServeHTTP   site, key, what is asked             nothing cacheable about it → pass
//	lookup      store.Get → entry, ticket
//	decide      hit | stale | revalidate | fetch | pass | refuse     pure, one table test
//	fill        one flight per key and pick; its bytes stream to all who may share them
//	              response head → admit: kept? as what? why not?     pure, one table test
//	              not kept → those who wait fetch for themselves, and the key is remembered
//	deliver     Age, Cache-Status, 304, 206, HEAD; what is stored is never edited in place
//
// Policy is pure: policy.go names it, and directives, targeted, admit, decide,
// freshen, conditional, parts, cachestatus, date and framing hold it; time is an
// argument there. Effects are in the others: request and forward (what comes in
// and what goes out), flight and fill (fetches and who shares them), origin,
// framed and gate (its connections), pass, deliver, and metrics.
//
// # Who may share a fetch
//
// A flight is shared by everybody whose request its answer would have been
// served to from the store, with one exception: a client that asked after a
// purge does not share a fetch that began before it, if the purge covers what is
// fetched. Names are known only once the response's head is here, so a client
// boards first and is held back then ([store.Store.Check]); all who are held
// back share the next flight.
//
// A flight goes on when the client it was begun for leaves, as long as others
// wait or its response is to be stored. When a fetch fails, one of those who
// wait has the next turn. When it does not answer, those who wait fetch again
// after Fill.Wait, again with one fetch among them.
//
// # Time limits
//
// A fetch that is stored has Fill.ResponseTimeout to answer, Fill.IdleTimeout
// between two bytes and Fill.Deadline in all. One that is passed through may
// take as long as its client likes once it was answered: long polls, event
// streams and upgraded connections are never cut.
package proxy
