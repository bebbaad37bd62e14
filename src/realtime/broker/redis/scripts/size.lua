-- size
-- KEYS: the rows of a room. Gives how many there are, and how many bytes their keys and values have.
local rows, bytes = redis.call('HKEYS', KEYS[1]), 0
for _, key in ipairs(rows) do
  bytes = bytes + #key + redis.call('HSTRLEN', KEYS[1], key)
end
return { #rows, text(bytes) }
