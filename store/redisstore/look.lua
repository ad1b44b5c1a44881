#!lua flags=no-writes
-- Answers the metas of all entries of a key; at most as many as picks are
-- allowed to it. Reads only.
--
-- KEYS  1 the hash of the key's entries, as put.lua has it
local order = redis.call('HGET', KEYS[1], 'o')
if not order then return {} end
local metas = {}
for i = 1, #order, 32 do metas[#metas + 1] = 'm' .. string.sub(order, i, i + 7) end
return redis.call('HMGET', KEYS[1], unpack(metas))
