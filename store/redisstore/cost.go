// # What it costs
//
// What calls send to Redis's data plane, one round trip between two bars; in a
// cluster one for each of the servers that have a share in it, all at once.
// TestCost holds this to be true. A name's script or set is in the name's own
// slot, everything of an entry in that of its URL. The URL here carries two tags,
// which makes four sets of the index with those of its host and of everything.
//
//	a miss                                       HMGET
//	Put, two tags                                2×HGET | 4×enter.lua | put.lua
//	Put in its place, the same two tags          2×HGET | 4×enter.lua | put.lua | 4×leave.lua
//	a hit                                        HMGET
//	a hit that wants no body                     HMGET
//	Put that varies                              2×HGET | 4×enter.lua | put.lua
//	a hit, the node not knowing that it varies   HMGET | HMGET
//	a hit, the node knowing it                   HMGET
//	Put of 1.2 MB                                2×HGET | 4×enter.lua | SET | SET | SET | put.lua
//	a hit of 1.2 MB                              HMGET | GET | GET | GET
//	Put of what depends on one URL               2×HGET | ZADD | climb.lua | ZADD | 2×link.lua 4×lead.lua | INCRBY PEXPIRE INCRBY PEXPIRE | commit.lua | HMGET | 4×enter.lua | put.lua
//	the same again                               2×HGET | ZADD | climb.lua | ZADD | link.lua | HMGET | 4×enter.lua | put.lua | 4×leave.lua
//	Put of what is depended on                   2×HGET | ZADD | link.lua 4×lead.lua | HMGET | 4×enter.lua | put.lua | 4×leave.lua
//	Dependents of a tag                          2×ZRANGEBYSCORE
//	Count of a tag                               ZCARD ZSCORE
//	Count of a host                              64×ZCARD 64×ZSCORE
//	List of a tag, a page                        ZRANGEBYLEX | 4×HGET
//
// Put's first look is at the URL's node and at what the entry takes the place
// of. Puts are off the clients' path, so what they cost is Redis's work rather
// than anyone's wait.
//
// # What MONITOR shows
//
// The commands that redis-cli MONITOR shows when one node does this, besides what
// it sends anyhow (doc.go). By XREAD it hears of a purge, by lease.lua it says so.
// TestWhatMonitorShows holds this to be true.
//
//	a hit                                        HMGET
//	a miss                                       HMGET
//	a purge, until all know that all have heard  purge.lua XREAD lease.lua
//	a claim                                      SET
//	its release                                  release.lua
package redisstore
