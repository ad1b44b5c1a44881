-- queue_take: hands out jobs, the hottest first.
--
-- ARGV  keep; how many; for how long, in ms; who takes; '1' for jobs of all
--       sites, or '' for those of the sites that follow
-- Returns in how many ms a job comes back, -1 for none known of; how many sites
-- follow: those with jobs to hand out, or just the first of them where all are
-- meant; the sites; and for each job: "BB id", site, run, how often it was handed
-- out, the job.
--
-- What was taken or put back until now is moved to due first, some of it. Jobs
-- of runs that were cancelled are thrown away as they are met; they are counted
-- already, except those that were taken when that happened.
local n, lease, who, all = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4], ARGV[5] == '1'
local allowed = {}
for i = 6, #ARGV do allowed[ARGV[i]] = true end

for _, set in ipairs({ LEASES, LATER }) do
  for _, m in ipairs(redis.call('ZRANGEBYSCORE', set, '-inf', int(NOW), 'LIMIT', 0, 256)) do
    redis.call('ZREM', set, m)
    local band, id, site = parts(m)
    local s = stream(band, site)
    local e = entry(s, id)
    if not e then
      if set == LATER then waits(-1, 0) end
    else
      local run = fields(e)
      if set == LEASES and cancelled(run) then
        erase(s, id)
        count(run, 'dropped', 1)
      else
        if set == LEASES then
          waits(1, size(e))
          queued(run, 1)
        end
        redis.call('ZADD', BASE .. 'due:' .. site, int(score(band, id)), band .. ' ' .. id)
        topmost(site)
      end
    end
  end
end

-- first is the first of a set whose site is meant, and its score.
local function first(set, siteof)
  for from = 0, math.huge, 100 do
    local page = redis.call('ZREVRANGE', set, from, from + 99, 'WITHSCORES')
    for i = 1, #page, 2 do
      if all or allowed[siteof(page[i])] then return page[i], tonumber(page[i + 1]) end
    end
    if #page < 200 then return nil, -1 end
  end
end

local function ofready(m) return string.sub(m, 4) end
local function ofback(m) return m end

local out, taken, thrown = {}, 0, 0

local function hand(band, site, e, times)
  local run, job = fields(e)
  local id = string.match(e[1], '^%d+')
  local m = band .. ' ' .. id .. ' ' .. site
  local over = cancelled(run)
  -- It is leased already if its group was gone; then it did not wait.
  if redis.call('ZADD', LEASES, int(NOW + lease), m) == 1 then
    waits(-1, -size(e))
    if not over then queued(run, -1) end
  end
  if over then
    redis.call('ZREM', LEASES, m)
    erase(stream(band, site), id)
    thrown = thrown + 1
    return
  end
  taken = taken + 1
  for _, v in ipairs({ band .. ' ' .. id, site, run, times, job }) do out[#out + 1] = v end
end

while taken < n and thrown < 1000 do
  local fresh, a = first(READY, ofready)
  local site, b = first(BACK, ofback)
  if site and b >= a then
    local due = BASE .. 'due:' .. site
    local some = redis.call('ZREVRANGEBYSCORE', due, '+inf', int(a), 'LIMIT', 0, n - taken)
    for _, m in ipairs(some) do
      redis.call('ZREM', due, m)
      local band, id = string.sub(m, 1, 2), string.sub(m, 4)
      local s = stream(band, site)
      local e = redis.pcall('XCLAIM', s, 'warm', who, 0, id .. '-0')
      if e.err or not e[1] then
        -- Gone, or its group was: then it is handed out as if for the first time.
        if entry(s, id) then show(band, site) else waits(-1, 0) end
      else
        local _, times = holder(s, id)
        hand(band, site, e[1], times)
      end
    end
    topmost(site)
  elseif fresh then
    local band, of = string.sub(fresh, 1, 2), ofready(fresh)
    local s = stream(band, of)
    local function read()
      return redis.pcall('XREADGROUP', 'GROUP', 'warm', who, 'COUNT', n - taken, 'STREAMS', s, '>')
    end
    if redis.call('EXISTS', s) == 1 then
      local got = read()
      if got and got.err then group(s) got = read() end
      if got and not got.err then
        for _, e in ipairs(got[1][2]) do hand(band, of, e, 1) end
      end
    end
    show(band, of)
  else
    break
  end
end

local answer, sites = { -1, 0 }, {}
for _, set in ipairs({ LEASES, LATER }) do
  local next = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2]
  if next then
    local left = math.max(tonumber(next) - NOW, 0)
    if answer[1] < 0 or left < answer[1] then answer[1] = left end
  end
end
for set, siteof in pairs({ [READY] = ofready, [BACK] = ofback }) do
  for from = 0, math.huge, 1000 do
    local page = redis.call('ZREVRANGE', set, from, from + 999)
    for _, m in ipairs(page) do
      local site = siteof(m)
      if not sites[site] and answer[2] < 1000 and (not all or answer[2] == 0) then
        sites[site] = true
        answer[2] = answer[2] + 1
        answer[#answer + 1] = site
      end
    end
    if #page < 1000 or all then break end
  end
end
for _, v in ipairs(out) do answer[#answer + 1] = v end
return answer
