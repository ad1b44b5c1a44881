-- purge: raises fences and appends to the log. That is the commit, and the
-- broadcast.
--
-- KEYS  state log fences soft clock big nodes [names]
-- ARGV  inc; '1' for soft; what the log keeps of the purge; the most purges in
--       the log; then, without names, the names that fall
--       or, with names, the token and how many are in that list
-- Returns the number of the purge, and then what nodes.lua does: the time, which
-- is the purge's, and the nodes that have to hear it. Who gets a lease later has
-- to have heard it before he believes in it.
--
-- Names that were put in a list beforehand stay there: followers read them in
-- pages, settle.lua makes fences of them in batches, and whoever loads the
-- fences before that is done reads the list. So a purge of a hundred thousand
-- names holds the server up no longer than one of a single name. The list had a
-- TTL; from here on it has none.
local e = changed(ARGV[1])
if e then return e end
local soft = ARGV[2] == '1'
local seq, at = tonumber(redis.call('HGET', STATE, 'seq')) + 1, now()
if KEYS[8] then
  if redis.call('LLEN', KEYS[8]) ~= tonumber(ARGV[6]) then
    return redis.error_reply('ERR the names of the purge are no longer there')
  end
  redis.call('PERSIST', KEYS[8])
  redis.call('ZADD', KEYS[6], int(seq), ARGV[5] .. ' ' .. int(at) .. ' ' .. ARGV[2])
  redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[4], int(seq) .. '-0', 'at', int(at), 'p', ARGV[3], 'names', ARGV[5], 'n', ARGV[6])
else
  local moved = fall(KEYS[3], KEYS[4], ARGV, 5, #ARGV, seq, at, soft)
  if moved > 0 then redis.call('HINCRBY', STATE, 'moved', moved) end
  redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[4], int(seq) .. '-0', 'at', int(at), 'p', ARGV[3])
end
redis.call('HSET', STATE, 'seq', int(seq))
local last = redis.call('ZREVRANGE', KEYS[5], 0, 0, 'WITHSCORES')
if not last[2] or at - tonumber(last[2]) > 60000000 then
  redis.call('ZADD', KEYS[5], int(at), int(seq))
end
local out = { int(seq), int(at), redis.call('HGET', STATE, 'since') }
for _, v in ipairs(redis.call('HGETALL', KEYS[7])) do out[#out + 1] = v end
return out
