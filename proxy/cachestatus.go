package proxy

import "time"

// A cacheStatus is this cache's member of a Cache-Status field (RFC 9211).
type cacheStatus struct {
	hit       bool
	fwd       string // "" when it was not forwarded
	fwdStatus int    // the origin's status; 0 when there was none
	ttl       time.Duration
	hasTTL    bool
	stored    bool
	collapsed bool
	key       string // only shown when debugging is on: it helps poisoning
	detail    string
}

// String renders the member.
func (s cacheStatus) String() string { return "" }
