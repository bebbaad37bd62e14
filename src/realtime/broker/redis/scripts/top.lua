-- Where a channel stands. An epoch is text: it has 64 bits, and a number of Lua 53.
-- A server that finds a channel numbered by another (a restart, a failover) begins an epoch: what the other had numbered
-- after its last write was copied is lost, and its numbers would be given twice. The line of epochs says how far each got.
local function top_of(key, log, fresh, server)
  local found = redis.call('HMGET', key, 'e', 'o', 'r', 'm', 'l', 'a')
  if not found[1] then
    redis.call('HSET', key, 'e', fresh, 'o', '0', 'r', '0', 'm', server)
    redis.call('DEL', log)
    return { epoch = fresh, offset = 0, sequence = 0, line = '', age = 0 }
  end
  local top = {
    epoch = found[1],
    offset = tonumber(found[2]),
    sequence = tonumber(found[3]),
    line = found[5] or '',
    age = tonumber(found[6] or '0'),
  }
  if found[4] ~= server then
    -- An epoch and its end have 16 + 1 + at most 16 characters, and a comma: eight of them at most.
    top.line = string.sub(top.epoch .. ':' .. found[2] .. ',' .. top.line, 1, 272)
    top.epoch = fresh
    redis.call('HSET', key, 'e', fresh, 'm', server, 'l', top.line)
  end
  return top
end

-- Whether a roster has a field whose name goes on with `group` behind the door's own, which has sixteen characters.
local function has_group(roster, group)
  for _, field in ipairs(redis.call('HKEYS', roster)) do
    if string.sub(field, 18, 17 + #group) == group then
      return true
    end
  end
  return false
end

local function text(number)
  return string.format('%.0f', number)
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- What a door has left behind, for one of the others to tell of: three values each, the latest ten thousand, for an hour.
local function leave(list, channel, field, value)
  redis.call('RPUSH', list, channel, field, value)
  redis.call('LTRIM', list, -30000, -1)
  redis.call('PEXPIRE', list, 3600000)
end

-- Kept for an hour after the last that was said or asked, for as long as anything is kept in the log, and for a day where
-- doors have something in the roster.
local function renew(key, roster, age)
  local time = math.max(age, 3600000)
  if redis.call('EXISTS', roster) == 1 then
    time = math.max(time, 86400000)
    redis.call('PEXPIRE', roster, text(time))
  end
  redis.call('PEXPIRE', key, text(time))
end
