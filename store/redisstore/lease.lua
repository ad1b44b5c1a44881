-- lease: a node says how far it has heard, and holds its lease for a while longer.
--
-- KEYS  state nodes
-- ARGV  inc; the node as a member; how far; how long, in microseconds; the channel for acks
-- Returns the last purge, and 1 if the node held no lease.
--
-- From now on Await waits for this node. It did not before: what was purged up
-- to now may have been confirmed without it, if it held none. So it must have
-- heard as far before it believes in its lease.
--
-- The lease is kept from when the script runs, and believed in from before it
-- was sent, so that the node's belief ends first.
local e = changed(ARGV[1])
if e then return e end
local seq = redis.call('HGET', STATE, 'seq')
if tonumber(ARGV[3]) > tonumber(seq) then
  return redis.error_reply('CHANGED you have heard further than there is')
end
local before, at = redis.call('HGET', KEYS[2], ARGV[2]), now()
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3] .. ' ' .. int(at + tonumber(ARGV[4])))
if not before or string.match(before, '^%d+') ~= ARGV[3] then
  redis.call('PUBLISH', ARGV[5], ARGV[1] .. ' ' .. ARGV[3] .. ' ' .. ARGV[2])
end
if not before or tonumber(string.match(before, ' (%d+)$')) < at then return { seq, 1 } end
return { seq, 0 }
