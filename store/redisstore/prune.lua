#!lua flags=allow-oom
-- Takes out of a node what counts no more, and the node if nothing is left.
--
-- KEYS  1 the node of a URL, as climb.lua has it
-- ARGV  1 now, unix ms   2 the longest time in which a name counts that no
--       version carries any more, ms
--
-- Answers {the URL, when to look again in unix ms or 0 if it is gone, how much
-- it has shrunk, itself included, the names that went, ...}.
local now, stale = tonumber(ARGV[1]), tonumber(ARGV[2])
local node = redis.call('HGETALL', KEYS[1])
local url, w, left, look = '', 0, 0, math.huge
for i = 1, #node, 2 do
  if node[i] == 'u' then url = node[i + 1] end
  if node[i] == 'w' then w = tonumber(node[i + 1]) end
end
local out = {url, 0, 0}
for i = 1, #node, 2 do
  if string.sub(node[i], 1, 1) == 'i' then
    local last, own = string.match(node[i + 1], '^(%d+):(%d+)$')
    local ends = math.max(tonumber(own), math.min(w, last + stale))
    if ends > now then
      left = left + 1
      look = math.min(look, ends)
    else
      out[#out + 1] = string.sub(node[i], 2)
      redis.call('HDEL', KEYS[1], node[i])
    end
  end
end
if w > now then
  look = math.min(look, w)
elseif left == 0 then
  redis.call('DEL', KEYS[1])
  out[3] = #out - 3 + (#node > 0 and 1 or 0)
  return out
end
out[2] = string.format('%.0f', math.max(look, now + 60000))
out[3] = #out - 3
return out
