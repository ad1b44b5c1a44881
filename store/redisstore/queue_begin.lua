-- queue_begin: opens a run, if there is none of its id.
--
-- ARGV  keep; id; the most runs; a token of the caller's, unlike any other;
--       kind; what; by; when, unix microseconds; the sum of what it was asked for
-- Returns 1 if it is the caller's, which it is too where he asks again for want
-- of an answer; 0 if it was there; -1 if there are too many that are not done.
--
-- Where there are as many as may be, the first that was done is forgotten.
local id, most = ARGV[2], tonumber(ARGV[3])
local k = BASE .. 'run:' .. id
if redis.call('EXISTS', k) == 1 then
  if redis.call('HGET', k, 'token') == ARGV[4] then return 1 end
  return 0
end
local runs, ended = BASE .. 'runs', BASE .. 'ended'
redis.call('ZREM', runs, id)
redis.call('ZREM', ended, id)
while redis.call('ZCARD', runs) >= most do
  local first = redis.call('ZPOPMIN', ended)[1]
  if not first then break end
  redis.call('ZREM', runs, first)
  redis.call('UNLINK', BASE .. 'run:' .. first, BASE .. 'seen:' .. first, BASE .. 'fails:' .. first, BASE .. 'unkept:' .. first)
end
if redis.call('ZCARD', runs) >= most then
  for _, r in ipairs(redis.call('ZRANGE', runs, 0, most)) do
    if not known(r) then
      redis.call('ZREM', runs, r)
      redis.call('ZREM', ended, r)
    end
  end
end
if redis.call('ZCARD', runs) >= most then return -1 end
redis.call('HSET', k, 'token', ARGV[4], 'kind', ARGV[5], 'what', ARGV[6], 'by', ARGV[7], 'at', ARGV[8], 'sum', ARGV[9],
  'total', 0, 'left', 0, 'queued', 0)
-- What another run of this id, which was evicted, has left.
redis.call('UNLINK', BASE .. 'seen:' .. id, BASE .. 'fails:' .. id, BASE .. 'unkept:' .. id)
redis.call('ZADD', runs, ARGV[8], id)
redis.call('PEXPIRE', k, KEEP)
return 1
