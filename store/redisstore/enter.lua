#!lua
-- Makes a version a member of one set of the index.
--
-- KEYS  1 the set
-- ARGV  1 now, unix ms   2 the member: place and version (index.go)
--       3 when it ends, unix ms
--
-- The set is sorted by member, all scores being 0, but for the member "", whose
-- score is the negative sum of what the others hold: it comes first by score and
-- by member, and is evicted and expires with them. It also looks at a few
-- members at random and takes out those that have ended, so that at most about
-- a fifth of a set that is written to is dead; one that is not written to ends
-- with its last member.
local now, ends = tonumber(ARGV[1]), tonumber(ARGV[3])
local function held(m) return struct.unpack('>I6', m, #m - 5) end

if redis.call('ZADD', KEYS[1], 0, ARGV[2]) == 1 then
  local sum = -held(ARGV[2])
  for _, m in ipairs(redis.call('ZRANDMEMBER', KEYS[1], 5)) do
    if m ~= '' and struct.unpack('>I6', m, #m - 11) <= now and redis.call('ZREM', KEYS[1], m) == 1 then
      sum = sum + held(m)
    end
  end
  redis.call('ZINCRBY', KEYS[1], string.format('%.0f', sum), '')
end
local left = redis.call('PTTL', KEYS[1])
if left < ends - now then redis.call('PEXPIRE', KEYS[1], math.max(ends - now, 1)) end
return redis.status_reply('OK')
