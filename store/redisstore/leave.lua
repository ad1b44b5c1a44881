#!lua flags=allow-oom
-- Takes versions out of one set of the index.
--
-- KEYS  1 the set, as enter.lua has it
-- ARGV  the members
local sum = 0
for _, m in ipairs(ARGV) do
  if redis.call('ZREM', KEYS[1], m) == 1 then sum = sum + struct.unpack('>I6', m, #m - 5) end
end
if redis.call('ZCARD', KEYS[1]) <= 1 then
  redis.call('DEL', KEYS[1])
elseif sum ~= 0 then
  redis.call('ZINCRBY', KEYS[1], string.format('%.0f', sum), '')
end
return redis.status_reply('OK')
