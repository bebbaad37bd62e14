-- KEYS: top, log, roster. ARGV: an epoch if one is needed, the server, the group. Gives 2 where it is new, 1 where
-- it is known, 0 where no field is in the group.
local name = 't:' .. ARGV[3]
if redis.call('HEXISTS', KEYS[1], name) == 1 then
  return 1
end
if not has_group(KEYS[3], ARGV[3]) then
  return 0
end
local top = top_of(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[1], name, '1')
renew(KEYS[1], KEYS[3], top.age)
return 2
