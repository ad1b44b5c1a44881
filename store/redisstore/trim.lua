-- trim: drops some of the fences that nothing can depend on any more, and folds
-- some of the oldest into the floor where there are too many.
--
-- KEYS  state fences soft clock nodes
-- ARGV  inc; the longest life in microseconds; the most fences; how many at once
-- Returns 1 while there is more to do.
local e = changed(ARGV[1])
if e then return e end
local at, batch = now(), tonumber(ARGV[4])
local function raise(field, seq)
  if seq > tonumber(redis.call('HGET', STATE, field)) then redis.call('HSET', STATE, field, int(seq)) end
end
local function drop(page, field)
  local names = {}
  for i = 1, #page, 2 do names[#names + 1] = page[i] end
  if #names == 0 then return 0 end
  raise(field, tonumber(page[#page]))
  redis.call('ZREM', KEYS[2], unpack(names))
  redis.call('HDEL', KEYS[3], unpack(names))
  redis.call('HINCRBY', STATE, 'moved', #names)
  return #names
end
local more = 0
local old = redis.call('ZREVRANGEBYSCORE', KEYS[4], int(at - tonumber(ARGV[2])), '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
if old[1] then
  -- All up to this purge happened before that.
  if drop(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', old[1], 'WITHSCORES', 'LIMIT', 0, batch), 'aged') == batch then
    more = 1
  else
    raise('aged', tonumber(old[1]))
    redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', '(' .. old[2])
  end
end
local over = redis.call('ZCARD', KEYS[2]) - tonumber(ARGV[3])
if over > 0 then
  drop(redis.call('ZRANGE', KEYS[2], 0, math.min(over, batch) - 1, 'WITHSCORES'), 'floor')
  if over > batch then more = 1 end
end
-- Nodes that have been gone for a minute are forgotten.
local nodes = redis.call('HGETALL', KEYS[5])
for i = 1, #nodes, 2 do
  local ends = tonumber(string.match(nodes[i + 1], ' (%d+)$'))
  if ends + 60000000 < at then redis.call('HDEL', KEYS[5], nodes[i]) end
end
return more
