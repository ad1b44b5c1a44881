-- release: gives a claim up if it is still its owner's, and wakes those who wait.
--
-- KEYS  the claim
-- ARGV  the owner's token; the channel for claims; what to say there
-- Returns 1 if it was the owner's.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[2], ARGV[3])
return 1
