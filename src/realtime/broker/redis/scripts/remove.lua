-- KEYS: top, log, roster. ARGV: an epoch if one is needed, the server, the door, the field, the channel to publish in,
-- the command for it. Gives 1 where it changed something.
if redis.call('HEXISTS', KEYS[3], ARGV[4]) == 0 then
  return 0
end
local top = top_of(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
local sequence = text(top.sequence + 1)
redis.call('HSET', KEYS[1], 'r', sequence)
redis.call('HDEL', KEYS[3], ARGV[4])
renew(KEYS[1], KEYS[3], top.age)
local change = 'R' .. sequence .. ' ' .. ARGV[3] .. ' ' .. #ARGV[4] .. ' ' .. ARGV[4]
redis.call(ARGV[6], ARGV[5], change .. '-')
return 1
