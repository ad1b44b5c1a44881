#!lua flags=allow-oom
-- Remembers that URLs fell.
--
-- KEYS  1 one of the tables: ids of URLs by the purge they last fell with
-- ARGV  1 how many it holds   2 the purge   then the ids
--
-- What is over goes, oldest first: whatever is not in a full table fell no later
-- than the oldest that is.
for i = 3, #ARGV do redis.call('ZADD', KEYS[1], 'GT', ARGV[2], ARGV[i]) end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -tonumber(ARGV[1]) - 1)
return redis.status_reply('OK')
