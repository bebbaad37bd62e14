-- KEYS: the bucket. ARGV: how much is taken, and how much comes in a second, which is what it holds. Gives 0, or in how many
-- milliseconds there is enough: then nothing was taken. What takes more than it holds leaves it in debt.
local amount, rate, now = tonumber(ARGV[1]), tonumber(ARGV[2]), now_ms()
local known = redis.call('HMGET', KEYS[1], 't', 'at')
local tokens = rate
if known[1] then
  tokens = math.min(rate, tonumber(known[1]) + math.max(0, now - tonumber(known[2])) / 1000 * rate)
end
local enough = math.min(amount, rate)
if tokens < enough then
  return math.ceil((enough - tokens) / rate * 1000)
end
tokens = tokens - amount
redis.call('HSET', KEYS[1], 't', tostring(tokens), 'at', text(now))
redis.call('PEXPIRE', KEYS[1], math.ceil((rate - tokens) / rate * 1000) + 1000)
return 0
