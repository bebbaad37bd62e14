-- KEYS: top, log, roster. ARGV: an epoch if one is needed, the server, the group. Gives 1 where it was there and no
-- field is in the group.
local name = 't:' .. ARGV[3]
if redis.call('HEXISTS', KEYS[1], name) == 0 or has_group(KEYS[3], ARGV[3]) then
  return 0
end
return redis.call('HDEL', KEYS[1], name)
