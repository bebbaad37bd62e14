-- KEYS: top, log, roster, what doors left. ARGV: an epoch if one is needed, the server, the door that sweeps, the door whose
-- fields go, how many at most, the channel to publish in, the command for it, the channel's name. Gives how many went; as
-- many as that means there may be more.
local prefix, gone = ARGV[4] .. ':', {}
for _, field in ipairs(redis.call('HKEYS', KEYS[3])) do
  if #gone < tonumber(ARGV[5]) and string.sub(field, 1, #prefix) == prefix then
    gone[#gone + 1] = field
  end
end
if #gone == 0 then
  return 0
end
local top = top_of(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[1], 'r', text(top.sequence + #gone))
renew(KEYS[1], KEYS[3], top.age)
for index, field in ipairs(gone) do
  leave(KEYS[4], ARGV[8], field, redis.call('HGET', KEYS[3], field))
  redis.call('HDEL', KEYS[3], field)
  local change = 'R' .. text(top.sequence + index) .. ' ' .. ARGV[3] .. ' ' .. #field .. ' ' .. field
  redis.call(ARGV[7], ARGV[6], change .. '-')
end
return #gone
