-- load: one page of the fences, in the order in which they last fell.
--
-- KEYS  state fences soft
-- ARGV  inc; from which rank; how many
-- Returns moved, and then name, number of the last fall and soft falls ('' for none) of
-- each. A fence that falls again, or is trimmed, leaves its place and lets
-- those behind move up; moved counts these, so that the reader knows by how
-- many at most.
local e = changed(ARGV[1])
if e then return e end
local out = { redis.call('HGET', STATE, 'moved') }
local page = redis.call('ZRANGE', KEYS[2], ARGV[2], ARGV[2] + ARGV[3] - 1, 'WITHSCORES')
if #page == 0 then return out end
local names = {}
for i = 1, #page, 2 do names[#names + 1] = page[i] end
local soft = redis.call('HMGET', KEYS[3], unpack(names))
for i, n in ipairs(names) do
  out[#out + 1] = n
  out[#out + 1] = page[2 * i]
  out[#out + 1] = soft[i] or ''
end
return out
