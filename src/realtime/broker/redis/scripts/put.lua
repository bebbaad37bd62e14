-- KEYS: top, log, roster. ARGV: an epoch if one is needed, the server, the door, the field, the value, the channel to
-- publish in, the command for it. Gives 1 where it changed something.
if redis.call('HGET', KEYS[3], ARGV[4]) == ARGV[5] then
  return 0
end
local top = top_of(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
local sequence = text(top.sequence + 1)
redis.call('HSET', KEYS[1], 'r', sequence)
redis.call('HSET', KEYS[3], ARGV[4], ARGV[5])
renew(KEYS[1], KEYS[3], top.age)
local change = 'R' .. sequence .. ' ' .. ARGV[3] .. ' ' .. #ARGV[4] .. ' ' .. ARGV[4]
redis.call(ARGV[7], ARGV[6], change .. '+' .. ARGV[5])
return 1
