-- queue_add: queues jobs of a run, the hottest of which come first.
--
-- ARGV  keep; run; most jobs that wait; most bytes of them; most jobs of a run;
--       the channel for news of the queue; then for each job: its hash, band,
--       site, the job
-- Returns how many were added, and how many found no room.
--
-- Room is made by the newest jobs of the coldest band, if that is colder than
-- that of the job. Only jobs that nobody was handed yet have to go. As the
-- hottest come first, no stream that was added to here is made room in.
local run, maxjobs, maxbytes, maxurls = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local k, seen = BASE .. 'run:' .. run, BASE .. 'seen:' .. run
local r = redis.call('HMGET', k, 'total', 'cancelled', 'ended')
if not r[1] then return redis.error_reply('NORUN') end
if r[2] or r[3] then return redis.error_reply('RUNOVER') end

-- The run is not over while this is under way.
local offered = (#ARGV - 6) / 4
redis.call('HINCRBY', k, 'left', offered)

local q = redis.call('HMGET', QUEUE, 'n', 'b', 'id')
local n, held = tonumber(q[1] or 0), tonumber(q[2] or 0)
local n0, held0 = n, held

local function room(band, bytes)
  while true do
    if n < maxjobs and held + bytes <= maxbytes then return true end
    local coldest = redis.call('ZRANGE', READY, 0, 0)[1]
    if not coldest or string.sub(coldest, 1, 2) >= band or bytes > maxbytes then return false end
    local b, site = string.sub(coldest, 1, 2), string.sub(coldest, 4)
    local s = stream(b, site)
    if head(s) then
      local e = redis.call('XREVRANGE', s, '+', '-', 'COUNT', 1)[1]
      redis.call('XDEL', s, e[1])
      n, held = n - 1, held - size(e)
      local whose = fields(e)
      if not cancelled(whose) then
        redis.call('HINCRBY', QUEUE, 'dropped', 1)
        queued(whose, -1)
        count(whose, 'dropped', 1, site)
      end
    end
    show(b, site)
  end
end

local total, added, dropped, news = tonumber(r[1]), 0, 0, false
local id, ready, sites = math.max(tonumber(q[3] or 0), micros()), {}, {}
for i = 7, #ARGV, 4 do
  local hash, band, site, job = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local new
  if total < maxurls then
    new = redis.call('SADD', seen, hash) == 1
  else
    new = redis.call('SISMEMBER', seen, hash) == 0
  end
  if new then
    total = total + 1
    local bytes = #run + #job + 128
    if total <= maxurls and room(band, bytes) then
      local s = stream(band, site)
      id = id + 1
      if not ready[s] then
        ready[s] = true
        if redis.call('EXISTS', s) == 0 then group(s) end
        if redis.call('ZADD', READY, 'NX', int(score(band, id)), band .. ' ' .. site) == 1 then news = true end
      end
      redis.call('XADD', s, int(id) .. '-0', 'r', run, 'j', job)
      n, held = n + 1, held + bytes
      added = added + 1
      sites[site] = (sites[site] or 0) + 1
    else
      dropped = dropped + 1
    end
  end
end
redis.call('HSET', QUEUE, 'id', int(id))
waits(n - n0, held - held0)
redis.call('HSET', k, 'total', total)
redis.call('HINCRBY', k, 'queued', added)
for site, more in pairs(sites) do redis.call('HINCRBY', k, 'l:' .. site, more) end
if dropped > 0 then
  redis.call('HINCRBY', k, 'dropped', dropped)
  redis.call('HINCRBY', QUEUE, 'dropped', dropped)
end
redis.call('HINCRBY', k, 'left', added - offered)
touch(run)
if news then redis.call('PUBLISH', ARGV[6], '') end
return { added, dropped }
