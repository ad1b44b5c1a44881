-- begin: the incarnation that there is, or a new one.
--
-- KEYS  state log fences soft clock big nodes
-- ARGV  the incarnation the caller knows, '' for none; how far it has heard;
--       an id for a new incarnation
-- Returns inc, base, seq, floor, aged, moved, microseconds since it began, the
-- eviction policy, and then the members of big: purges whose lists nobody needs any more.
--
-- It begins a new one where there is none; where this server is not the process
-- it was on; where the caller has heard further than there is. The new one
-- begins beyond everything that anybody can have heard: beyond the clock in
-- seconds times 2^21, which no sequence overtakes. Only the first on an empty
-- server, of a caller who knows of none, begins at 0.
local known, heard, id = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local s = redis.call('HMGET', STATE, 'inc', 'run', 'base', 'seq')
local inc, base, seq = s[1], tonumber(s[3] or '0'), tonumber(s[4] or '0')
local policy = string.match(redis.call('INFO', 'memory'), 'maxmemory_policy:([%w-]+)') or ''
local tokens = {}
local whole = inc and s[2] == run()
if whole and known == inc and heard > seq then whole = false end
if whole and known ~= '' and known ~= inc and heard >= base then whole = false end
if not whole then
  local at = now()
  local first = 0
  if inc or known ~= '' then
    first = math.max(seq, heard) + 1
    first = math.max(first, math.floor(at / 1000000) * 2097152)
  end
  tokens = redis.call('ZRANGE', KEYS[6], 0, 999)
  redis.call('UNLINK', unpack(KEYS))
  redis.call('HSET', STATE, 'run', run(), 'inc', id, 'base', int(first), 'seq', int(first),
    'since', int(at), 'floor', '0', 'aged', '0', 'moved', '0')
end
local r = redis.call('HMGET', STATE, 'inc', 'base', 'seq', 'floor', 'aged', 'moved', 'since')
r[7] = int(now() - tonumber(r[7]))
r[8] = policy
for _, t in ipairs(tokens) do r[#r + 1] = t end
return r
