// # What lies where
//
// The keys of the data plane, behind prefix, incarnation and before what they
// are of, in braces, which is a hash of the text and decides the slot:
//
//	e, es   hash, of a URL: the entries of http and https; v, o, and m, b, a by pick (put.lua)
//	b       string, of a URL: a piece of one version's large body
//	n       hash, of a URL: by which names it falls, and until when somebody depends on it (climb.lua)
//	t       sorted set, of a name: the versions that carry it (enter.lua)
//	h       the same, of a host or of everything, in buckets
//	s       sorted set, of a name: the URLs it leads to, by until when (lead.lua)
//	sh      the same, of a host, in buckets
//	f       sorted set: URLs that fell and left lately (fallen.lua), of fixed size
//	c       number: how many edges there are, about
//
// and, of no incarnation, edges: sorted sets of the nodes by when to look at
// them (garbage.go). e, es, b, t, h and c have a TTL and may be evicted; then
// something is not found, swept, counted or listed. n, s, sh, f and edges have none
// and must not be: a cascade that has lost an edge cannot know (edges.go).
package redisstore
