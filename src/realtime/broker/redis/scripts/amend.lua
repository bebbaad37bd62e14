-- amend
-- KEYS: the rows of a room, the counter of those who had it. ARGV: a row's key, 1 where one is known to be there, that, and
-- what comes in its place. Gives 0 where something else is there: then nothing is written.
local there = redis.call('HGET', KEYS[1], ARGV[1])
-- Asked twice where the first answer was lost.
if there == ARGV[4] then
  return 1
end
if (there or '') ~= ARGV[3] or (there and '1' or '0') ~= ARGV[2] then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
redis.call('PERSIST', KEYS[2])
return 1
