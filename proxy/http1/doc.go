// Package http1 asks one origin over HTTP/1.1 and plain TCP, with a request's
// own goroutine and nothing else: it writes the request, waits, and reads the
// response, where net/http's Transport hands it to a goroutine that writes and
// is handed the response by one that reads.
//
//	client.go   connections: kept, bounded, looked at before they are used again
//	link.go     one connection, one exchange at a time
//	request.go  what a request is written as; upload.go its content, where that comes as it is read
//	answer.go   the heads that come back, interim ones first
//	head.go     the head of a response, if it is one to be sure of
//	body.go     its content, and what becomes of the connection at its end
//
// # What is read by net/http
//
// A head is read here if it is what every implementation reads alike: HTTP/1.1,
// lines that end in CR LF, one field a line, one Content-Length or one
// Transfer-Encoding: chunked. Any other is left to http.ReadResponse, unread, and
// the connection ends with it: net/http may be sure of what it has read, but
// others might have read it differently. So the two never disagree, which a fuzz
// test holds to be so (head_test.go).
//
// # What belongs to a response
//
// An origin may send more than its Content-Length says. If the next request on
// the connection got there first, it would be given that surplus for its
// response, and so one page would be stored as another. Here nobody reads a
// connection that no request is on, and before a request is written it is looked
// whether anything has come since the last one ended: then the connection is
// closed. So no byte that has arrived when a request begins is taken for its
// response. One that the origin sends later cannot be told from it by anybody.
//
// The look is also how it is known that a kept connection has ended. Nothing of
// the request has been written then, so it goes out on another, whatever its
// method.
//
// # Waiting
//
// The look, the write and the wait are within one RawConn.Read: it asks the
// poller before the look, so whatever comes after that wakes it, and there need
// be no read that finds nothing. Deadlines are set when they would end a wait
// too early or not at all, and not for each request.
package http1
