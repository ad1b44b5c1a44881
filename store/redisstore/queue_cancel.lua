-- queue_cancel: ends a run.
--
-- ARGV  keep; run
-- Returns 1 if there may be jobs of it that wait: they are counted as dropped, and
-- nobody is handed them any more. queue_sweep takes them away.
local k = BASE .. 'run:' .. ARGV[2]
if not known(ARGV[2]) then return redis.error_reply('NORUN') end
local r = redis.call('HMGET', k, 'ended', 'cancelled', 'queued')
if r[1] then return r[2] and 1 or 0 end
redis.call('HSET', k, 'sealed', '1', 'cancelled', '1', 'queued', 0)
redis.call('UNLINK', BASE .. 'seen:' .. ARGV[2])
if not r[2] then count(ARGV[2], 'dropped', tonumber(r[3])) end
touch(ARGV[2])
return 1
