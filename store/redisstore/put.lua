#!lua
-- Stores one entry under its key, unless something stands in the way.
--
-- KEYS  1 the hash of the key's entries   2 the node of its URL; of one slot
-- ARGV  1 now, unix ms   2 the entry's end, unix ms   3 its Vary
--       4 its meta   5 its body where that is inline, else ""
--       6 the id of its alternative pick, or ""
--       7 its version (version.go), pick first   8 most picks of a key
--       9 until when its names are known to lead to its URL, unix ms
--       then pairs: the gen of a version that may go, the id of its alternative
--
-- The hash holds v, the Vary; o, the versions in the order in which they were
-- stored; and for each pick m, the meta, and b, the body; a is the pick that an
-- alternative selects.
--
-- Answers {"ok", gen, ...} with the versions that went; {"link", until} when
-- somebody came to depend on the URL for longer than the caller knew; {"drop",
-- version, meta, ...} with the entries that would have to go and may not yet.
-- In the last two cases nothing has changed: the caller sees to it and tries
-- again.
local now, ends = tonumber(ARGV[1]), tonumber(ARGV[2])
local version = ARGV[7]
local pick = string.sub(version, 1, 8)
local most = tonumber(ARGV[8])

local wanted = tonumber(redis.call('HGET', KEYS[2], 'w') or 0)
if wanted > now and wanted > tonumber(ARGV[9]) then
  return {'link', tostring(wanted)}
end

local known = redis.call('HMGET', KEYS[1], 'v', 'o')
local order = known[2] or ''
local anew = known[1] ~= ARGV[3]
local may = {}
for i = 10, #ARGV, 2 do may[ARGV[i]] = ARGV[i + 1] end

local keep, drop, lack = {}, {}, {'drop'}
for i = 1, #order, 32 do
  local v = string.sub(order, i, i + 31)
  if anew or string.sub(v, 1, 8) == pick or struct.unpack('>I6', v, 21) <= now then
    drop[#drop + 1] = v
  else
    keep[#keep + 1] = v
  end
end
local over = #keep + 1 - most
for i = 1, over do drop[#drop + 1] = keep[i] end

for _, v in ipairs(drop) do
  if not may[string.sub(v, 9, 20)] then
    lack[#lack + 1] = v
    lack[#lack + 1] = redis.call('HGET', KEYS[1], 'm' .. string.sub(v, 1, 8)) or ''
  end
end
if #lack > 1 then return lack end

local done = {'ok'}
for _, v in ipairs(drop) do done[#done + 1] = string.sub(v, 9, 20) end
local left = redis.call('PTTL', KEYS[1])
if anew then
  redis.call('DEL', KEYS[1])
  left = 0
else
  for _, v in ipairs(drop) do
    local p = string.sub(v, 1, 8)
    redis.call('HDEL', KEYS[1], 'm' .. p, 'b' .. p)
    local alt = 'a' .. may[string.sub(v, 9, 20)]
    if #alt > 1 and redis.call('HGET', KEYS[1], alt) == p then redis.call('HDEL', KEYS[1], alt) end
  end
end
order = table.concat(keep, '', math.max(over, 0) + 1) .. version
redis.call('HSET', KEYS[1], 'v', ARGV[3], 'o', order, 'm' .. pick, ARGV[4])
if ARGV[5] ~= '' then redis.call('HSET', KEYS[1], 'b' .. pick, ARGV[5]) end
if ARGV[6] ~= '' then redis.call('HSET', KEYS[1], 'a' .. ARGV[6], pick) end
redis.call('PEXPIRE', KEYS[1], math.max(left, ends - now, 1))
return done
