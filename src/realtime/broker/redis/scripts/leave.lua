-- KEYS: what doors left. ARGV: the channel's name, the field, the value, of each that is left.
for at = 1, #ARGV, 3 do
  leave(KEYS[1], ARGV[at], ARGV[at + 1], ARGV[at + 2])
end
return 1
