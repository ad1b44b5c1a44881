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
// and what goes out), flight, hint, board and fill (fetches and who shares them), origin,
// framed and gate (its connections over TLS; package http1 has those over plain
// HTTP), pass, deliver, and metrics.
//
// # What net/http does not see
//
// A fresh hit from memory costs little more than its two system calls. The
// HTTP server is net/http's; its connections are wrapped ([Inline]), those over
// TLS around crypto/tls's. A new one is looked at by the wrapper alone, and given
// to net/http when it asks for something that is not plain, or speaks HTTP/2; from then
// on the wrapper looks when net/http asks it for the next request. As long as the bytes
// begin with one complete GET or HEAD that everybody reads alike (inline_parse), the
// wrapper answers and reads on; whatever else there is, net/http gets unread.
//
// An unremarkable one whose entry is fresh in memory ([store.Peeker]) is answered at
// once (inline_answer). For all others the server's handler is called as net/http
// would call it (inline_serve), and what it writes looks as if net/http had
// (inline_response): net/http's own part was a fifth of a miss and a quarter of what is
// passed. What such a handler cannot do is take the connection over, or set
// its deadlines. So:
//
//   - what the parser takes, net/http would take for the same; a fuzz test holds
//     the two together, answers compared field by field, and another one what
//     comes of the same handler;
//   - whether the client has left is looked at when its request has taken 10 ms, with
//     a read like net/http's. What that reads of the next request stays that;
//   - that net/http has nothing left of an earlier request is known, not guessed:
//     inlineConn.Read says by what, and inline_probe tries whether it is so;
//   - an entry's head is looked at when it is stored ([store.Plain]), and copied
//     from then on; Age and Cache-Status are appended;
//   - net/http believes the connection idle, or knows nothing of it. Its deadlines
//     are kept in its place, and closing it waits for the end of an answer. A request
//     has the context that net/http would give it, which [Inline.Cut] ends;
//   - an answer holds a buffer from a pool, its body and head are the store's, and
//     no lock is held while it is written. A connection that waits holds none: 6 or 7 KB
//     until net/http has it, 19 from then on (2026-11). Over TLS crypto/tls's come
//     on top, and it waits for the first byte of a record without one of ours.
//
// A connection that speaks HTTP/2 is always net/http's, with an http2Conn between it
// and the client: requests for hits are answered there, and all other frames go on.
// A second fuzz test holds the two together. An idle connection holds 35 KB, 1.5 more
// than by net/http alone (2026-11).
//
// Over TLS the wrapper shakes hands, within net/http's time for it. Where that
// fails, or comes to another protocol, net/http gets the *tls.Conn that it would
// have made itself, and finds in it what happened. A request has its scheme, and
// may have the wrong host, by what it came over, as on the ordinary way.
//
// Tried and dropped (2026-11): answering every connection inside net/http's own
// Read from the start, which costs its two buffers and 8 KB of stack for each that
// is idle. Not tried: to do without the read that finds nothing before each wait,
// by waiting in one RawConn.Read; an end that came with the last bytes would go
// unnoticed, unless TCP_INQ tells of it. Under load a hit in three has such a read.
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
// The client that a flight was begun for makes the fetch in its own goroutine:
// until the response's head, and to the end where all of the content came with it.
// Only what has to be waited for after that, and storing what takes round trips, goes on
// in another. So its handler may outlast the client, but by no more than the
// head takes, and a small miss is handed from nobody to nobody.
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
