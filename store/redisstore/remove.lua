#!lua flags=allow-oom
-- Removes some versions from a key's entries, if they are there still: what was
-- stored since is spared.
--
-- KEYS  1 the hash of the key's entries, as put.lua has it
-- ARGV  pairs: the gen of a version, the id of its alternative pick or ""
--
-- Answers the gens that it removed.
local may = {}
for i = 1, #ARGV, 2 do may[ARGV[i]] = ARGV[i + 1] end
local order = redis.call('HGET', KEYS[1], 'o') or ''
local keep, gone = {}, {}
for i = 1, #order, 32 do
  local v = string.sub(order, i, i + 31)
  local p, gen = string.sub(v, 1, 8), string.sub(v, 9, 20)
  if may[gen] then
    gone[#gone + 1] = gen
    redis.call('HDEL', KEYS[1], 'm' .. p, 'b' .. p)
    local alt = 'a' .. may[gen]
    if #alt > 1 and redis.call('HGET', KEYS[1], alt) == p then redis.call('HDEL', KEYS[1], alt) end
  else
    keep[#keep + 1] = v
  end
end
if #keep == 0 then
  redis.call('DEL', KEYS[1])
elseif #gone > 0 then
  redis.call('HSET', KEYS[1], 'o', table.concat(keep))
end
return gone
