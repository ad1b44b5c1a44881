// Package store is the domain of surrogate: its words, the contract every
// store keeps, and the pure functions both sides of that contract share.
// It imports nothing of ours.
//
// # Words
//
// Each has one meaning and no synonym.
//
//	key      canonical form of a request's URL: scheme, host, path, normalised query
//	entry    one stored response; immutable once stored
//	pick     the values of the Vary-listed request fields that select one entry
//	         among several under a key
//	tag      a name the origin puts on a response; everything with that tag can
//	         be purged together
//	dep      a name a response declares it was made from; tags and deps share
//	         one namespace
//	fence    the sequence number at which a name last fell
//	ticket   the sequence number in force when a fetch began; storing must
//	         present it
//	sweep    reclaiming, counting and listing what a fence killed; nothing
//	         depends on it for correctness
//	fill     one fetch from the origin, shared by everyone who may share it
//	node     one running proxy; the nodes of one deployment are a fleet
//	receipt  what a purge answers: what was asked, what it came to, where it is
//	         in force
//	heat     how often a key was asked for lately
//
// # Fence, ticket, sweep
//
// The race every cache has: a fetch starts, an editor saves and purges, the
// fetch's old body is stored, and it is stale for a whole lifetime. Here it
// cannot happen. The store keeps a sequence, and for each purged name a fence:
// the sequence at which it fell. Get hands out the current sequence as a
// ticket, on hit and on miss; a fetch carries the ticket it began with; Put
// presents it, and a fence on any of the entry's names that is newer than the
// ticket refuses the entry ([ErrPurged]). An entry keeps its ticket for life,
// and Get compares it again, so an entry that slipped in between the check and
// the fence is caught when it is asked for. Two guards, on purpose.
//
// So a purge costs the number of names it raises fences on, not the number of
// entries they cover, and it is complete when it returns. The sweep comes
// later, in batches, and frees the memory.
//
// A hard fence kills: Get behaves as if the entry were gone. A soft fence
// makes stale: Get says since when ([Found].Fell), and the windows in which a
// stale answer may be shown count from that moment. A soft fence never extends
// a life, and a hard one beats it.
//
// # Names
//
// Tags and deps are verbatim and case-sensitive. What a store knows about every
// entry without being told, its URL, its host and that it is one of everything,
// are names too, so that one mechanism serves every kind of purge. Such
// implicit names begin with a space, which no tag can ([CheckTag]).
//
// # Keys and schemes
//
// A key holds the scheme, because RFC 9111 section 2 keys by the target URI and
// an origin may answer http and https differently (its redirect to https, at
// the least). Its URL name does not: whoever purges a URL means both.
//
// # Dependencies
//
// A dep acts as a tag: an entry that declares `product:123` falls with it. And
// it cascades: a dep that is a URL (it begins with "/", "http://" or
// "https://") names an entry, and when that entry falls, by whichever of its
// names, those made from it fall too. The store answers one level of that
// question at a time ([Store].Dependents), at the cost of the edges among names
// that somebody depends on; purge walks the levels.
package store
