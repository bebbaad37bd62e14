-- write
-- KEYS: who has a room, the counter of those who had it, its rows. ARGV: the claim, for how many milliseconds it is
-- remembered, 1 where what is written is all that the room has, how many rows are put, their keys and values, and the keys of
-- those that go. Gives 0 where the room is another's: then nothing is written.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
local puts = tonumber(ARGV[4])
-- A Redis that is full refuses what a script begins with, and nothing behind it: so what puts something begins with a write
-- that it refuses then.
if puts > 0 then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
else
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
if ARGV[3] == '1' then
  redis.call('DEL', KEYS[3])
end
for at = 5, 3 + 2 * puts, 2 do
  redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1])
end
for at = 5 + 2 * puts, #ARGV do
  redis.call('HDEL', KEYS[3], ARGV[at])
end
-- As long as there are rows no number is given twice, and for as long after as a claim may be remembered.
if redis.call('EXISTS', KEYS[3]) == 1 then
  redis.call('PERSIST', KEYS[2])
else
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
return 1
