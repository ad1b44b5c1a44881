-- queue_settle: ends a job and counts it.
--
-- ARGV  keep; the run; "BB id site"; warmed, fresh, unkept, failed or dropped;
--       bytes; the URL and the reason, if it is to be remembered as a failure;
--       the most failures
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
count(run, state, 1)
return 1
