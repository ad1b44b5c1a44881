#!lua flags=allow-oom
-- Says that all names by which a URL's entries fall lead to it until a time.
--
-- KEYS  1 the node of the URL, as climb.lua has it
-- ARGV  1 until when, unix ms
if tonumber(redis.call('HGET', KEYS[1], 'd') or 0) < tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'd', ARGV[1])
end
return redis.status_reply('OK')
