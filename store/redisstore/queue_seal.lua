-- queue_seal: says that a run gets no more jobs from outside.
--
-- ARGV  keep; run; the failure that ended its list, or ''
local k = BASE .. 'run:' .. ARGV[2]
if not known(ARGV[2]) then return redis.error_reply('NORUN') end
redis.call('HSET', k, 'sealed', '1')
if ARGV[3] ~= '' then redis.call('HSETNX', k, 'why', ARGV[3]) end
touch(ARGV[2])
return 1
