package proxy

import "time"

// A span is a directive's delta-seconds, if it was there. Its zero value is an
// absent directive.
type span struct {
	d  time.Duration
	ok bool
}

// requestDirectives are what the Cache-Control of a request asks (RFC 9111
// section 5.2.1). The zero value asks nothing.
type requestDirectives struct {
	noCache, noStore, onlyIfCached, noTransform bool

	maxAge, minFresh, ifError span
	maxStale                  span // without a value: any staleness
}

// responseDirectives are what a response says of its caching (RFC 9111 section
// 5.2.2, RFC 5861, RFC 8246), in Cache-Control or in a targeted field.
type responseDirectives struct {
	noStore, public, mustRevalidate, proxyRevalidate bool
	mustUnderstand, noTransform, immutable           bool
	private, noCache                                 bool     // without field names
	fields                                           []string // named by no-cache="…" and private="…", canonical

	maxAge, sMaxAge, whileRevalidate, ifError span
}
