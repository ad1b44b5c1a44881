#!lua
-- Notes names by which a URL's entries fall.
--
-- KEYS  1 the node of the URL, as climb.lua has it
-- ARGV  1 now, unix ms   2 until when they count though nobody depends on the
--       URL, unix ms, 0 for not at all   3 the URL   then the names
--
-- Answers how much the node has grown, itself included.
local grown = redis.call('HSET', KEYS[1], 'u', ARGV[3])
for i = 4, #ARGV do
  local own = ARGV[2]
  local old = redis.call('HGET', KEYS[1], 'i' .. ARGV[i])
  if old then
    local o = string.match(old, ':(%d+)$')
    if tonumber(o) > tonumber(own) then own = o end
  end
  grown = grown + redis.call('HSET', KEYS[1], 'i' .. ARGV[i], ARGV[1] .. ':' .. own)
end
return grown
