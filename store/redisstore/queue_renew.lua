-- queue_renew: prolongs leases of jobs that are still who's.
--
-- ARGV  keep; for how long from now, in ms; who; then for each job: "BB id site",
--       how often it was handed out
-- Returns how many. A lease that ran out is renewed if nobody has taken the job
-- since: it ceases to wait.
local until_, who, renewed = int(NOW + tonumber(ARGV[2])), ARGV[3], 0
for i = 4, #ARGV, 2 do
  local m = ARGV[i]
  local band, id, site = parts(m)
  local s = stream(band, site)
  local whose, times = holder(s, id)
  if whose == who and times == tonumber(ARGV[i + 1]) then
    local mine = redis.call('ZSCORE', LEASES, m)
    if not mine and redis.call('ZREM', BASE .. 'due:' .. site, band .. ' ' .. id) == 1 then
      topmost(site)
      local e = entry(s, id)
      if e then
        waits(-1, -size(e))
        queued(fields(e), -1)
        mine = true
      end
    end
    if mine then
      redis.call('ZADD', LEASES, until_, m)
      redis.call('XCLAIM', s, 'warm', who, 0, id .. '-0', 'JUSTID')
      renewed = renewed + 1
    end
  end
end
return renewed
