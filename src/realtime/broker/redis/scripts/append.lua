-- KEYS: top, log, roster, the message's own name. ARGV: an epoch if one is needed, the server, the body, how many are kept,
-- for how long, how long the name is known, the channel to publish in, the command for it. Gives its place, or that of the
-- same name before.
local known = redis.call('GET', KEYS[4])
if known then
  return known
end
local top = top_of(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
local offset, ms = text(top.offset + 1), text(now_ms())
local keep, age = tonumber(ARGV[4]), tonumber(ARGV[5])
redis.call('HSET', KEYS[1], 'o', offset, 'a', ARGV[5])
if keep > 0 then
  redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[4], offset .. '-' .. ms, 'b', ARGV[3])
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
  -- What is too old is passed over by whoever reads. Now and then it goes.
  if (top.offset + 1) % 64 == 0 then
    for _ = 1, 256 do
      local id = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1][1]
      if tonumber(string.match(id, '%-(%d+)')) >= tonumber(ms) - age then
        break
      end
      redis.call('XDEL', KEYS[2], id)
    end
  end
else
  redis.call('DEL', KEYS[2])
end
renew(KEYS[1], KEYS[3], age)
local place = top.epoch .. ' ' .. offset .. ' ' .. ms .. ' '
redis.call('SET', KEYS[4], place, 'PX', ARGV[6])
redis.call(ARGV[8], ARGV[7], 'S' .. place .. ARGV[3])
return place
