#!lua
-- Says by which names a URL's entries fall, and that somebody is about to
-- depend on it.
--
-- KEYS  1 the node of the URL   2, 3 the hashes of its entries; of one slot
-- ARGV  1 now, unix ms   2 until when somebody will depend on it, unix ms
--       3 the longest time in which a name counts that no version carries any
--       more, ms   4 the URL
--
-- The node is a hash: u the URL; w until when somebody may depend on it: whoever
-- stores an entry there from now on sees to its edges himself (put.lua); d
-- until when somebody does, all edges having been written (commit.lua); and for
-- every name "i" and the name: when a version that carries it was last stored,
-- a colon, and until when the name counts though nobody depends on the URL. It
-- has no TTL: what has, may be evicted. prune.lua ends it.
--
-- Answers {d, 1 if the node is new, {name, ...}, {meta, ...}}. The metas are those
-- of the entries there, whose names the node may not have; they come only while
-- nobody depends on the URL yet.
local now, till, stale = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local node = redis.call('HGETALL', KEYS[1])
local w, d, names, metas = 0, 0, {}, {}
for i = 1, #node, 2 do
  if node[i] == 'w' then w = tonumber(node[i + 1]) end
  if node[i] == 'd' then d = tonumber(node[i + 1]) end
end
for i = 1, #node, 2 do
  if string.sub(node[i], 1, 1) == 'i' then
    local last, own = string.match(node[i + 1], '^(%d+):(%d+)$')
    if tonumber(own) > now or (w > now and last + stale > now) then names[#names + 1] = string.sub(node[i], 2) end
  end
end
if till > w then redis.call('HSET', KEYS[1], 'w', ARGV[2], 'u', ARGV[4]) end
if d <= now then
  for k = 2, 3 do
    local order = redis.call('HGET', KEYS[k], 'o') or ''
    for i = 1, #order, 32 do
      metas[#metas + 1] = redis.call('HGET', KEYS[k], 'm' .. string.sub(order, i, i + 7)) or ''
    end
  end
end
return {tostring(d), #node == 0 and 1 or 0, names, metas}
