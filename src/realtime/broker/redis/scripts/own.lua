-- own
-- KEYS: who has a room, the counter of those who had it, its rows. ARGV: the door, for how many milliseconds what is found of
-- nobody is remembered. Gives whether the room is this door's from now on, and by which claim somebody has it. Each claim has
-- a number that none before it had: what a door does with an older one is void.
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, -#ARGV[1]) ~= ARGV[1] then
  return { 0, held }
end
local claim = text(redis.call('INCR', KEYS[2])) .. ' ' .. ARGV[1]
redis.call('SET', KEYS[1], claim, 'PX', ARGV[2])
if redis.call('EXISTS', KEYS[3]) == 0 then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
end
return { 1, claim }
