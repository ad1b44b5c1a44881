-- Included by the scripts that raise fences.

-- How many soft falls of one name are told apart, as in package fences.
local MAXFALLS = 16

local function parse(text)
  local r, i = { hard = 0, falls = {} }, 0
  for n in string.gmatch(text, '%d+') do
    if i == 0 then r.hard = tonumber(n)
    elseif i % 2 == 1 then r.falls[#r.falls + 1] = { tonumber(n), 0 }
    else r.falls[#r.falls][2] = tonumber(n) end
    i = i + 1
  end
  return r
end

local function render(r)
  local out = { int(r.hard) }
  for _, f in ipairs(r.falls) do
    out[#out + 1] = int(f[1])
    out[#out + 1] = int(f[2])
  end
  return table.concat(out, ' ')
end

-- merge makes one of two neighbouring falls, as package fences does.
local function merge(falls, at)
  local best, ratio = 1, -1
  for i = 1, #falls - 2 do
    local a, b = falls[i][2], falls[i + 1][2]
    local q = (b - a) / (at - a + 1)
    if ratio < 0 or q < ratio then best, ratio = i, q end
  end
  falls[best + 1][2] = falls[best][2]
  table.remove(falls, best)
end

-- fall raises fences on names at seq, which may come after later ones. It
-- returns how many fences that stood it has moved.
--   FENCES  names by the number at which they last fell
--   SOFT    name to "hard seq at seq at …", for names with soft falls since
--           their hard one
local function fall(FENCES, SOFT, names, first, last, seq, at, soft)
  local moved = 0
  for from = first, last, 500 do
    local to = math.min(from + 499, last)
    local some = {}
    for i = from, to do some[#some + 1] = names[i] end
    local texts = redis.call('HMGET', SOFT, unpack(some))
    local add, gone, keep = {}, {}, {}
    for i, name in ipairs(some) do
      local text = texts[i]
      if soft then
        local r
        if text then r = parse(text)
        else r = { hard = tonumber(redis.call('ZSCORE', FENCES, name) or '0'), falls = {} } end
        if r.hard < seq then
          local p = #r.falls + 1
          while p > 1 and r.falls[p - 1][1] > seq do p = p - 1 end
          if p == 1 or r.falls[p - 1][1] ~= seq then
            table.insert(r.falls, p, { seq, at })
            if #r.falls > MAXFALLS then merge(r.falls, at) end
            keep[#keep + 1] = name
            keep[#keep + 1] = render(r)
          end
        end
      elseif text then
        local r = parse(text)
        r.hard = math.max(r.hard, seq)
        while r.falls[1] and r.falls[1][1] <= seq do table.remove(r.falls, 1) end
        if #r.falls == 0 then gone[#gone + 1] = name
        else keep[#keep + 1] = name; keep[#keep + 1] = render(r) end
      end
      add[#add + 1] = int(seq)
      add[#add + 1] = name
    end
    moved = moved + #some - redis.call('ZADD', FENCES, 'GT', unpack(add))
    if #gone > 0 then redis.call('HDEL', SOFT, unpack(gone)) end
    if #keep > 0 then redis.call('HSET', SOFT, unpack(keep)) end
  end
  return moved
end
