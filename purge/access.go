package purge

import "net/netip"

// An Access says who may use purge methods on the public listener; see Options.
type Access struct {
	ACL          []netip.Prefix
	ACLForwarded bool
	Tokens       []string
}

type access struct {
	acl       []netip.Prefix
	forwarded bool
	tokens    tokens
}

// SetAccess replaces who may use purge methods on the public listener, all of
// it at once.
func (p *Purger) SetAccess(a Access) {
	p.access.Store(&access{a.ACL, a.ACLForwarded, newTokens(a.Tokens...)})
}
