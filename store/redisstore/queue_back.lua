-- queue_back: puts jobs back that are still who's.
--
-- ARGV  keep; after how many ms; who; the channel for news of the queue; of one
--       job its URL and why it is put back, if that is trouble, else ''; then for
--       each job: "BB id site", how often it was handed out
-- Returns how many were put back. They stay where they are in their streams, as
-- nobody's. Those of runs that were cancelled are dropped.
local after, who, put = tonumber(ARGV[2]), ARGV[3], 0
for i = 7, #ARGV, 2 do
  local m = ARGV[i]
  local band, id, site = parts(m)
  local s = stream(band, site)
  local whose, times = holder(s, id)
  local e = whose == who and times == tonumber(ARGV[i + 1]) and entry(s, id)
  if e then
    local run = fields(e)
    local taken = redis.call('ZREM', LEASES, m) == 1
    local lapsed = not taken and redis.call('ZREM', BASE .. 'due:' .. site, band .. ' ' .. id) == 1
    if lapsed then topmost(site) end
    if taken and cancelled(run) then
      erase(s, id)
      count(run, 'dropped', 1)
    elseif lapsed and cancelled(run) then
      waits(-1, -size(e)) -- counted by queue_cancel
      erase(s, id)
    elseif taken or lapsed then
      if taken then
        waits(1, size(e))
        queued(run, 1)
      end
      redis.call('XCLAIM', s, 'warm', '-', 0, id .. '-0', 'JUSTID')
      redis.call('ZADD', LATER, int(NOW + after), m)
      if ARGV[6] ~= '' and known(run) then
        local k = BASE .. 'run:' .. run
        redis.call('HINCRBY', k, 'retries', 1)
        redis.call('HSET', k, 'troubled', ARGV[5], 'trouble', ARGV[6])
      end
      touch(run)
      put = put + 1
    end
  end
end
if put > 0 and after <= 0 then redis.call('PUBLISH', ARGV[4], '') end
return put
