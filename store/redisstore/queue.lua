-- Begins every script of the warm queue (queue.go has the picture). KEYS[1] is
-- the queue's hash; every other key has its name's beginning, and so its slot,
-- and is named here. ARGV[1] is for how long a run is kept after its last
-- change, in ms.
--
-- queue           hash: n, b, jobs that wait and their bytes; id, the last; dropped
-- jobs:BB:site    stream of a site's jobs of one band of heat, group "warm"
-- ready           zset: "BB site", streams with jobs nobody was handed yet, by score
-- leases          zset: "BB id site", jobs that are taken, until when
-- later           zset: the same, jobs put back, from when
-- due:site        zset: "BB id", jobs to be handed out once more, by score
-- back            zset: sites that have such, by the highest of those scores
-- run:id          hash: a run and its figures, left (not settled), queued (of those),
--                 'l:site' (left of a site)
-- seen:id         set: hashes of the jobs that a run has had, until it is done
-- fails:id        list: url, why, url, why …
-- unkept:id       hash: 'n why', how many were not kept for that reason; '1 why', '2 why' …, the first URLs
-- runs, ended     zsets: runs by when they began, by when they were done
--
-- run:, seen:, fails: and unkept: have a TTL and may be evicted; then the run is unknown,
-- or fetches something twice, or does not remember why something failed or was not kept. The
-- others have none, and are bounded by what may wait and by what is taken.

local QUEUE, BASE = KEYS[1], string.match(KEYS[1], '^(.*:)')
local KEEP = ARGV[1]
local READY, BACK, LEASES, LATER = BASE .. 'ready', BASE .. 'back', BASE .. 'leases', BASE .. 'later'

local function int(n) return string.format('%.0f', n) end

-- Microseconds by the keeper's clock.
local function micros()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

local NOW = math.floor(micros() / 1000)

local function stream(band, site) return BASE .. 'jobs:' .. band .. ':' .. site end

-- Of two jobs that of the higher score goes first: the hotter band, and in one
-- band the older one. Ids are microseconds.
local function score(band, id)
  return tonumber(band) * 4398046511104 + 4398046511103 - math.floor(tonumber(id) / 1000)
end

-- "BB id site"
local function parts(member) return string.match(member, '^(%d%d) (%d+) (.*)$') end

local function fields(entry)
  local f, v = entry[2], {}
  for i = 1, #f, 2 do v[f[i]] = f[i + 1] end
  return v.r or '', v.j or ''
end

local function size(entry)
  local run, job = fields(entry)
  return #run + #job + 128
end

-- waits counts jobs that begin or cease to wait.
local function waits(n, bytes)
  redis.call('HINCRBY', QUEUE, 'b', int(bytes))
  if redis.call('HINCRBY', QUEUE, 'n', n) <= 0 then redis.call('HSET', QUEUE, 'n', 0, 'b', 0) end
end

local function group(s) redis.pcall('XGROUP', 'CREATE', s, 'warm', '0', 'MKSTREAM') end

-- head is the oldest entry that nobody was handed yet.
local function head(s)
  if redis.call('EXISTS', s) == 0 then return nil end
  local groups = redis.call('XINFO', 'GROUPS', s)
  if #groups == 0 then group(s) groups = redis.call('XINFO', 'GROUPS', s) end
  local last = '0-0'
  for i = 1, #groups[1], 2 do
    if groups[1][i] == 'last-delivered-id' then last = groups[1][i + 1] end
  end
  return redis.call('XRANGE', s, '(' .. last, '+', 'COUNT', 1)[1]
end

-- show puts a stream where it belongs among those that are ready. One without
-- entries goes, and its consumers with it.
local function show(band, site)
  local s = stream(band, site)
  local h = head(s)
  if h then
    redis.call('ZADD', READY, int(score(band, string.match(h[1], '^%d+'))), band .. ' ' .. site)
    return
  end
  redis.call('ZREM', READY, band .. ' ' .. site)
  if redis.call('XLEN', s) == 0 then redis.call('UNLINK', s) end
end

-- topmost puts a site where it belongs among those with jobs to hand out again.
local function topmost(site)
  local top = redis.call('ZREVRANGE', BASE .. 'due:' .. site, 0, 0, 'WITHSCORES')
  if top[1] then redis.call('ZADD', BACK, top[2], site) else redis.call('ZREM', BACK, site) end
end

-- entry is nil where it is gone.
local function entry(s, id) return redis.call('XRANGE', s, id .. '-0', id .. '-0')[1] end

-- erase takes a job out of its stream. Whoever does has ended it.
local function erase(s, id)
  redis.pcall('XACK', s, 'warm', id .. '-0')
  redis.call('XDEL', s, id .. '-0')
  if redis.call('EXISTS', s) == 1 and redis.call('XLEN', s) == 0 then redis.call('UNLINK', s) end
end

-- holder is whose a job is, and how often it was handed out.
local function holder(s, id)
  local p = redis.pcall('XPENDING', s, 'warm', id .. '-0', id .. '-0', 1)
  if p.err or not p[1] then return nil end
  return p[1][2], p[1][4]
end

local function known(run) return redis.call('EXISTS', BASE .. 'run:' .. run) == 1 end

local function cancelled(run) return redis.call('HGET', BASE .. 'run:' .. run, 'cancelled') == '1' end

-- queued counts jobs of a run that begin or cease to wait.
local function queued(run, n)
  if n ~= 0 and known(run) then redis.call('HINCRBY', BASE .. 'run:' .. run, 'queued', n) end
end

-- touch follows every change of a run: it lives on, and may be done by it.
local function touch(run)
  local k = BASE .. 'run:' .. run
  if redis.call('PEXPIRE', k, KEEP) == 0 then return end
  local r = redis.call('HMGET', k, 'sealed', 'left', 'ended')
  if r[1] == '1' and tonumber(r[2] or 0) <= 0 and not r[3] then
    redis.call('HSET', k, 'ended', int(NOW))
    redis.call('ZADD', BASE .. 'ended', int(NOW), run)
    redis.call('UNLINK', BASE .. 'seen:' .. run)
  end
  redis.call('PEXPIRE', BASE .. 'seen:' .. run, KEEP)
  redis.call('PEXPIRE', BASE .. 'fails:' .. run, KEEP)
  redis.call('PEXPIRE', BASE .. 'unkept:' .. run, KEEP)
end

-- count counts n jobs of a run that are over. Of which site they are does not
-- matter where the run was cancelled.
local function count(run, state, n, site)
  if n == 0 or not known(run) then return end
  local k = BASE .. 'run:' .. run
  redis.call('HINCRBY', k, state, n)
  redis.call('HINCRBY', k, 'left', -n)
  if site and redis.call('HINCRBY', k, 'l:' .. site, -n) <= 0 then redis.call('HDEL', k, 'l:' .. site) end
  touch(run)
end
