-- KEYS: what is claimed. ARGV: the claim, what comes in its place ('' is nothing), for how many milliseconds. Gives 0 where it
-- is another's by now: then nothing is done.
local there = redis.call('GET', KEYS[1])
if there and there ~= ARGV[1] then
  return 0
end
if ARGV[2] ~= '' then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
elseif there then
  redis.call('DEL', KEYS[1])
end
return 1
