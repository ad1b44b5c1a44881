-- nodes: who holds a lease, and how far each has heard.
--
-- KEYS  state nodes
-- ARGV  inc
-- Returns the keeper's time and when the incarnation began, in microseconds,
-- and then node and "heard until" of each.
local e = changed(ARGV[1])
if e then return e end
local out = { int(now()), redis.call('HGET', STATE, 'since') }
for _, v in ipairs(redis.call('HGETALL', KEYS[2])) do out[#out + 1] = v end
return out
