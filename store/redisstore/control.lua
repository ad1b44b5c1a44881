-- Begins every script of the control plane. KEYS[1] is the state; all keys are
-- in its slot. Numbers of purges stay below 2^53, where a double is exact.

local STATE = KEYS[1]

-- run is the server's process. A process that changed, by a restart or a
-- failover, may have lost purges that nobody alive has heard of.
local function run()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
end

-- Microseconds by the keeper's clock.
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

local function int(n) return string.format('%.0f', n) end

-- changed tells whoever speaks of incarnation inc that it is over.
local function changed(inc)
  local s = redis.call('HMGET', STATE, 'inc', 'run')
  if s[1] ~= inc or s[2] ~= run() then
    return redis.error_reply('CHANGED this is not the incarnation you know')
  end
end
