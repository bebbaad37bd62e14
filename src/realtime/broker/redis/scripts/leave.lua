-- KEYS: what doors left. ARGV: the channel's name, the field, the value.
leave(KEYS[1], ARGV[1], ARGV[2], ARGV[3])
return 1
