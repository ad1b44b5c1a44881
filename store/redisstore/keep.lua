#!lua flags=allow-oom
-- Ends a table of the fallen with its incarnation.
--
-- KEYS  1 the table, as fallen.lua has it
-- ARGV  1 "true" while its incarnation lasts   2 when to look again, unix ms
--
-- Answers as prune.lua does.
if ARGV[1] == 'true' then return {'', ARGV[2], 0} end
redis.call('DEL', KEYS[1])
return {'', 0, 0}
