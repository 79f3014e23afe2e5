"""The scripts of the cells. Times are the server's, in milliseconds; each script's keys share a hash tag."""

from __future__ import annotations

from typing import Final

from gateway.store.client import Script

_NOW: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local function text(number) return string.format('%.0f', number) end
local function lasts(key, ttl)
  if redis.call('PTTL', key) < tonumber(ttl) then redis.call('PEXPIRE', key, ttl) end
end
"""

# KEYS: hash. ARGV: age, ttl, most, then field and value of each.
WRITE: Final = Script(
    _NOW
    + """
local key, most = KEYS[1], tonumber(ARGV[3])
local buried = redis.call('HGET', key, '!')
if buried and tonumber(buried) >= now - tonumber(ARGV[1]) then return 0 end
local mine = {['!'] = true}
for i = 4, #ARGV, 2 do mine[ARGV[i]] = true end
local fresh = 0
for name in pairs(mine) do
  if name ~= '!' and redis.call('HEXISTS', key, name) == 0 then fresh = fresh + 1 end
end
if most > 0 and fresh > 0 and redis.call('HLEN', key) + fresh > most + (buried and 1 or 0) then
  for _, name in ipairs(redis.call('HRANDFIELD', key, 8)) do
    if not mine[name] then
      redis.call('HDEL', key, name)
      break
    end
  end
end
for i = 4, #ARGV, 2 do redis.call('HSET', key, ARGV[i], ARGV[i + 1]) end
lasts(key, ARGV[2])
return 1
"""
)

# KEYS: hash. ARGV: how long the mark stays. Empties it; what was begun before is not written any more.
BURY: Final = Script(
    _NOW
    + """
local there = redis.call('EXISTS', KEYS[1])
if redis.call('HLEN', KEYS[1]) == redis.call('HEXISTS', KEYS[1], '!') then there = 0 end
redis.call('UNLINK', KEYS[1])
redis.call('HSET', KEYS[1], '!', text(now))
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return there
"""
)

# KEYS: members, mark. ARGV: member, ttl, age. 0: the tag was purged since.
TAG: Final = Script(
    _NOW
    + """
local purged = redis.call('GET', KEYS[2])
if purged and tonumber(purged) >= now - tonumber(ARGV[3]) then return 0 end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', text(now))
redis.call('ZADD', KEYS[1], 'GT', text(now + tonumber(ARGV[2])), ARGV[1])
lasts(KEYS[1], ARGV[2])
return 1
"""
)

# KEYS: members, mark. ARGV: how long the mark stays, how many members, then members that are done.
UNTAG: Final = Script(
    _NOW
    + """
redis.call('SET', KEYS[2], text(now), 'PX', ARGV[1])
for i = 3, #ARGV do redis.call('ZREM', KEYS[1], ARGV[i]) end
return redis.call('ZRANGE', KEYS[1], '0', tonumber(ARGV[2]) - 1)
"""
)

# KEYS: claim. ARGV: mine, ttl. 1, or what is there.
CLAIM: Final = Script(
    """
local there = redis.call('GET', KEYS[1])
if there then return there end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
)

# KEYS: claim. ARGV: mine, value, ttl.
SETTLE: Final = Script(
    """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
)

# KEYS: claim. ARGV: mine.
RELEASE: Final = Script("if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0")
