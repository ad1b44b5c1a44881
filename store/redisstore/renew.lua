#!lua flags=allow-oom
-- Lets a claim go on if it is still its owner's.
--
-- KEYS  1 the claim
-- ARGV  1 the owner's token   2 for how long from now, ms
--
-- Answers 1 if it was the owner's.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
