-- queue_sweep: takes away jobs of a cancelled run that wait in one place.
--
-- ARGV  keep; run; 'ready', 'due' or 'later'; for ready "BB site", for due the
--       site; where to go on: '' at first; how many to look at
-- Returns where to go on, '' if that was all.
local run, kind, name, from, some = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
if not cancelled(run) then return '' end

if kind == 'ready' then
  local band, site = string.sub(name, 1, 2), string.sub(name, 4)
  local s = stream(band, site)
  if from == '' then
    local h = head(s)
    if not h then return '' end
    from = h[1]
  else
    from = '(' .. from
  end
  local page = redis.call('XRANGE', s, from, '+', 'COUNT', some)
  for _, e in ipairs(page) do
    -- It waits: what was handed out before the run was cancelled comes before the
    -- head, and nothing of it was handed out since.
    if fields(e) == run then
      redis.call('XDEL', s, e[1])
      waits(-1, -size(e))
    end
  end
  show(band, site)
  return #page == some and page[#page][1] or ''
end

local set = kind == 'due' and BASE .. 'due:' .. name or LATER
from = tonumber(from) or 0
local page = redis.call('ZRANGE', set, from, from + some - 1)
local kept = 0
for _, m in ipairs(page) do
  local band, id, site = parts(kind == 'due' and m .. ' ' .. name or m)
  local s = stream(band, site)
  local e = entry(s, id)
  if e and fields(e) == run then
    redis.call('ZREM', set, m)
    waits(-1, -size(e))
    erase(s, id)
  else
    kept = kept + 1
  end
end
if kind == 'due' then topmost(name) end
return #page == some and int(from + kept) or ''
