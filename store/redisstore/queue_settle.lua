-- queue_settle: ends a job and counts it.
--
-- ARGV  keep; the run; "BB id site"; warmed, fresh, unkept, failed or dropped;
--       bytes; the URL and the reason, if it failed or was not kept; the most
--       failures; the most reasons for not keeping, and URLs of each
-- Returns 1, or 0 if it was settled before: then its entry is gone.
local run, m, state = ARGV[2], ARGV[3], ARGV[4]
local band, id, site = parts(m)
local s = stream(band, site)
local e = entry(s, id)
if not e then return 0 end
erase(s, id)
if redis.call('ZREM', LEASES, m) == 0 then
  -- Its lease ran out, and nobody has taken it since.
  if redis.call('ZREM', LATER, m) == 0 and redis.call('ZREM', BASE .. 'due:' .. site, band .. ' ' .. id) == 1 then topmost(site) end
  waits(-1, -size(e))
  if cancelled(run) then return 0 end -- counted by queue_cancel
  queued(run, -1)
end
if not known(run) then return 1 end
local k = BASE .. 'run:' .. run
redis.call('HINCRBY', k, 'bytes', ARGV[5])
if state == 'failed' and redis.call('LLEN', BASE .. 'fails:' .. run) < 2 * tonumber(ARGV[8]) then
  redis.call('RPUSH', BASE .. 'fails:' .. run, ARGV[6], ARGV[7])
end
if state == 'unkept' then
  -- Reasons of which there are too many are one, ''.
  local u, url, why = BASE .. 'unkept:' .. run, ARGV[6], ARGV[7]
  local n = redis.call('HINCRBY', u, 'n ' .. why, 1)
  if n == 1 and redis.call('HINCRBY', u, 'reasons', 1) > tonumber(ARGV[9]) then
    redis.call('HINCRBY', u, 'reasons', -1)
    redis.call('HDEL', u, 'n ' .. why)
    why = ''
    n = redis.call('HINCRBY', u, 'n ', 1)
  end
  if n <= tonumber(ARGV[10]) then redis.call('HSET', u, n .. ' ' .. why, url) end
end
count(run, state, 1, site)
return 1
