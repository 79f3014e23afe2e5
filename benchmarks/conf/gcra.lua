-- An exact limit by GCRA: KEYS[1] holds the theoretical arrival time in microseconds of the server's clock.
-- ARGV: window in microseconds, limit (also the burst). Answers {allowed, remaining, seconds until full or allowed}.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local window, limit = tonumber(ARGV[1]), tonumber(ARGV[2])
local step = window / limit
local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) + step
local ahead = arrival - now
if ahead > window then return {0, 0, math.ceil((ahead - window) / 1000000)} end
redis.call('SET', KEYS[1], string.format('%.3f', arrival), 'PX', math.ceil(ahead / 1000) + 1)
return {1, math.floor((window - ahead) / step), math.ceil(ahead / 1000000)}
