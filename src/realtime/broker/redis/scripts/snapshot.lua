-- KEYS: top, log, roster. ARGV: an epoch if one is needed, the server, the epoch and the offset that are known ('' and 0:
-- none), how many at most.
local top = top_of(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
renew(KEYS[1], KEYS[3], top.age)
local after, most = tonumber(ARGV[4]), tonumber(ARGV[5])
local follows = ARGV[3] == top.epoch and after <= top.offset
for epoch, last in string.gmatch(top.line, '(%x+):(%d+),') do
  follows = follows or (epoch == ARGV[3] and after <= tonumber(last))
end
follows = follows and top.offset - after <= most

local function fresh_enough(entries)
  local oldest, kept = now_ms() - top.age, {}
  for _, entry in ipairs(entries) do
    local offset, ms = string.match(entry[1], '^(%d+)%-(%d+)$')
    if tonumber(ms) >= oldest then
      kept[#kept + 1] = offset
      kept[#kept + 1] = entry[2][2]
    end
  end
  return kept
end

local entries = {}
if follows and after < top.offset then
  entries = fresh_enough(redis.call('XRANGE', KEYS[2], text(after + 1), '+'))
  follows = #entries == 2 * (top.offset - after)
end
if not follows and most > 0 then
  local latest, forwards = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', most), {}
  for index = #latest, 1, -1 do
    forwards[#forwards + 1] = latest[index]
  end
  entries = fresh_enough(forwards)
end
local roster = redis.call('HGETALL', KEYS[3])
return { top.epoch, text(top.offset), text(top.sequence), top.line, entries, roster }
