#!lua
-- Makes a name lead to URLs, at least until a time.
--
-- KEYS  1 the set of the name: URLs by the time until which it leads there. It
--       has no TTL: what has, may be evicted, and the cascade would be cut.
-- ARGV  1 now, unix ms   2 until when, unix ms   then the URLs
--
-- Whatever has ended goes, some at a time.
for _, u in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 200)) do
  redis.call('ZREM', KEYS[1], u)
end
for i = 3, #ARGV do redis.call('ZADD', KEYS[1], 'GT', ARGV[2], ARGV[i]) end
return redis.status_reply('OK')
