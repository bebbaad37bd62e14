-- KEYS: top, log, roster. ARGV: an epoch if one is needed, the server.
local top = top_of(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
renew(KEYS[1], KEYS[3], top.age)
return { top.epoch, text(top.offset), text(top.sequence) }
