-- settle: makes fences of some more of the names of a large purge.
--
-- KEYS  state fences soft big names
-- ARGV  inc; the member of big; the purge's time; '1' for soft; how many
-- Returns how many are left. The list stays: followers may be reading it.
local e = changed(ARGV[1])
if e then return e end
local seq = tonumber(redis.call('ZSCORE', KEYS[4], ARGV[2]) or '0')
if seq == 0 then return 0 end
local progress = 'settled ' .. ARGV[2]
local from, n = tonumber(redis.call('HGET', STATE, progress) or '0'), redis.call('LLEN', KEYS[5])
if from < n then
  local names = redis.call('LRANGE', KEYS[5], from, from + tonumber(ARGV[5]) - 1)
  local moved = fall(KEYS[2], KEYS[3], names, 1, #names, seq, tonumber(ARGV[3]), ARGV[4] == '1')
  if moved > 0 then redis.call('HINCRBY', STATE, 'moved', moved) end
  from = from + #names
  redis.call('HSET', STATE, progress, from)
end
return n - from
